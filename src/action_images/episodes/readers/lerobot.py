"""LeRobotDataset v3 of other writers: video only, unless a calibration file says where cameras and tool are.

The file is json: {"views": {<view>: {"intrinsics": 3x3, "world_from_camera": 4x4}}, and, where known, "tool":
{"feature": "observation.state", "columns": [7 or 8 of its columns], "closed": c, "open": o}}. The columns are x y z
(m), Euler xyz (rad) or quaternion x y z w, gripper; the gripper's readings `closed` and `open` become 0 and 1.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError, View
from action_images.episodes.readers.folders import as_tensor
from action_images.geometry import Camera, Pose, Trajectory


class LeRobot:
    """A LeRobotDataset v3, with calibration.json of its folder where there is one."""

    def __init__(self, root: Path, calibration: Path | None = None):
        self._dataset = Dataset(root)
        self._places = {episode_id: place for place, episode_id in enumerate(self._dataset.ids)}
        path = root / "calibration.json" if calibration is None else calibration
        self._calibration = layout.read_json(path) if calibration is not None or path.is_file() else {}
        self._path = path
        views, tool = self._calibration.get("views", {}), self._calibration.get("tool", {})
        if (
            not isinstance(views, dict)
            or not isinstance(tool, dict)
            or not all(isinstance(entry, dict) for entry in views.values())
        ):
            raise EpisodeError(
                f"{path}: 'views', each of them and 'tool' are json objects; docs/data.md shows them"
            )
        unknown = set(views) - set(self._dataset.view_names)
        if unknown:
            raise EpisodeError(
                f"{path}: calibrates {sorted(unknown)}, the data set has the views {self._dataset.view_names}"
            )

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether there is an info.json where LeRobot has it."""
        return (root / layout.INFO).is_file()

    @property
    def ids(self) -> list[str]:
        """Our ids where we wrote them, else episode_000000 and so on."""
        return self._dataset.ids

    def read(self, episode_id: str) -> Episode:
        """One episode with what the file or the calibration knows."""
        if episode_id not in self._places:
            raise EpisodeError(f"{self._dataset.path}: has no episode {episode_id[:80]!r}")
        place = self._places[episode_id]
        episode = self._dataset[place]
        views = tuple(self._calibrated(view) for view in episode.views)
        tool = self._calibration.get("tool")
        trajectory = episode.trajectory if tool is None else self._trajectory(place, tool)
        return replace(episode, views=views, trajectory=trajectory)

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
