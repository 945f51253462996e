"""What the rows of an episode's data file say: its cameras, the tool's path, and pictures in rows.

`row` is the episode's row of the episode table, `info` the contents of meta/info.json.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.episode import EpisodeError, Frames
from action_images.episodes.pictures import Pictures
from action_images.geometry import Camera, Pose, Trajectory
from action_images.structs import concatenate


@dataclass(frozen=True)
class Numbers:
    """Everything in an episode but its pictures."""

    id: str
    instruction: str | None
    cameras: dict[str, Camera | None]
    trajectory: Trajectory | None
    told: Trajectory | None
    """The commanded poses, see `Episode.told`; None if the data set was opened without them."""


def camera_of(rows: pa.Table, name: str, size: tuple[int, int], row: dict[str, Any]) -> Camera | None:
    """A view's camera in every frame, or once if it never moves; None if the view is not calibrated.

    `size` is that of its pictures. Raises EpisodeError for numbers that are no camera.
    """
    intrinsics = _numbers(rows, f"{layout.CAMERAS}{name}.intrinsics", 9, row)
    matrix = _numbers(rows, f"{layout.CAMERAS}{name}.world_from_camera", 16, row)
    if intrinsics is None or matrix is None:
        return None
    # A camera that never moves is stored once, however often the file repeats it.
    if (intrinsics == intrinsics[0]).all() and (matrix == matrix[0]).all():
        intrinsics, matrix = intrinsics[0], matrix[0]
    intrinsics, matrix = intrinsics.unflatten(-1, (3, 3)), matrix.unflatten(-1, (4, 4))
    try:
        return Camera(intrinsics, Pose.from_matrix(matrix), size).check(f"{name}.camera")
    except ValueError as error:
        raise EpisodeError(f"{row['episode_id']}: {error}") from None


def told_of(rows: pa.Table, row: dict[str, Any], info: dict[str, Any], path: Trajectory) -> Trajectory | None:
    """The last commanded pose at each frame; in the first frame the tool's own pose."""
    told_next = path_of(rows, row, info, layout.ACTION)
    return None if told_next is None else concatenate([path[:1], told_next[:-1]])


def path_of(
    rows: pa.Table, row: dict[str, Any], info: dict[str, Any], key: str = layout.STATE
) -> Trajectory | None:
    """The tool's path in a column; None if there is none.

    A foreign state may be joint angles: only columns that are named as a tool pose are accepted. Raises
    EpisodeError for numbers that are no path.
    """
    if not layout.is_tool_pose(info["features"].get(key, {})):
        return None
    vector = _numbers(rows, key, 8, row)
    try:
        return None if vector is None else Trajectory.from_vector(vector)
    except ValueError as error:
        raise EpisodeError(f"{row['episode_id']}: {error}") from None


def stored_pictures(rows: pa.Table, key: str, row: dict[str, Any]) -> Frames:
    """A view whose encoded pictures are in the rows; raises EpisodeError if they are elsewhere."""
    cells = rows[key].to_pylist()
    cells = [cell.get("bytes") if isinstance(cell, dict) else cell for cell in cells]
    contents = tuple(cell for cell in cells if isinstance(cell, bytes))
    if len(contents) < len(cells):
        where = f"the pictures of '{key}' are not stored in the data file"
        raise EpisodeError(f"{row['episode_id']}: {where}; convert the data set to videos")
    return Pictures(contents)


def _numbers(rows: pa.Table, key: str, width: int, row: dict[str, Any]) -> Tensor | None:
    """A column as (frame, width) float32; None if it is absent or unknown in every frame."""
    if key not in rows.column_names:
        return None
    try:
        values = np.array(rows[key].to_pylist(), np.float32)
    except (ValueError, TypeError, OverflowError):
        values = np.empty(0)
    if values.shape != (rows.num_rows, width):
        raise EpisodeError(
            f"{row['episode_id']}: '{key}' should have {width} numbers in each frame; repair the data file"
        )
    return None if np.isnan(values).all() else torch.from_numpy(values)
