"""Pictures of a mirrored video, shown as the camera saw them."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from action_images.episodes.episode import Frames


@dataclass(frozen=True)
class FramesUnmirrored:
    """Frames that are flipped left to right when they are read."""

    frames: Frames

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.frames.size

    @property
    def fps(self) -> float | None:
        """Frames per second, if the video has a rate."""
        return getattr(self.frames, "fps", None)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the video, and that it is mirrored."""
        told = "its pictures are mirrored, as calibration.json declares; they are mirrored back"
        return (*getattr(self.frames, "notes", ()), told)

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order."""
        return self.frames.read(indices).flip(-1)
