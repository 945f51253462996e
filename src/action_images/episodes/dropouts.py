"""Rows of poses in which zeros stand for missing numbers: single places far from their neighbours."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.geometry import Pose
from action_images.geometry import rotation as rotations

FAR_M = 0.05
"""A tool that reaches the exact origin in one step longer than this was not there."""
FAR_DEG = 30.0
"""A tool that turns farther than this into the exact unturned pose, or out of it, was not turned so."""
OFTEN = 4.0
"""... if the step is this many times the usual one as well."""
CURE = "do zeros stand for missing numbers? Drop or repair those rows, or drop the episode"


def missing_places(pose: Pose) -> str | None:
    """Why poses (frame) with a position of exactly zero were never measured; None if there are none."""
    steps = (pose.translation[1:] - pose.translation[:-1]).norm(dim=-1)
    return _told("position", (pose.translation == 0).all(-1), steps, FAR_M)


def missing_turns(pose: Pose) -> str | None:
    """Why poses (frame) without any rotation were never measured; None if there are none."""
    steps = rotations.angle_between(pose.rotation[1:], pose.rotation[:-1]).rad2deg()
    unturned = (pose.rotation == torch.eye(3, dtype=pose.rotation.dtype)).flatten(-2).all(-1)
    return _told("rotation", unturned, steps, FAR_DEG)


def _told(what: str, zero: Bool[Tensor, "frame"], steps: Float[Tensor, "step"], far: float) -> str | None:
    rows = _reached_by_jumps(zero, steps, far)
    if not rows:
        return None
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"the {what} is exactly zero in row {rows[0]}{more}, far from that of the rows beside; {CURE}"


def _reached_by_jumps(zero: Bool[Tensor, "frame"], steps: Float[Tensor, "step"], far: float) -> list[int]:
    """The rows of zeros, if some are reached or left by a step that is far and much longer than usual."""
    crosses = zero[1:] != zero[:-1]
    if zero.all() or not crosses.any():
        return []
    usual = steps[~crosses].median() if (~crosses).any() else steps.new_zeros(())
    jumps = crosses & (steps > torch.clamp(OFTEN * usual, min=far))
    return zero.nonzero().flatten().tolist() if jumps.any() else []
