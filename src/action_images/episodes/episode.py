"""One recorded demonstration: calibrated views, the instruction, and the tool's path."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.episodes.names import SAFE_ID, SAFE_NAME, EpisodeError, check_id
from action_images.geometry import Camera, Trajectory

__all__ = [
    "SAFE_ID",
    "SAFE_NAME",
    "Episode",
    "EpisodeError",
    "Frames",
    "FramesInMemory",
    "FramesSelected",
    "View",
    "check_id",
    "check_indices",
]


@runtime_checkable
class Frames(Protocol):
    """A video whose frames are decoded when requested."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        ...

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order, repeats too; negative or missing ones raise EpisodeError."""
        ...


def check_indices(indices: Sequence[int], num_frames: int, name: str) -> None:
    """Raise EpisodeError for the first index outside [0, num_frames)."""
    for index in indices:
        if not 0 <= index < num_frames:
            asked = f"frame {index} was asked for, it has {num_frames}"
            raise EpisodeError(f"{name}: {asked}; cut windows from the episode's own length")


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
        check_indices(indices, len(self), "a video in memory")
        return self.video[torch.as_tensor(indices, dtype=torch.long)]


@dataclass(frozen=True)
class FramesSelected:
    """Frames of another video, chosen by their indices there: a range, every n-th, or any others."""

    frames: Frames
    indices: Sequence[int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.frames.size

    @property
    def fps(self) -> float | None:
        """Frames per second derived from the other video; None if it has no rate."""
        fps = getattr(self.frames, "fps", None)
        return fps / abs(self.indices.step) if fps is not None and isinstance(self.indices, range) else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the other video."""
        return getattr(self.frames, "notes", ())

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order."""
        check_indices(indices, len(self), "a cut-out video")
        return self.frames.read([self.indices[index] for index in indices])


@dataclass(frozen=True)
class View:
    """One camera's video.

    `camera` has batch axes () for a still camera, (frame) for a moving one; None: not calibrated.
    """

    name: str
    frames: Frames
    camera: Camera | None


@dataclass(frozen=True)
class Episode:
    """A demonstration. All views and the trajectory have the same number of frames; absent parts are None.

    `trajectory` is the tool's pose at each frame. `told` is the pose last commanded at each frame; in the
    first frame it is the tool's pose. `notes` are sentences for users about how the episode was read.
    """

    id: str
    instruction: str | None
    fps: float
    views: tuple[View, ...]
    trajectory: Trajectory | None
    notes: tuple[str, ...] = ()
    told: Trajectory | None = None

    @property
    def num_frames(self) -> int:
        """The number of frames that all views and the trajectory have."""
        return len(self.views[0].frames)

    def view(self, name: str) -> View:
        """The view of this name; raises EpisodeError, naming the views that exist, if there is none."""
        for view in self.views:
            if view.name == name:
                return view
        has = ", ".join(view.name for view in self.views) or "none of those asked for"
        raise EpisodeError(f"{self.id}: there is no view '{name}'; it has {has}")

    def check(self) -> "Episode":
        """Return self; raise EpisodeError unless ids, lengths, sizes, cameras and trajectory are usable."""
        check_id(self.id)
        if not self.views:
            raise EpisodeError(f"{self.id}: has no views; an episode needs at least one video")
        if not 0 < self.fps <= 1000:
            raise EpisodeError(f"{self.id}: fps is {self.fps:g}; give the frames per second of the recording")
        names = [view.name for view in self.views]
        if len(set(names)) != len(names):
            raise EpisodeError(f"{self.id}: two views share a name ({', '.join(names)}); give each its own")
        for view in self.views:
            self._check_view(view)
        if self.trajectory is not None:
            self._check_length("the trajectory", self.trajectory.num_frames)
            self._checked(self.trajectory.check, "trajectory")
        if self.told is not None:
            self._check_length("the path that was told", self.told.num_frames)
            self._checked(self.told.check, "told")
        return self

    def _check_view(self, view: View) -> None:
        if not SAFE_NAME.fullmatch(view.name):
            allowed = "letters, digits, '_', '-' or '.', beginning with a letter or digit"
            raise EpisodeError(f"{self.id}: view name '{view.name}' must be {allowed}")
        self._check_length(f"view '{view.name}'", len(view.frames))
        if view.camera is None:
            return
        if view.camera.size != view.frames.size:
            sizes = f"for {view.camera.size} px, the frames are {view.frames.size}"
            raise EpisodeError(f"{self.id}/{view.name}: the camera is {sizes}; rescale it")
        if len(view.camera.batch_shape) > 1:
            axes = tuple(view.camera.batch_shape)
            raise EpisodeError(f"{self.id}/{view.name}: the camera has axes {axes}; give () or (frame)")
        if view.camera.batch_shape:
            self._check_length(f"the camera of '{view.name}'", view.camera.batch_shape[0])
        self._checked(view.camera.check, f"{view.name}.camera")

    def _check_length(self, what: str, num_frames: int) -> None:
        if num_frames != self.num_frames or num_frames == 0:
            lengths = f"{num_frames} frames, view '{self.views[0].name}' {self.num_frames}"
            raise EpisodeError(f"{self.id}: {what} has {lengths}; all must share one length > 0")

    def _checked(self, check: Callable[[str], object], name: str) -> None:
        try:
            check(name)
        except ValueError as error:
            raise EpisodeError(f"{self.id}: {error}") from None
