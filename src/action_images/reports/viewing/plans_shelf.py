"""The last plans that a running `serve --watch` wrote, newest first, and the writer of them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from action_images.errors import ActionImagesError
from action_images.reports.viewing.shelf import Entry

if TYPE_CHECKING:
    from action_images.reports.viewing.viewable import Viewable
    from action_images.robot import Observation, Plan

PLAN = re.compile(r"plan-(\d{9})\.view")
MAX_LISTED_PLANS = 1000
DEFAULT_FPS = 20.0
"""Frames a second of plans whose policy states no rate."""


def plan_files(folder: Path) -> list[Path]:
    """The plans in a folder, oldest first."""
    return sorted(path for path in folder.iterdir() if PLAN.fullmatch(path.name))


class PlansShelf:
    """Follows a folder in which new plans replace the oldest ones."""

    is_live = True
    notes = ("The last plans that 'action-images serve --watch' wrote here; older ones are gone.",)

    def __init__(self, path: Path):
        self.path, self.title = path, path.resolve().name
        self._told: dict[tuple[str, str], Entry] = {}
        self._files: list[Path] = []

    def version(self) -> str:
        """The newest plan, when it was written, and the number of plans."""
        files = plan_files(self.path)
        newest = f"{files[-1].name} {_written(files[-1])}" if files else ""
        return f"{newest}.{len(files)}"

    def entries(self) -> Sequence[Entry]:
        """All plans, newest first; each file's numbers are read once."""
        self._files = plan_files(self.path)[::-1][:MAX_LISTED_PLANS]
        # A server that begins anew in an emptied folder counts from 1 again.
        keys = [(path.name, _written(path)) for path in self._files]
        known = self._told
        self._told = {
            key: known.get(key) or replace(_entry(path), version=key[1])
            for path, key in zip(self._files, keys, strict=True)
        }
        return list(self._told.values())

    def open(self, number: int) -> "Viewable":
        """A plan; raises ActionImagesError if newer ones have replaced it meanwhile."""
        from action_images.reports.viewing.record_file import load_record

        if not 0 <= number < len(self._files) or not self._files[number].is_file():
            raise ActionImagesError("this plan is gone: newer ones took its place; choose another")
        return load_record(self._files[number])


def _written(path: Path) -> str:
    """When a file was written, in ns; empty if it is gone."""
    try:
        return str(path.stat().st_mtime_ns)
    except OSError:
        return ""


def _entry(path: Path) -> Entry:
    from action_images.reports.viewing.record_file import load_numbers

    try:
        content = load_numbers(path)
    except (ActionImagesError, OSError) as error:
        return Entry(path.stem, detail=str(error), level="error")
    told, facts = content.get("instruction"), content.get("facts")
    pairs = [fact for fact in facts if isinstance(fact, list)] if isinstance(facts, list) else []
    made = next((str(fact[1]) for fact in pairs if len(fact) == 2 and fact[0] == "made"), "")
    return Entry(str(content.get("id") or path.stem), str(told or ""), made, words=path.name)


class PlanWriter:
    """Writes each plan to its own file, and removes the oldest beyond `keep`.

    It is made in the policy's process. `fps` are the frames a second of a plan. Raises ActionImagesError if
    the folder holds something else.
    """

    def __init__(self, folder: Path, keep: int, fps: float):
        if keep < 1:
            raise ActionImagesError(f"--watch keeps at least one plan, not {keep}")
        folder.mkdir(parents=True, exist_ok=True)
        strange = [path.name for path in folder.iterdir() if not PLAN.fullmatch(path.name)]
        strange = [name for name in strange if not name.startswith(".")]
        if strange:
            raise ActionImagesError(
                f"{folder}: holds {strange[0]}, so it is no folder of plans; name a new one"
            )
        self._folder, self._keep, self.fps = folder, keep, fps
        files = plan_files(folder)
        self._next = int(files[-1].stem.partition("-")[2]) + 1 if files else 1

    def __call__(self, observation: "Observation", plan: "Plan") -> None:
        """Write one plan, completely or not at all."""
        from datetime import datetime

        from action_images.reports.viewing.record_file import save_record
        from action_images.reports.viewing.robot_view import of_plan

        made = datetime.now().astimezone().isoformat(" ", "seconds")
        shown = of_plan(observation, plan, f"plan {self._next}", self.fps)
        shown = replace(shown, facts=(("made", made), *_stages(plan)))
        save_record(self._folder / f"plan-{self._next:09d}.view", shown)
        self._next += 1
        for old in plan_files(self._folder)[: -self._keep]:
            old.unlink(missing_ok=True)


def _stages(plan: "Plan") -> list[tuple[str, str]]:
    return [(name, f"{ms:.0f} ms") for name, ms in (plan.stage_ms or {}).items()]
