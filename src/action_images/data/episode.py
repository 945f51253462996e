"""One recorded demonstration: calibrated views of it, what was asked, and what the tool did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.geometry import Camera, Trajectory


class EpisodeError(ValueError):
    """What is wrong with a data set, named as dataset/episode/view, and the cure."""


class Frames(Protocol):
    """A video whose frames are decoded when asked for."""

    size: tuple[int, int]
    """(height, width)"""

    def __len__(self) -> int:
        """How many frames there are."""
        ...

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order; repeats are allowed, negative or missing ones raise EpisodeError."""
        ...


@dataclass(frozen=True)
class FramesInMemory:
    """Frames that are already decoded."""

    video: UInt8[Tensor, "frame 3 h w"]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.video.shape[-2], self.video.shape[-1]

    def __len__(self) -> int:
        return self.video.shape[0]

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order."""
        if any(not 0 <= index < len(self) for index in indices):
            raise EpisodeError(f"frames {list(indices)} were asked of a video with {len(self)}")
        return self.video[torch.as_tensor(indices, dtype=torch.long)]


@dataclass(frozen=True)
class View:
    """One camera's video. `camera` has batch axes () for a still camera, (frame) for a moving one, or is None: not calibrated."""

    name: str
    frames: Frames
    camera: Camera | None


@dataclass(frozen=True)
class Episode:
    """A demonstration. All views and the trajectory have the same number of frames; what is absent is None, never zeros."""

    id: str
    instruction: str | None
    fps: float
    views: tuple[View, ...]
    trajectory: Trajectory | None

    @property
    def num_frames(self) -> int:
        """The length that all views and the trajectory share."""
        return len(self.views[0].frames)
