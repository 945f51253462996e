"""Rows of poses that were not measured: zeros far from the rows beside, and poses that stay and then leap."""

from collections.abc import Sequence

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
LEAP = 2.5
"""A tool that rests starts slowly; a step of this many usual ones behind equal poses is a leap ..."""
LEAST_LEAP_M = 0.01
"""... if it is this long."""
MOVES_M = 0.003
"""Between two steps of this length a tool does not rest for a single row."""
LEAST_HELD, HELD_SHARE = 4, 0.2
"""Single rows that repeat the pose before: this many, and this share of the steps of a moving tool."""
CURE = "do zeros stand for missing numbers? Drop or repair those rows, or drop the episode"
HELD = "were poses recorded later or slower than pictures? They belong to other moments in those rows"


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
    return f"the {what} is exactly zero in {named(rows)}, far from that of the rows beside; {CURE}"


def named(rows: Sequence[int]) -> str:
    """The first of some rows, and how many more there are."""
    return f"row {rows[0]}" + (f" and {len(rows) - 1} more" if len(rows) > 1 else "")


def _reached_by_jumps(zero: Bool[Tensor, "frame"], steps: Float[Tensor, "step"], far: float) -> list[int]:
    """The rows of zeros, if some are reached or left by a step that is far and much longer than usual."""
    crosses = zero[1:] != zero[:-1]
    if zero.all() or not crosses.any():
        return []
    usual = steps[~crosses].median() if (~crosses).any() else steps.new_zeros(())
    jumps = crosses & (steps > torch.clamp(OFTEN * usual, min=far))
    return zero.nonzero().flatten().tolist() if jumps.any() else []


def told_held(pose: Pose) -> str | None:
    """Why poses (frame) that repeat exactly were not measured in every row; None if they may have been."""
    metres = (pose.translation[1:] - pose.translation[:-1]).norm(dim=-1)
    still = (metres == 0) & (pose.rotation[1:] == pose.rotation[:-1]).flatten(-2).all(-1)
    if not still.any() or still.all():
        return None
    usual = float(metres[~still].median())
    leaps = still[:-1] & (metres[1:] > max(LEAP * usual, LEAST_LEAP_M))
    if leaps.any():
        row = int(leaps.nonzero()[0]) + 1
        return f"the pose stays the same until row {row}, then leaps by {metres[row]:.2f} m; {HELD}"
    held = still[1:-1] & (metres[:-2] > MOVES_M) & (metres[2:] > MOVES_M)
    if int(held.sum()) < max(LEAST_HELD, HELD_SHARE * int((metres > MOVES_M).sum())):
        return None
    return f"in {int(held.sum())} single rows the pose of the row before stands while the tool moves; {HELD}"
