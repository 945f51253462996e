"""Compare two policies on the scenes that both were judged on, task by task and overall (exact McNemar).

action-images compare results/mine results/shipped
action-images compare results/before results/after
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenFolder

if TYPE_CHECKING:
    from action_images.evaluation.trial import TrialRecord


def main(first: GivenFolder, second: GivenFolder, /) -> None:
    """Compare two policies on the scenes that both were judged on.

    For each task and for all together, prints both success rates with 95 % Wilson intervals and how many
    scenes only one of them won. The exact two-sided McNemar p-value says how likely so uneven a split is if
    neither policy is better. Settings that differ between the two folders, such as cameras, image size or
    latency, are told below the table.

    Args:
        first: a results folder of `action-images evaluate`.
        second: another results folder.
    """
    from rich.box import SIMPLE
    from rich.table import Table

    from action_images.evaluation.conditions import differences, load_conditions, same_scenes, world_of
    from action_images.evaluation.statistics import pair
    from action_images.evaluation.trial import SETTINGS, load_trials
    from action_images.terminal.console import PlainConsole

    trials = [load_trials(folder) for folder in (first, second)]
    conditions = [load_conditions(folder) for folder in (first, second)]
    if not same_scenes(*conditions):
        some, others = map(world_of, conditions)
        raise ActionImagesError(
            f"{first} was judged in the world {some}, {second} in {others}: their scenes are not the same; "
            "judge both policies in one world"
        )
    outcomes = list(map(_outcomes, trials))
    shared = outcomes[0].keys() & outcomes[1].keys()
    if not shared:
        raise ActionImagesError(
            f"{first} and {second} have no scene (task and seed) in common; judge both policies on the same "
            "tasks"
        )
    names = list(map(_name, trials))
    table = Table(title="the same scenes: success % (95 % Wilson interval)", box=SIMPLE)
    for heading in ("task", "scenes", *names, "only first", "only second", "p (McNemar)"):
        table.add_column(heading, overflow="fold")
    for task in (*sorted({task for task, _ in shared}), "all"):
        chosen = {key for key in shared if task in ("all", key[0])}
        rows = [_only(chosen, part) for part in outcomes]
        pairing = pair(*rows)
        unshared = (str(pairing.only_first), str(pairing.only_second), f"{pairing.p_value:.3g}")
        table.add_row(task, str(pairing.num_pairs), *(_rate(list(part.values())) for part in rows), *unshared)
    console = PlainConsole()
    console.print(table)
    for folder, known in zip((first, second), conditions, strict=True):
        if not known:
            console.print(f"{folder}: has no {SETTINGS}, so its conditions are not known", soft_wrap=True)
    if differing := differences(*conditions):
        console.print(f"the two also differ in: {', '.join(differing)}", soft_wrap=True)


def _outcomes(trials: "Sequence[TrialRecord]") -> dict[tuple[str, int], bool]:
    return {trial.key: trial.succeeded for trial in trials}


def _name(trials: "Sequence[TrialRecord]") -> str:
    return ", ".join(sorted({f"{trial.policy} ({trial.protocol})" for trial in trials}))


def _only(keys: set[tuple[str, int]], outcomes: dict[tuple[str, int], bool]) -> dict[tuple[str, int], bool]:
    return {key: succeeded for key, succeeded in outcomes.items() if key in keys}


def _rate(won: list[bool]) -> str:
    from action_images.evaluation.statistics import wilson_interval

    low, high = wilson_interval(sum(won), len(won))
    return f"{100 * sum(won) / len(won):.1f} ({100 * low:.0f}-{100 * high:.0f})"
