"""Motions of an expert: paths of tool poses with minimum-jerk timing."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from action_images.geometry import Pose
from action_images.geometry import rotation as rotations
from action_images.sim.arm import CONTROL_HZ

SPEED = 0.25
"""Mean speed of a motion in m/s; the speed at its middle is 1.9 times as high."""

TURNING_SPEED = 1.2
"""Mean turning speed of a motion in rad/s."""


@dataclass(frozen=True)
class Motion:
    """Move the tool through poses (world_from_tool) with the gripper at `opening`.

    Without poses it stands still.

    `pace` scales the speed. `num_steps` is the least number of control steps to take.
    """

    through: tuple[Pose, ...]
    opening: float
    pace: float = 1.0
    num_steps: int = 1

    def poses(self, start: Pose) -> Iterator[Pose]:
        """One pose for each control step, from the first after `start` to the last of `through`."""
        stops = [start, *self.through]
        lengths = [_duration(a, b) / self.pace for a, b in pairwise(stops)]
        total = sum(lengths)
        num_steps = max(self.num_steps, math.ceil(total * CONTROL_HZ))
        for step in range(1, num_steps + 1):
            yield _along(stops, lengths, total * least_jerk(step / num_steps))


def move(*poses: Pose, opening: float, pace: float = 1.0) -> Motion:
    """Move through these poses without stopping in between."""
    return Motion(poses, opening, pace, num_steps=3)


def grip(opening: float, num_steps: int = 6) -> Motion:
    """Stand still while the gripper opens or closes."""
    return Motion((), opening, num_steps=num_steps)


def downward(position: Sequence[float] | np.ndarray | torch.Tensor, yaw: float = 0.0) -> Pose:
    """The tool at `position` (m), pointing straight down, turned by `yaw` (rad) about z."""
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    return Pose(about((0, 0, 1), yaw) @ flip, torch.as_tensor(position, dtype=torch.float64))


def about(axis: Sequence[float], angle: float) -> torch.Tensor:
    """The rotation by `angle` (rad) about a unit axis."""
    return rotations.from_rotation_vector(torch.tensor(axis, dtype=torch.float64) * angle)


def shifted(pose: Pose, by: Sequence[float]) -> Pose:
    """The pose moved by `by` (m, world), with the same orientation."""
    return Pose(pose.rotation, pose.translation + torch.tensor(by, dtype=torch.float64))


def carried(
    pose: Pose, point: torch.Tensor, axis: Sequence[float], angle: float, num: int = 12
) -> tuple[Pose, ...]:
    """`num` poses on the arc of a pose rotated by `angle` (rad) about a line through `point`."""
    turns = [about(axis, angle * (i + 1) / num) for i in range(num)]
    return tuple(Pose(turn @ pose.rotation, point + turn @ (pose.translation - point)) for turn in turns)


def least_jerk(phase: float) -> float:
    """Progress in [0, 1] at a phase in [0, 1], at rest at both ends (Flash and Hogan 1985)."""
    return phase**3 * (10 - 15 * phase + 6 * phase**2)


def _duration(a: Pose, b: Pose) -> float:
    metres, radians = a.distance(b)
    return max(metres.item() / SPEED, radians.item() / TURNING_SPEED)


def _along(stops: Sequence[Pose], lengths: Sequence[float], elapsed: float) -> Pose:
    for (a, b), length in zip(pairwise(stops), lengths, strict=True):
        if elapsed <= length:
            return between(a, b, elapsed / length if length else 1.0)
        elapsed -= length
    return stops[-1]


def between(a: Pose, b: Pose, fraction: float) -> Pose:
    """The pose on the straight line between two poses, with evenly interpolated rotation."""
    turn = rotations.to_rotation_vector(b.rotation @ a.rotation.mT)
    return Pose(
        rotations.from_rotation_vector(fraction * turn) @ a.rotation,
        a.translation + fraction * (b.translation - a.translation),
    )
