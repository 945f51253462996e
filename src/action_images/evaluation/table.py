"""Trials gathered into the rows of a table, by protocol, policy and task."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from types import MappingProxyType

from action_images.evaluation.conditions import Conditions, differences, same_scenes
from action_images.evaluation.statistics import Pairing, pair, wilson_interval
from action_images.evaluation.trial import FAILURES, TrialRecord

ALL = "all tasks"
"""The name of the row with the trials of all tasks together."""


CEILINGS = ("expert", "expert-video")
Group = tuple[str, str]
"""A protocol and a policy."""
Owned = Mapping[Group, Collection[str]]
"""Protocol and policy -> the names of the ceilings that were measured under its conditions."""
EMPTY: Mapping[Group, Conditions] = MappingProxyType({})
"""No conditions are known."""


def num_touched(trials: Iterable[TrialRecord]) -> int | None:
    """The number of trials that were done after any step; None if some of them do not say."""
    touched = [True if trial.succeeded else trial.touched for trial in trials]
    return None if None in touched else touched.count(True)


def is_ceiling(policy: str) -> bool:
    """Whether a policy's results are a ceiling for others: the expert's, alone or through video.

    The name may end with the folder of its results in brackets.
    """
    return policy in CEILINGS or policy.startswith(tuple(f"{name} (" for name in CEILINGS))


@dataclass(frozen=True)
class Row:
    """The trials of one policy in one task (or all) of one protocol, with their ceilings."""

    protocol: str
    policy: str
    task: str
    trials: tuple[TrialRecord, ...]
    ceilings: dict[str, "Row"]

    @property
    def num_trials(self) -> int:
        """The number of trials."""
        return len(self.trials)

    @property
    def num_succeeded(self) -> int:
        """The number of trials that succeeded."""
        return sum(trial.succeeded for trial in self.trials)

    @property
    def num_touched(self) -> int | None:
        """The number of trials that were done after any step; None if some trials do not say."""
        return num_touched(self.trials)

    @property
    def rate(self) -> float:
        """The share that succeeded."""
        return self.num_succeeded / self.num_trials

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson interval (95 %) of the success rate."""
        return wilson_interval(self.num_succeeded, self.num_trials)

    @property
    def failures(self) -> dict[str, int]:
        """The number of failed trials by reason; reasons without trials are left out."""
        counts = Counter(trial.failure for trial in self.trials)
        return {failure: counts[failure] for failure in FAILURES if counts[failure]}

    @property
    def plan_ms(self) -> float | None:
        """The median over trials of the time of one plan (ms)."""
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

    `owned` says which ceilings belong to a policy (None: all of its protocol). A policy with more than one
    task gets a row for all of them, after the others. Ceilings count over the row's own scenes if they were
    run in all of these, else over all their own scenes.
    """
    trials = list(trials)
    groups = _grouped(trials, lambda trial: (trial.protocol, trial.policy))
    order = list(dict.fromkeys(trial.protocol for trial in trials))
    in_order = sorted(groups, key=lambda group: (order.index(group[0]), is_ceiling(group[1])))
    table: list[Row] = []
    for group in in_order:
        table += _policy_rows(groups, group, owned)
    return table


def _policy_rows(groups: Mapping[Group, list[TrialRecord]], group: Group, owned: Owned | None) -> list[Row]:
    """The rows of one policy under one protocol."""
    protocol, policy = group
    tasks = _grouped(groups[group], lambda trial: trial.task)
    if len(tasks) > 1:
        tasks[ALL] = groups[group]
    beside = {} if is_ceiling(policy) else _ceilings_of(groups, group, owned)
    rows = []
    for task, trials in tasks.items():
        ceilings = _ceilings(task, trials, beside)
        rows.append(Row(protocol, policy, task=task, trials=tuple(trials), ceilings=ceilings))
    return rows


def _ceilings_of(
    groups: Mapping[Group, list[TrialRecord]], group: Group, owned: Owned | None
) -> dict[str, list[TrialRecord]]:
    """The trials of the ceilings that belong to a policy, by name."""
    protocol, _ = group
    names = [name for where, name in groups if where == protocol and is_ceiling(name)]
    if owned is not None:
        names = [name for name in names if name in owned.get(group, ())]
    return {name: groups[protocol, name] for name in names}


def _ceilings(
    task: str, trials: Sequence[TrialRecord], others: dict[str, list[TrialRecord]]
) -> dict[str, Row]:
    ceilings = {}
    scenes, tasks = {trial.key for trial in trials}, {trial.task for trial in trials}
    for name, known in others.items():
        same = [trial for trial in known if trial.key in scenes]
        beside = same if len(same) == len(scenes) else [trial for trial in known if trial.task in tasks]
        if {trial.task for trial in beside} == tasks:
            ceilings[name] = Row(trials[0].protocol, name, task=task, trials=tuple(beside), ceilings={})
    return ceilings


def _grouped(trials: Iterable[TrialRecord], key: Callable) -> dict:
    groups: dict = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    return groups


@dataclass(frozen=True)
class Comparison:
    """Two policies on the scenes of one protocol that both were run in, for one task or all."""

    protocol: str
    first: str
    second: str
    task: str
    pairing: Pairing
    num_both: int
    """The number of scenes in which both succeeded."""
    differing: tuple[str, ...] = ()
    """The settings that differ between the two, in words."""

    @property
    def num_neither(self) -> int:
        """The number of scenes in which neither succeeded."""
        return self.pairing.num_pairs - self.num_both - self.pairing.only_first - self.pairing.only_second


def comparisons(table: Sequence[Row], conditions: Mapping[Group, Conditions] = EMPTY) -> list[Comparison]:
    """Comparisons of all pairs of policies of a protocol that share scenes, by task, without ceilings.

    `conditions` are those of each protocol and policy. Tasks and seeds of different worlds are no same
    scenes.
    """
    found = []
    for first, second in _pairs(table):
        some, others = (conditions.get((row.protocol, row.policy), {}) for row in (first, second))
        comparison = _comparison(first, second, tuple(differences(some, others)))
        if comparison is not None and same_scenes(some, others):
            found.append(comparison)
    return sorted(found, key=lambda one: (one.protocol, one.first, one.second))


def worlds_apart(table: Sequence[Row], conditions: Mapping[Group, Conditions]) -> list[tuple[Group, Group]]:
    """The pairs of policies of a protocol that ran tasks of the same names in different worlds."""
    apart = {}
    for one, other in _pairs(table):
        first, second = (one.protocol, one.policy), (other.protocol, other.policy)
        if not same_scenes(conditions.get(first, {}), conditions.get(second, {})):
            apart[first, second] = None
    return list(apart)


def _pairs(table: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Two policies' rows of one protocol and task, without ceilings."""
    compared = [row for row in table if not is_ceiling(row.policy)]
    return [
        (first, second)
        for first, second in combinations(compared, 2)
        if (first.protocol, first.task) == (second.protocol, second.task) and first.policy != second.policy
    ]


def _comparison(first: Row, second: Row, differing: tuple[str, ...]) -> Comparison | None:
    """The comparison of two rows; None if they share nothing to compare."""
    first_won = {trial.key: trial.succeeded for trial in first.trials}
    second_won = {trial.key: trial.succeeded for trial in second.trials}
    shared = first_won.keys() & second_won.keys()
    if not shared:
        return None
    return Comparison(
        first.protocol,
        first.policy,
        second.policy,
        task=first.task,
        pairing=pair(first_won, second_won),
        num_both=sum(first_won[key] and second_won[key] for key in shared),
        differing=differing,
    )
