"""The trials of a results folder, during and after `evaluate`."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from action_images.errors import ActionImagesError
from action_images.evaluation.trial import TRIALS, TrialRecord, load_trials
from action_images.reports.viewing.shelf import Entry

if TYPE_CHECKING:
    from action_images.reports.viewing.viewable import Viewable

CEILING_FOLDERS = ("expert", "expert-video")
"""Folders in which `action-images evaluate` stores the ceilings of a folder's policy."""
RECORD_SUFFIX = ".view"
"""Suffix of the file beside a film with the observations, generated images and plans."""


class ResultsShelf:
    """Trials by task and seed, the policy's own before the ceilings'; trials with a film can be viewed."""

    is_live = True
    notes: Sequence[str] = ()

    def __init__(self, path: Path):
        self.path, self.title = path, path.resolve().name
        self._version: str | None = None
        self._trials: list[tuple[Path, TrialRecord]] = []
        self._entries: list[Entry] = []
        self._renew()

    def version(self) -> str:
        """The sizes and times of the files of trials."""
        states = [(folder / TRIALS).stat() for folder in self._folders()]
        return "-".join(f"{state.st_mtime_ns:x}.{state.st_size:x}" for state in states)

    def entries(self) -> Sequence[Entry]:
        """The trials currently in the files."""
        self._renew()
        return self._entries

    def open(self, number: int) -> "Viewable":
        """A trial's record, else its film, else its numbers alone."""
        from action_images.reports.viewing.trial_view import of_trial

        if not 0 <= number < len(self._trials):
            raise ActionImagesError(f"{self.path}: there is no trial of number {number}")
        return of_trial(*self._trials[number])

    def _folders(self) -> list[Path]:
        found = [self.path, *(self.path / name for name in CEILING_FOLDERS)]
        return [folder for folder in found if (folder / TRIALS).is_file()]

    def _renew(self) -> None:
        version = self.version()
        if version == self._version:
            return
        trials: list[tuple[Path, TrialRecord]] = []
        for folder in self._folders():
            trials += [(folder, trial) for trial in load_trials(folder)]
        self._trials = trials
        self._entries = [
            replace(_entry(trial, is_own=folder == self.path), version=_version(folder, trial))
            for folder, trial in trials
        ]
        self._version = version


def _entry(trial: TrialRecord, *, is_own: bool) -> Entry:
    outcome = "succeeded" if trial.succeeded else "failed"
    facets = {
        "outcome": (outcome,),
        "task": (trial.task,),
        "policy": (trial.policy,),
        "film": ("filmed" if trial.film else "not filmed",),
    }
    if trial.failure:
        facets["reason"] = (trial.failure,)
    return Entry(
        id=f"{trial.task} {trial.seed}" if is_own else f"{trial.policy}: {trial.task} {trial.seed}",
        told=trial.instruction,
        detail=f"{outcome}: {trial.detail}" if trial.failure is None else f"{trial.failure}: {trial.detail}",
        level="" if trial.succeeded else "error",
        facets=facets,
        words=f"{trial.policy} {trial.protocol} {trial.detail}",
    )


def _version(folder: Path, trial: TrialRecord) -> str:
    """A hash of a trial's record and of when its film was written: a trial may be judged and filmed anew."""
    told = [repr(trial)]
    if trial.film is not None:
        film = folder / trial.film
        there = [path for path in (film, film.with_suffix(RECORD_SUFFIX)) if path.is_file()]
        told += [str(path.stat().st_mtime_ns) for path in there]
    return sha256("\0".join(told).encode()).hexdigest()
