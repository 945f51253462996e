"""The trials of several results folders, with distinct names for policies of one name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from action_images.errors import ActionImagesError
from action_images.evaluation.conditions import Conditions, load_conditions
from action_images.evaluation.table import Group, Owned, is_ceiling
from action_images.evaluation.trial import TRIALS, TrialRecord, load_trials

CEILING_FOLDERS = ("expert", "expert-video")
"""Folders in which `action-images evaluate` stores the ceilings of a folder's policy."""

Address = tuple[str, str, str, int]
"""Protocol, policy, task and seed of a trial."""


@dataclass(frozen=True)
class LoadedTrials:
    """Every trial once; `home` is the folder of each trial, `owned` each policy's own ceilings, `conditions`
    those of each protocol and policy."""

    trials: tuple[TrialRecord, ...]
    home: Mapping[Address, Path]
    owned: Owned
    conditions: Mapping[Group, Conditions]


def address_of(trial: TrialRecord) -> Address:
    """The address that identifies a trial in a report."""
    return trial.protocol, trial.policy, trial.task, trial.seed


def load_folders(given: Sequence[Path]) -> LoadedTrials:
    """All trials of these folders, and of the ceilings inside them.

    A policy's name gets its folder in brackets if another folder has a policy of that name. A ceiling's name
    does if the other folder's conditions differ. Raises ActionImagesError if a folder has no results.
    """
    loaded = {folder: load_trials(folder) for folder in _with_ceilings(given)}
    if empty := [str(folder) for folder, trials in loaded.items() if not trials]:
        raise ActionImagesError(
            f"{', '.join(empty)}: no trial has been finished there; let 'action-images evaluate' run on"
        )
    conditions = {folder: load_conditions(folder) for folder in loaded}
    home: dict[Address, Path] = {}
    trials = []
    for folder, found in loaded.items():
        for trial in found:
            named = _told_apart(trial, folder, loaded, conditions)
            # A ceiling may be in several folders; its trials are the same.
            if address_of(named) not in home:
                home[address_of(named)] = folder
                trials.append(named)
    if not trials:
        raise ActionImagesError("there is nothing to report: give at least one folder of results")
    of_groups = {(protocol, policy): conditions[folder] for (protocol, policy, *_), folder in home.items()}
    return LoadedTrials(tuple(trials), home, _owned(home, conditions), of_groups)


def _with_ceilings(given: Sequence[Path]) -> list[Path]:
    folders = []
    for folder in given:
        inside = [folder / name for name in CEILING_FOLDERS]
        folders += [folder, *(ceiling for ceiling in inside if (ceiling / TRIALS).is_file())]
    return folders


def _told_apart(
    trial: TrialRecord,
    folder: Path,
    loaded: Mapping[Path, Sequence[TrialRecord]],
    conditions: Mapping[Path, Conditions],
) -> TrialRecord:
    """The trial, with its folder in the policy's name if others have the same name."""
    others = [other for other in loaded if other != folder]
    same = [other for other in others if _has_policy(loaded[other], trial)]
    if is_ceiling(trial.policy):
        same = [other for other in same if conditions[other] != conditions[folder]]
    return replace(trial, policy=f"{trial.policy} ({_label(folder, loaded)})") if same else trial


def _has_policy(trials: Iterable[TrialRecord], of: TrialRecord) -> bool:
    return any((trial.protocol, trial.policy) == (of.protocol, of.policy) for trial in trials)


def _label(folder: Path, others: Iterable[Path]) -> str:
    """A folder's name, with as many of its parent folders as distinguish it from the others."""
    for num_parts in range(1, len(folder.parts) + 1):
        tails = [other.parts[-num_parts:] for other in others]
        if tails.count(folder.parts[-num_parts:]) == 1:
            return "/".join(folder.parts[-num_parts:])
    return str(folder)


def _owned(home: Mapping[Address, Path], conditions: Mapping[Path, Conditions]) -> Owned:
    """The ceilings with the same conditions, for each policy."""
    folders: dict[tuple[str, str], set[Path]] = {}
    for (protocol, policy, _task, _seed), folder in home.items():
        folders.setdefault((protocol, policy), set()).add(folder)

    def share_conditions(one: tuple[str, str], other: tuple[str, str]) -> bool:
        pairs = product(folders[one], folders[other])
        return any(_agree(conditions[first], conditions[second]) for first, second in pairs)

    owned: dict[tuple[str, str], set[str]] = {}
    for policy in folders:
        ceilings = [one for one in folders if is_ceiling(one[1]) and one[0] == policy[0]]
        owned[policy] = {ceiling[1] for ceiling in ceilings if share_conditions(policy, ceiling)}
    return owned


def _agree(some: Conditions, others: Conditions) -> bool:
    """Whether two folders' conditions agree; a policy's clips count only if both folders state them."""
    names = {*some, *others}
    if "clips" not in some or "clips" not in others:
        names.discard("clips")
    return all(some.get(name) == others.get(name) for name in names)
