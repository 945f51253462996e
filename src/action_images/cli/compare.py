"""Compare two policies on the scenes that both were judged on: exact paired McNemar, task by task and over all."""

from pathlib import Path


def main(first: Path, second: Path, /) -> None:
    """Compare two policies on the scenes that both were judged on.

    Prints for each task, and for all together, both success rates with 95 % Wilson intervals, how many scenes only one of
    them won, and the exact two-sided McNemar p-value: how likely so uneven a split is if neither is better.

    Args:
        first: a results folder of `action-images evaluate`.
        second: another one.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from action_images.evaluation.paired import compare
    from action_images.evaluation.trial import load_trials

    trials = [load_trials(folder) for folder in (first, second)]
    names = [", ".join(sorted({f"{trial.policy} ({trial.protocol})" for trial in part})) for part in trials]
    table = Table(title="the same scenes: success % (95 % Wilson interval)", box=SIMPLE)
    for heading in ("task", "scenes", *names, "only first", "only second", "p"):
        table.add_column(heading, overflow="fold")
    for task in (*sorted({trial.task for trial in trials[0]} & {trial.task for trial in trials[1]}), "all"):
        paired = compare(*([trial for trial in part if task in ("all", trial.task)] for part in trials))
        if paired is None:
            raise ValueError(f"{first} and {second} have no scene of task '{task}' in common; evaluate both on the same tasks and trials")
        won = (paired.both + paired.only_first, paired.both + paired.only_second)
        counts = (str(paired.only_first), str(paired.only_second), f"{paired.p_value:.3g}")
        table.add_row(task, str(paired.num_pairs), *(_rate(number, paired.num_pairs) for number in won), *counts)
    Console().print(table)


def _rate(won: int, num_trials: int) -> str:
    from action_images.evaluation.statistics import wilson_interval

    low, high = wilson_interval(won, num_trials)
    return f"{100 * won / num_trials:.1f} ({100 * low:.0f}-{100 * high:.0f})"
