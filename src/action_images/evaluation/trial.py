"""The record of one trial: a line of JSON that says how it ended and why."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.files import jsonl
from action_images.files.atomic import write_text
from action_images.files.typed import check_fields

UNREACHABLE, GUARD, READER = "unreachable", "guard", "reader"
GRIPPER, MISSED, TIMEOUT = "gripper", "missed", "timeout"
FAILURES = {
    GUARD: "a guard rail stopped the arm",
    READER: "the plan could not be read off the action images",
    UNREACHABLE: "inverse kinematics found no solution for what was asked",
    GRIPPER: "the gripper was not told what the task needs",
    MISSED: "all was executed, but the tool did not end where the expert's does",
    TIMEOUT: "time ran out with the tool where it should end, or still on its way",
}
"""Reason of a failure -> its meaning, in the order of the rules in evaluation/attribution.py."""

TRIALS = "trials.jsonl"
"""The file of a results folder that has one TrialRecord a line, in any order."""
SETTINGS = "settings.json"
"""The file with the conditions of the trials."""


@dataclass(frozen=True)
class TrialRecord:
    """The result of one trial: JSON names and values alone, so that it can be read without this package.

    `failure` is None for a success, else a key of FAILURES; `detail` says in one sentence how the trial
    ended. `plan_ms` is the median time of one plan (ms, None if no plan was asked for). `stage_ms` is the
    same by stage, if the policy measures it. `missed_mm` is the distance between the last tool position and
    the expert's, None if the task has no expert. `film` is a path inside the results folder, or None.
    `touched` is whether the task was done after any step, as many benchmarks count success; None in results
    of versions that did not write it.
    """

    protocol: str
    policy: str
    task: str
    seed: int
    instruction: str
    succeeded: bool
    failure: str | None
    detail: str
    num_steps: int
    num_plans: int
    num_unreachable: int
    missed_mm: float | None = None
    plan_ms: float | None = None
    stage_ms: dict[str, float] | None = None
    film: str | None = None
    touched: bool | None = None

    def __post_init__(self) -> None:
        if self.succeeded != (self.failure is None) or self.failure not in (None, *FAILURES):
            raise ActionImagesError(
                f"{self.task} {self.seed}: succeeded={self.succeeded} with failure={self.failure!r}; "
                f"one of {list(FAILURES)}"
            )

    @property
    def key(self) -> tuple[str, int]:
        """The key that pairs trials of two policies: the task and the seed."""
        return self.task, self.seed

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The record of a line's values; raises ActionImagesError if they are not a record."""
        check_fields(cls, values)
        return cls(**values)


def append_trial(folder: Path, record: TrialRecord) -> None:
    """Add a record to a results folder; it is on the disk when this returns."""
    jsonl.append(folder / TRIALS, asdict(record))


def write_trials(folder: Path, records: Iterable[TrialRecord]) -> None:
    """Replace all records of a results folder, completely or not at all."""
    lines = [f"{json.dumps(asdict(record))}\n" for record in records]
    write_text(folder / TRIALS, "".join(lines))


def load_trials(folder: Path) -> list[TrialRecord]:
    """All records of a results folder, by task and seed.

    A last line that a crash left unfinished is skipped.

    Raises ActionImagesError, naming the line, for any other line that is not a record, and for a trial that
    occurs twice.
    """
    path = folder / TRIALS
    if not path.is_file():
        raise ActionImagesError(
            f"{folder}: has no {TRIALS}, so it is no folder of results; 'action-images evaluate' makes one"
        )
    records = [_record(path, number, values) for number, values in enumerate(jsonl.load(path), 1)]
    _refuse_twice(path, records)
    return sorted(records, key=lambda record: record.key)


def _record(path: Path, number: int, values: Mapping[str, Any]) -> TrialRecord:
    try:
        return TrialRecord.of(values)
    except (ValueError, TypeError) as error:
        raise ActionImagesError(
            f"{path}, line {number}: {error}; remove the line and evaluate again, which makes the trial anew"
        ) from error


def _refuse_twice(path: Path, records: Iterable[TrialRecord]) -> None:
    seen: set[tuple[str, int]] = set()
    for record in records:
        if record.key in seen:
            raise ActionImagesError(f"{path}: has {record.task} {record.seed} twice; remove one of the lines")
        seen.add(record.key)
