"""Likely delays between pictures and poses, from how much both move, before any camera is known."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from action_images.calibration.from_motion.tracks import Followed

LONGEST = 15
"""Most frames by which pictures may be early or late."""
ARM = 0.1
"""Distance in m from the tool's origin at which turns count as motion."""


def likely_delays(
    followed: Sequence[Followed], poses: Sequence[Float[np.ndarray, "frame 4 4"]], most: int = 3
) -> list[float]:
    """Frames by which the pictures are late (negative: early), the likeliest first; 0 is always among them.

    The share of pixels that change is correlated with the tool's speed at every shift, over all episodes.
    """
    step = _step(followed)
    shifts = range(-(LONGEST // step), LONGEST // step + 1)
    score = np.array([_correlation(followed, poses, shift) for shift in shifts])
    peaks = [
        place
        for place in range(len(shifts))
        if score[place] >= score[max(place - 1, 0)] and score[place] >= score[min(place + 1, len(shifts) - 1)]
    ]
    best = sorted(peaks, key=lambda place: -score[place])[:most]
    found = [float(shifts[place] * step) for place in best]
    return found if 0.0 in found else [*found, 0.0]


def _step(followed: Sequence[Followed]) -> int:
    """Number of frames between two that were looked at."""
    gaps = [int(one.looked_at[1] - one.looked_at[0]) for one in followed if len(one.looked_at) > 1]
    return gaps[0] if gaps else 1


def _correlation(followed: Sequence[Followed], poses: Sequence[np.ndarray], shift: int) -> float:
    """Correlation of picture motion at frame i + shift with tool motion at frame i, pooled over episodes."""
    pairs = [_pairs(one, path, shift) for one, path in zip(followed, poses, strict=True)]
    picture, tool = (np.concatenate(column) for column in zip(*pairs, strict=True))
    if len(picture) < 3 or picture.std() < 1e-9 or tool.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(picture, tool)[0, 1])


def _pairs(one: Followed, path: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Motion of the picture and of the tool since the previous frame, minus the episode's mean."""
    frames = one.looked_at
    position, rotation = path[frames, :3, 3], path[frames, :3, :3]
    turned = np.linalg.norm(rotation[1:] - rotation[:-1], axis=(1, 2)) / np.sqrt(2)
    speed = np.sqrt(np.linalg.norm(np.diff(position, axis=0), axis=1) + ARM * turned)
    motion = np.sqrt(one.motion[1:])
    late, early = max(shift, 0), max(-shift, 0)
    count = len(motion) - abs(shift)
    if count < 2:
        return np.zeros(0), np.zeros(0)
    picture, tool = motion[late : late + count], speed[early : early + count]
    return picture - picture.mean(), tool - tool.mean()
