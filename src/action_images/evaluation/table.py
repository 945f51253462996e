"""Trials gathered into the rows of a table, by protocol, policy and task."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from action_images.evaluation.statistics import Pairing, pair, wilson_interval
from action_images.evaluation.trial import FAILURES, TrialRecord

ALL = "all tasks"
"""The row that takes the trials of all tasks together."""


CEILINGS = ("expert", "expert-video")
Owned = Mapping[tuple[str, str], Collection[str]]
"""Protocol and policy -> the names of the ceilings that were tried under its conditions."""


def is_ceiling(policy: str) -> bool:
    """Whether a policy's results are the most that others can reach: the expert's, alone or through video.

    In brackets behind its name may stand where its results lie.
    """
    return policy in CEILINGS or policy.startswith(tuple(f"{name} (" for name in CEILINGS))


@dataclass(frozen=True)
class Row:
    """The trials of one policy at one task (or all) of one protocol, with the ceilings of the same."""

    protocol: str
    policy: str
    task: str
    trials: tuple[TrialRecord, ...]
    ceilings: dict[str, "Row"]

    @property
    def num_trials(self) -> int:
        """How many trials were made."""
        return len(self.trials)

    @property
    def num_succeeded(self) -> int:
        """How many of them succeeded."""
        return sum(trial.succeeded for trial in self.trials)

    @property
    def rate(self) -> float:
        """The share that succeeded."""
        return self.num_succeeded / self.num_trials

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true rate lies (Wilson, 95 %)."""
        return wilson_interval(self.num_succeeded, self.num_trials)

    @property
    def failures(self) -> dict[str, int]:
        """How many trials failed for each reason, those without any left out."""
        counts = Counter(trial.failure for trial in self.trials)
        return {failure: counts[failure] for failure in FAILURES if counts[failure]}

    @property
    def plan_ms(self) -> float | None:
        """The median over trials of the time that a plan took (ms)."""
        times = [trial.plan_ms for trial in self.trials if trial.plan_ms is not None]
        return median(times) if times else None

    @property
    def stage_ms(self) -> dict[str, float]:
        """The same for each stage, in the order in which trials name them."""
        stages: dict[str, list[float]] = {}
        for trial in self.trials:
            for stage, took in (trial.stage_ms or {}).items():
                stages.setdefault(stage, []).append(took)
        return {stage: median(times) for stage, times in stages.items()}


def rows(trials: Iterable[TrialRecord], owned: Owned | None = None) -> list[Row]:
    """A row for each protocol, policy and task, in the order of their first trials, ceilings last.

    Beside a policy stand the ceilings that are its own (None: all of its protocol). A policy that tried more
    than one task has a row for all of them, behind the others. Ceilings count over the same scenes as the row
    that they stand beside where they have been tried in all of these, and over all their own otherwise.
    """
    trials = list(trials)
    groups = _grouped(trials, lambda trial: (trial.protocol, trial.policy))
    order = list(dict.fromkeys(trial.protocol for trial in trials))
    table: list[Row] = []
    for (protocol, policy), group in sorted(
        groups.items(), key=lambda item: (order.index(item[0][0]), is_ceiling(item[0][1]))
    ):
        tasks = _grouped(group, lambda trial: trial.task)
        if len(tasks) > 1:
            tasks[ALL] = group
        others = {
            name: some
            for (where, name), some in groups.items()
            if where == protocol and is_ceiling(name) and name != policy
        }
        if owned is not None:
            others = {
                name: some for name, some in others.items() if name in owned.get((protocol, policy), ())
            }
        for task, some in tasks.items():
            table.append(
                Row(
                    protocol,
                    policy,
                    task,
                    tuple(some),
                    {} if is_ceiling(policy) else _ceilings(task, some, others),
                )
            )
    return table


def _ceilings(
    task: str, trials: Sequence[TrialRecord], others: dict[str, list[TrialRecord]]
) -> dict[str, Row]:
    ceilings = {}
    scenes, tasks = {trial.key for trial in trials}, {trial.task for trial in trials}
    for name, known in others.items():
        same = [trial for trial in known if trial.key in scenes]
        beside = same if len(same) == len(scenes) else [trial for trial in known if trial.task in tasks]
        if {trial.task for trial in beside} == tasks:
            ceilings[name] = Row(trials[0].protocol, name, task, tuple(beside), {})
    return ceilings


def _grouped(trials: Iterable[TrialRecord], key: Callable) -> dict:
    groups: dict = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    return groups


@dataclass(frozen=True)
class Comparison:
    """Two policies on the scenes of one protocol that both were tried in, for one task or all."""

    protocol: str
    first: str
    second: str
    task: str
    pairing: Pairing
    num_both: int
    """In how many scenes both succeeded."""

    @property
    def num_neither(self) -> int:
        """In how many scenes neither did."""
        return self.pairing.num_pairs - self.num_both - self.pairing.only_first - self.pairing.only_second


def comparisons(table: Sequence[Row]) -> list[Comparison]:
    """Each two policies of a protocol that share scenes, task by task; ceilings are not compared."""
    found = []
    for first, second in combinations([row for row in table if not is_ceiling(row.policy)], 2):
        if (first.protocol, first.task) == (second.protocol, second.task) and first.policy != second.policy:
            won = [{trial.key: trial.succeeded for trial in row.trials} for row in (first, second)]
            shared = won[0].keys() & won[1].keys()
            if shared:
                num_both = sum(won[0][key] and won[1][key] for key in shared)
                found.append(
                    Comparison(first.protocol, first.policy, second.policy, first.task, pair(*won), num_both)
                )
    return sorted(found, key=lambda one: (one.protocol, one.first, one.second))
