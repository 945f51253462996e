"""LeRobotDataset v3 of other writers: video only, unless a calibration file says where cameras and tool are.

The file is json: {"views": {<view>: {"intrinsics": 3x3, "world_from_camera": 4x4}}, and, where known, "tool":
{"feature": "observation.state", "columns": [7 or 8 of its columns], "closed": c, "open": o}}. The columns are x y z
(m), Euler xyz (rad) or quaternion x y z w, gripper; the gripper's readings `closed` and `open` become 0 and 1.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.readers import EVERYTHING, Wanted
from action_images.episodes.readers.folders import as_tensor
from action_images.episodes.shift import part_of
from action_images.episodes.strangers import check_inside
from action_images.episodes.words import Part
from action_images.geometry import Camera, Pose, Trajectory


@dataclass(frozen=True)
class _Piece:
    """What becomes an episode: frames of one in the data set, or the reason why not."""

    place: int
    part: Part
    is_stale: bool = False
    is_cut: bool = False
    refusal: str | None = None


def _look_at_the_others(row: str, reason: str) -> None:
    """A row that can be no episode is refused by its own name."""


class LeRobot:
    """A LeRobotDataset v3, with calibration.json of its folder where there is one.

    Words are those that `task_index` binds. An episode whose task changes becomes several, `<id>/task0` and so on, or
    is refused where that is wanted.
    """

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING, calibration: Path | None = None):
        self._dataset = Dataset(root, leave_out=_look_at_the_others)
        self._wanted = wanted
        self._pieces: dict[str, _Piece] = {}
        for place, episode_id in enumerate(self._dataset.ids):
            self._pieces |= self._pieces_of(place, episode_id)
        self._path = root / "calibration.json" if calibration is None else calibration
        self._is_calibrated = calibration is not None or self._path.is_file()
        if calibration is None:
            check_inside(root, self._path)
        self._calibration = layout.read_json(self._path) if self._is_calibrated else {}
        self._check_calibration()

    def _check_calibration(self) -> None:
        views, tool = self._calibration.get("views", {}), self._calibration.get("tool", {})
        are_objects = isinstance(views, dict) and isinstance(tool, dict)
        if not are_objects or not all(isinstance(entry, dict) for entry in views.values()):
            told = "'views', each of them and 'tool' are json objects"
            raise EpisodeError(f"{self._path}: {told}; docs/data.md shows them")
        unknown = sorted(set(views) - set(self._dataset.view_names))
        if unknown:
            has = self._dataset.view_names
            raise EpisodeError(f"{self._path}: calibrates {unknown}, the data set has the views {has}")

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is an info.json where LeRobot has it."""
        return (root / layout.INFO).is_file()

    @property
    def ids(self) -> list[str]:
        """Our ids where we wrote them, else episode_000000 and so on; last those rows that can be no episode."""
        return [*self._pieces, *self._dataset.impossible]

    @property
    def remarks(self) -> list[str]:
        """What was found beside the episodes and what was not, and what is left out."""
        remarks = [
            f"feature '{name}': {why}; it is left out"
            for name, why in layout.left_out(self._dataset.info).items()
        ]
        if self._is_calibrated:
            remarks.append(f"{self._path.name} is found: cameras and tool poses are taken from it")
        elif not any(key.startswith(layout.CAMERAS) for key in self._dataset.info["features"]):
            remarks.append(f"{self._path.name} is not there: cameras and tool poses are not known")
        return remarks + self._remarks_on_words()

    def _remarks_on_words(self) -> list[str]:
        remarks = []
        stale = len({piece.place for piece in self._pieces.values() if piece.is_stale})
        if stale:
            remarks.append(
                f"'tasks' of meta/episodes is not what task_index and {layout.TASKS} say in {stale} episodes; "
                "the latter is taken"
            )
        cut = len({piece.place for piece in self._pieces.values() if piece.part.start > 0})
        if cut:
            remarks.append(f"{cut} episodes have several tasks, one after the other; they are cut there")
        return remarks

    def read(self, episode_id: str) -> Episode:
        """One episode with what the file or the calibration knows."""
        if episode_id in self._dataset.impossible:
            raise EpisodeError(self._dataset.impossible[episode_id])
        if episode_id not in self._pieces:
            raise EpisodeError(f"{self._dataset.path}: has no episode {episode_id[:80]!r}")
        piece = self._pieces[episode_id]
        if piece.refusal is not None:
            raise EpisodeError(piece.refusal)
        names = self._wanted.of(episode_id, self._dataset.view_names)
        episode = self._dataset.selected(piece.place, names, piece.part.text)
        views = tuple(self._calibrated(view) for view in episode.views)
        tool = self._calibration.get("tool")
        trajectory = episode.trajectory if tool is None else self._trajectory(piece.place, tool)
        whole = replace(episode, id=episode_id, views=views, trajectory=trajectory)
        return part_of(whole, piece.part.start, piece.part.stop) if piece.is_cut else whole

    def _pieces_of(self, place: int, episode_id: str) -> dict[str, "_Piece"]:
        """An episode by its tasks; one that cannot say them is refused when it is read."""
        try:
            parts = self._dataset.words(place)
        except EpisodeError as error:
            return {episode_id: _Piece(place, Part(0, 0, None), refusal=str(error))}
        told, bound = set(self._dataset.told(place)), {part.text for part in parts if part.text}
        is_stale = bool(told) and told != bound
        if len(parts) == 1:
            return {episode_id: _Piece(place, parts[0], is_stale=is_stale)}
        if self._wanted.several_tasks == "refuse":
            changes = (
                f"its task changes at frame {parts[1].start} (from {parts[0].text!r} to {parts[1].text!r})"
            )
            reason = f"{episode_id}: {changes}; import with --several-tasks cut"
            return {episode_id: _Piece(place, parts[0], refusal=reason)}
        return {
            f"{episode_id}/task{number}": _Piece(place, part, is_stale=is_stale, is_cut=True)
            for number, part in enumerate(parts)
        }

    def _calibrated(self, view: View) -> View:
        entry = self._calibration.get("views", {}).get(view.name)
        if entry is None:
            return view
        name = f"{self._path}: {view.name}"
        intrinsics = as_tensor(entry.get("intrinsics"), (3, 3), f"{name}.intrinsics")
        matrix = as_tensor(entry.get("world_from_camera"), (4, 4), f"{name}.world_from_camera")
        return replace(
            view, camera=Camera(intrinsics, Pose.from_matrix(matrix), view.frames.size).check(name)
        )

    def _trajectory(self, place: int, tool: dict[str, Any]) -> Trajectory:
        try:
            feature, columns = str(tool["feature"]), [int(column) for column in tool["columns"]]
            closed, opened = float(tool["closed"]), float(tool["open"])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise EpisodeError(
                f"{self._path}: 'tool' needs feature, columns, closed and open; docs/data.md shows them"
            ) from None
        values = as_tensor(self._dataset.column(place, feature), (None, None), feature)
        if (
            closed == opened
            or len(columns) not in (7, 8)
            or not all(0 <= column < values.shape[1] for column in columns)
        ):
            raise EpisodeError(
                f"{self._path}: 'tool' needs 7 or 8 columns below {values.shape[1]}, and closed unlike open"
            )
        chosen = values[:, torch.tensor(columns)]
        opening = ((chosen[:, -1] - closed) / (opened - closed)).clamp(0, 1)
        return Trajectory.from_vector(torch.cat([chosen[:, :-1], opening[:, None]], -1))
