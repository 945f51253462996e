"""Which pictures of its video a view's frames show, and how these are changed as they are read."""

import json
from hashlib import sha256

from action_images.episodes.episode import Frames, FramesSelected
from action_images.episodes.straighten import FramesStraightened
from action_images.episodes.unmirror import FramesUnmirrored

AS_STORED, MIRRORED_BACK = "as stored", "mirrored back"
"""Pictures as the video has them, and pictures of a mirrored video; straightened ones have other words."""


def numbers_of(frames: Frames) -> list[int]:
    """For each frame, the number of its picture in the video file, whatever `shift` or cuts are declared."""
    numbers = list(range(len(frames)))
    inner: object = frames
    while isinstance(inner, FramesSelected | FramesUnmirrored | FramesStraightened):
        if isinstance(inner, FramesSelected):
            numbers = [int(inner.indices[number]) for number in numbers]
        inner = inner.frames
    return numbers


def changes_of(frames: Frames) -> str:
    """How pictures are changed as they are read, in words; lenses have a hash."""
    told: list[str] = []
    inner: object = frames
    while isinstance(inner, FramesSelected | FramesUnmirrored | FramesStraightened):
        if isinstance(inner, FramesStraightened):
            lens = [inner.intrinsics.tolist(), inner.distortion.model, list(inner.distortion.coefficients)]
            told.append(f"straightened {sha256(json.dumps(lens).encode()).hexdigest()[:12]}")
        elif isinstance(inner, FramesUnmirrored):
            told.append(MIRRORED_BACK)
        inner = inner.frames
    return ", ".join(reversed(told)) or AS_STORED
