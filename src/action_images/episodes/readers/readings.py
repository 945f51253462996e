"""Gripper readings of known sets: from 0 to 1, and slightly beyond."""

from jaxtyping import Float
from torch import Tensor

from action_images.episodes.episode import EpisodeError

OVERSHOOT = 0.25
"""How far finger sensors may read beyond 0 and 1. Higher readings are in other units."""


def measured(readings: Float[Tensor, "frame"], where: str) -> Float[Tensor, "frame"]:
    """Readings within [0, 1]; raises EpisodeError, naming `where`, for those of another unit."""
    if not len(readings):
        return readings
    if not readings.isfinite().all():
        row = int((~readings.isfinite()).nonzero()[0])
        raise EpisodeError(f"{where}: the gripper's reading in row {row} is not finite; drop the episode")
    low, high = float(readings.min()), float(readings.max())
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        cure = "this format reads from 0 to 1; scale them, or drop the episode"
        raise EpisodeError(f"{where}: the gripper reads {low:.4g} to {high:.4g}; {cure}")
    return readings.clamp(0, 1)
