"""Other conventions of tool poses and pictures that tracks can distinguish from the declared one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from action_images.calibration.from_motion.tracks import Track
from action_images.episodes.checks.alternatives import ROTATIONS, TOOL
from action_images.episodes.checks.follow import Scene
from action_images.geometry import Camera, Pose

DECLARED = "as declared"
TRIED = {**ROTATIONS, "inverse tool": TOOL["inverse tool"]}
"""By name: the alternatives that `check` tries too, on the same poses."""
REDECLARED: Mapping[str, Mapping[str, str]] = {
    "quaternion wxyz": {"quaternion_xyzw": "quaternion_wxyz"},
    "quaternion xyzw": {"quaternion_wxyz": "quaternion_xyzw"},
    "rotation vector": {"euler_xyz": "rotvec"},
    "Euler angles": {"rotvec": "euler_xyz"},
    "inverse rotation": {"rotation_6d": "rotation_6d_rows", "rotation_6d_rows": "rotation_6d"},
}
"""Convention -> declared notation -> notation to declare instead, if there is one."""
LEAST_DIFFERENCE = 0.02
"""Least difference of the tool's turns (rms, rad) to distinguish two conventions."""

Path = Float[np.ndarray, "frame 4 4"]


@dataclass(frozen=True)
class Frames:
    """The frames between a table's own poses and the tool's: world_from_base and theirs_from_tool."""

    world_from_base: Pose
    theirs_from_tool: Pose


NOTHING_BETWEEN = Frames(Pose.identity(dtype=torch.float64), Pose.identity(dtype=torch.float64))


@dataclass(frozen=True)
class Reading:
    """One way to read a view: the convention of the tool's poses, and whether its pictures are mirrored."""

    convention: str = DECLARED
    mirrored: bool = False

    @property
    def says(self) -> str:
        """Words that complete "the pictures fit better ..."."""
        parts = [] if self.convention == DECLARED else [TRIED[self.convention].says]
        parts += ["with the pictures mirrored"] if self.mirrored else []
        return " and ".join(parts) or DECLARED


def readings(
    poses: Sequence[Path], frames: Frames = NOTHING_BETWEEN, others: Sequence[str] = tuple(TRIED)
) -> list[Reading]:
    """The declared reading and others that differ from it on these poses, mirrored and not."""
    conventions = [DECLARED]
    for name in others:
        if not any(_alike(poses, name, other, frames) for other in conventions):
            conventions.append(name)
    unmirrored = [Reading(name) for name in conventions]
    return unmirrored + [replace(reading, mirrored=True) for reading in unmirrored]


def _alike(poses: Sequence[Path], one: str, other: str, frames: Frames) -> bool:
    """Whether two conventions agree on every tenth pose, up to a fixed turn of the tool about itself."""
    some = np.concatenate(list(poses))[::10]
    first, second = (read_poses([some], name, frames)[0] for name in (one, other))
    if np.abs(first[:, :3, 3] - second[:, :3, 3]).max() > 1e-3:
        return False
    between = np.swapaxes(first[:, :3, :3], 1, 2) @ second[:, :3, :3]
    difference = np.linalg.norm(between - between.mean(0), axis=(1, 2)) / np.sqrt(2)
    return float(np.sqrt((difference**2).mean())) < LEAST_DIFFERENCE


def read_poses(poses: Sequence[Path], convention: str, frames: Frames = NOTHING_BETWEEN) -> list[Path]:
    """world_from_tool of each episode if its table is in another convention."""
    if convention == DECLARED:
        return list(poses)
    return [_changed(path, convention, frames) for path in poses]


def _changed(path: Path, convention: str, frames: Frames) -> Path:
    world_from_tool = Pose.from_matrix(torch.from_numpy(path))
    table = frames.world_from_base.inverse() @ world_from_tool @ frames.theirs_from_tool.inverse()
    changed = TRIED[convention].change(_scene(table)).world_from_tool
    return (frames.world_from_base @ changed @ frames.theirs_from_tool).matrix().numpy()


def _scene(table: Pose) -> Scene:
    """The poses in the form that `check` uses; pictures and camera play no part."""
    count = len(table.translation)
    upright = torch.eye(2, dtype=torch.float64).expand(count, 2, 2)
    camera = Camera.from_fov(1.0, Pose.identity(count, dtype=torch.float64), (1, 1))
    known = torch.ones(count, dtype=torch.bool)
    return Scene(turn=upright, camera=camera, world_from_tool=table, known=known)


def mirror(tracks: Sequence[Sequence[Track]], width: int) -> list[list[Track]]:
    """Tracks as in mirrored pictures of this width."""
    return [list(map(partial(_mirrored, width), followed)) for followed in tracks]


def _mirrored(width: int, track: Track) -> Track:
    return replace(track, pixels=track.pixels * [-1.0, 1.0] + [float(width), 0.0])
