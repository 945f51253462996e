"""What grippers of known sets read: from 0 to 1, and a little beyond."""

from jaxtyping import Float
from torch import Tensor

from action_images.episodes.episode import EpisodeError

OVERSHOOT = 0.25
"""Finger sensors read so far beyond 0 and 1. What reads more is in other units."""


def measured(readings: Float[Tensor, "frame"], where: str) -> Float[Tensor, "frame"]:
    """Readings within [0, 1]; raises EpisodeError, naming `where`, for those of another unit."""
    if not len(readings):
        return readings
    low, high = float(readings.min()), float(readings.max())
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        cure = "this format reads from 0 to 1; scale them, or drop the episode"
        raise EpisodeError(f"{where}: the gripper reads {low:.4g} to {high:.4g}; {cure}")
    return readings.clamp(0, 1)
