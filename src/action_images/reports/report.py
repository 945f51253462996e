"""One HTML page of results: success with intervals, films, comparisons, reasons of failure, learning."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from action_images.evaluation.conditions import world_of
from action_images.evaluation.table import ALL, Comparison, Row, comparisons, is_ceiling, rows, worlds_apart
from action_images.evaluation.trial import FAILURES
from action_images.reports.curve import Curve
from action_images.reports.inlined import Inlined
from action_images.reports.learning_curves import load_curves
from action_images.reports.pages import write_page
from action_images.reports.report_films import film_script, films_of
from action_images.reports.trial_folders import load_folders

LARGE_BYTES = 50_000_000
"""From this size on, a page is slow to open and to send, and a note says so."""
FEW_TRIALS = 10
"""With fewer trials, statistics mean little, so the page opens on the films and folds the numbers."""


@dataclass(frozen=True)
class Written:
    """A page that was written: its size, and notes for its reader."""

    path: Path
    num_bytes: int
    num_trials: int
    warnings: tuple[str, ...]


def write_report(folders: Sequence[Path], out: Path, training_log: Path | None = None) -> Written:
    """Write the results of these folders as one page that needs no other file, completely or not at all.

    A folder has trials.jsonl, and films if trials name them. The folders `expert` and `expert-video` inside
    it are read too, as ceilings for the others. `training_log` has one JSON object a line
    (reports/learning_curves.py). Raises ActionImagesError if a folder is not a results folder, or has no
    trial.
    """
    loaded = load_folders(folders)
    table, inlined = rows(loaded.trials, loaded.owned), Inlined()
    ours = [row for row in table if not is_ceiling(row.policy)]
    ceilings = [row for row in table if is_ceiling(row.policy)]
    failed = [row for row in table if row.failures]
    films = films_of(table, loaded.home, inlined)
    curves = {} if training_log is None else load_curves(training_log)
    num_bytes = write_page(
        out,
        "report.html",
        title="Results in closed loop",
        ALL=ALL,
        totals=_totals(ours or ceilings),
        results=ResultTable.of(ours or ceilings),
        ceilings=ResultTable.of(ceilings) if ours and ceilings else None,
        films=films,
        is_small=sum(row.num_trials for row in _totals(ours or ceilings)) < FEW_TRIALS,
        **film_script(films),
        compared=_compared(comparisons(table, loaded.conditions)),
        failed=_grouped(failed),
        reasons=_reasons(failed),
        curves=[Curve.filling(name, points) for name, points in curves.items()],
    )
    warnings = list(inlined.left_out)
    for (protocol, first), (_, second) in worlds_apart(table, loaded.conditions):
        some, others = (world_of(loaded.conditions[protocol, name]) for name in (first, second))
        warnings.append(
            f"{protocol}: {first} ran in the world {some}, {second} in {others}; their scenes are not the "
            "same, so they are not compared"
        )
    if num_bytes > LARGE_BYTES:
        warnings.append(f"{out}: {num_bytes / 1e6:.0f} MB is slow to open; evaluate with fewer films")
    return Written(out, num_bytes, len(loaded.trials), tuple(warnings))


Group = tuple[str, list[Row]]
"""Policy and protocol in words, and the rows that belong together."""


@dataclass(frozen=True)
class ResultTable:
    """Rows under headings, and the columns that they need beside the rate."""

    groups: list[Group]
    ceilings: list[str]
    stages: list[str]
    is_timed: bool

    @classmethod
    def of(cls, table: Sequence[Row]) -> "ResultTable":
        """The table of these rows, with columns in the order in which rows name them."""
        ceilings: dict[str, None] = {}
        stages: dict[str, None] = {}
        for row in table:
            ceilings |= dict.fromkeys(row.ceilings)
            stages |= dict.fromkeys(row.stage_ms)
        is_timed = any(row.plan_ms is not None for row in table)
        return cls(_grouped(table), list(ceilings), list(stages), is_timed)


def _grouped(table: Iterable[Row]) -> list[Group]:
    """Group rows of one policy and protocol, which are adjacent already."""
    groups = groupby(table, lambda row: f"{row.policy}, {row.protocol}")
    return [(heading, list(members)) for heading, members in groups]


def _reasons(failed: Iterable[Row]) -> dict[str, str]:
    """The reasons that occur, with their meaning."""
    occurring: set[str] = set()
    for row in failed:
        occurring |= row.failures.keys()
    return {name: meaning for name, meaning in FAILURES.items() if name in occurring}


def _totals(table: Sequence[Row]) -> list[Row]:
    """The row of each protocol and policy for all its tasks together, which is its last."""
    last = {(row.protocol, row.policy): row for row in table}
    return list(last.values())


def _compared(found: Iterable[Comparison]) -> list[tuple[str, list[Comparison]]]:
    groups = groupby(found, _heading)
    return [(heading, list(members)) for heading, members in groups]


def _heading(one: Comparison) -> str:
    differing = f"; they differ in {', '.join(one.differing)}" if one.differing else ""
    return f"{one.first} against {one.second}, {one.protocol}{differing}"
