"""Compare two policies on the scenes that both were judged on, task by task and over all (exact McNemar)."""

from pathlib import Path


def main(first: Path, second: Path, /) -> None:
    """Compare two policies on the scenes that both were judged on.

    Prints for each task, and for all together, both success rates with 95 % Wilson intervals, how many scenes
    only one of them won, and the exact two-sided McNemar p-value: how likely so uneven a split is if neither
    is better.

    Args:
        first: a results folder of `action-images evaluate`.
        second: another one.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from action_images.evaluation.statistics import pair
    from action_images.evaluation.trial import load_trials

    trials = [load_trials(folder) for folder in (first, second)]
    shared = set.intersection(*({trial.key for trial in part} for part in trials))
    won = [{trial.key: trial.succeeded for trial in part if trial.key in shared} for part in trials]
    names = [", ".join(sorted({f"{trial.policy} ({trial.protocol})" for trial in part})) for part in trials]
    table = Table(title="the same scenes: success % (95 % Wilson interval)", box=SIMPLE)
    for heading in ("task", "scenes", *names, "only first", "only second", "p (McNemar)"):
        table.add_column(heading, overflow="fold")
    for task in (*sorted({task for task, _ in shared}), "all"):
        rows = [{key: value for key, value in part.items() if task in ("all", key[0])} for part in won]
        pairing = pair(*rows)
        unshared = (str(pairing.only_first), str(pairing.only_second), f"{pairing.p_value:.3g}")
        table.add_row(task, str(pairing.num_pairs), *(_rate(list(part.values())) for part in rows), *unshared)
    Console().print(table)


def _rate(won: list[bool]) -> str:
    from action_images.evaluation.statistics import wilson_interval

    low, high = wilson_interval(sum(won), len(won))
    return f"{100 * sum(won) / len(won):.1f} ({100 * low:.0f}-{100 * high:.0f})"
