"""Formats of rates and figures in the tables that commands print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def rate(num_won: int, num_trials: int) -> str:
    """A success rate in percent with its 95 % Wilson interval."""
    from action_images.evaluation.statistics import wilson_interval

    low, high = wilson_interval(num_won, num_trials)
    return f"{100 * num_won / num_trials:.1f} ({100 * low:.0f}-{100 * high:.0f})"


def figure_table(title: str, named: str, figures: Sequence[str]) -> "Table":
    """An empty table with a column of names and a column for each figure; a narrow terminal wraps only
    names."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=title, box=SIMPLE, padding=(0, 0, 0, 1))
    table.add_column(named, overflow="fold")
    for figure in figures:
        table.add_column(figure.replace(" ", "\n"), justify="right", no_wrap=True, overflow="fold")
    return table
