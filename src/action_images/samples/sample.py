"""Samples for training and evaluation: some frames of some views, with all data that belongs to them."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from typing_extensions import Self

from action_images.episodes.episode import Episode, EpisodeError, Frames, FramesSelected, check_indices
from action_images.episodes.video import VideoFrames
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.fitting import fit_camera, fit_frames
from action_images.samples.window import Window
from action_images.structs import Struct, concatenate, stack


@dataclass(frozen=True)
class Sample(Struct):
    """A window of an episode; a batch is a Sample with one more axis.

    `video` is in [-1, 1], or uint8 on its way from a worker process (see `normalised`); it holds all frames
    or the first alone. `cameras` is None if a view is not calibrated, `trajectory` if the tool is not known.
    `valid` is False for frames beyond the episode's end, which repeat the last frame and belong in no loss.
    A batch has a tuple of instructions.
    """

    video: Float[Tensor, "*batch view shown 3 h w"] | UInt8[Tensor, "*batch view shown 3 h w"]
    cameras: Annotated[Camera, "*batch view frame"] | None
    trajectory: Annotated[Trajectory, "*batch frame"] | None
    valid: Bool[Tensor, "*batch frame"]
    instruction: str | tuple[str | None, ...] | None

    def normalised(self) -> Self:
        """The sample with its video in [-1, 1], float32; a uint8 video becomes contiguous.

        The memory layout of bytes depends on the decoder, and convolutions sum in another order for another
        layout.
        """
        if self.video.dtype != torch.uint8:
            return self
        video = torch.empty(self.video.shape, device=self.video.device)
        return replace(self, video=torch.mul(self.video, 2 / 255, out=video).sub_(1))

    def moved(self, new_from_world: Pose) -> Self:
        """The same scene in another world frame; the pose has batch axes (*batch), or none."""
        cameras, path = self.cameras, self.trajectory
        if cameras is not None:
            cameras = cameras.moved(new_from_world[..., None, None])
        if path is not None:
            path = replace(path, world_from_tool=new_from_world[..., None] @ path.world_from_tool)
        return replace(self, cameras=cameras, trajectory=path)

    def relative(self) -> Self:
        """The same in the first camera's frame at the first frame; raises ValueError without cameras."""
        if self.cameras is None:
            raise ActionImagesError(
                "a sample without cameras has none to be relative to; use calibrated views"
            )
        return self.moved(self.cameras.world_from_camera[..., 0, 0].inverse())


def cut(
    episode: Episode, window: Window, size: tuple[int, int] | None = None, *, first_frame_only: bool = False
) -> Sample:
    """The sample at an address, its video uint8; views and cameras are fitted to `size` (height, width).

    `first_frame_only`: only the first frame is decoded; cameras, trajectory and `valid` still cover all
    frames. The trajectory has the commanded poses if the episode has them, else the tool's own. Raises
    EpisodeError if the window is not of this episode, or if views differ in size and no `size` is given.
    """
    if window.episode_id != episode.id:
        raise EpisodeError(
            f"{window}: is not a window of episode {episode.id}; look the episode up by the window's id"
        )
    indices, valid = window.indices(episode.num_frames)
    views = [episode.view(name) for name in window.views]
    sizes = {view.name: view.frames.size for view in views}
    if size is None and len(set(sizes.values())) > 1:
        raise EpisodeError(
            f"{window}: views differ in size ({sizes}); give the size that they shall be fitted to"
        )
    height, width = size or views[0].frames.size
    shown = indices[:1] if first_frame_only else indices
    video = empty_pixels(len(views), len(shown), height, width, 3).movedim(-1, -3)
    for place, view in zip(video, views, strict=True):
        _read_into(place, view.frames, shown)
    rig = [_camera(view.camera, indices, (height, width)) for view in views if view.camera is not None]
    cameras = stack(rig) if len(rig) == len(views) else None
    return Sample(video, cameras, _drawn(episode, torch.tensor(indices)), valid, episode.instruction)


def _drawn(episode: Episode, indices: Tensor) -> Trajectory | None:
    """The path that is drawn: the commanded poses if the episode has them, else the tool's own.

    The first pose is always the tool's own, as a policy is shown that one.
    """
    if episode.trajectory is None or episode.told is None:
        return None if episode.trajectory is None else episode.trajectory[indices]
    return concatenate([episode.trajectory[indices[:1]], episode.told[indices[1:]]])


Allocate = Callable[[int], UInt8[Tensor, "byte"]]
"""Gives memory for a number of bytes."""

_allocate: ContextVar[Allocate] = ContextVar(
    "allocate", default=lambda num_bytes: torch.empty(num_bytes, dtype=torch.uint8)
)


@contextmanager
def pixels_in(allocate: Allocate) -> Iterator[None]:
    """Let samples cut in this context decode their pixels into this memory, one after another."""
    token = _allocate.set(allocate)
    try:
        yield
    finally:
        _allocate.reset(token)


def empty_pixels(*shape: int) -> UInt8[Tensor, "*shape"]:
    """Memory for pixels, ordinary or from `pixels_in`."""
    return _allocate.get()(math.prod(shape)).view(shape)


def _read_into(place: UInt8[Tensor, "frame 3 h w"], frames: Frames, indices: Sequence[int]) -> None:
    size = (place.shape[-2], place.shape[-1])
    if isinstance(frames, FramesSelected):
        check_indices(indices, len(frames), "a cut-out video")
        _read_into(place, frames.frames, [frames.indices[index] for index in indices])
    elif isinstance(frames, VideoFrames) and frames.size == size:
        frames.read_into(place, indices)
    else:
        place.copy_(fit_frames(frames.read(indices), size))


def _camera(camera: Camera, indices: Sequence[int], size: tuple[int, int]) -> Camera:
    """The cameras (frame) of these frames at this size."""
    return fit_camera(
        camera[torch.tensor(indices)] if camera.batch_shape else camera.expand(len(indices)), size
    )


def collate(samples: Sequence[Sample]) -> Sample:
    """Samples of equal shapes as one batch; raises ValueError, naming a field that only some of them have."""
    instruction = tuple(sample.instruction for sample in samples)
    if len(samples) == 1:
        return replace(samples[0][None], instruction=instruction)
    rest = stack([replace(sample, instruction=None, video=sample.video[..., :0]) for sample in samples])
    return replace(rest, instruction=instruction, video=_stacked([sample.video for sample in samples]))


def _stacked(videos: Sequence[Tensor]) -> Tensor:
    """One batch of these videos, without a copy if they are contiguous in memory, as workers decode them."""
    first, size = videos[0], videos[0].numel()
    memory, start = first.untyped_storage().data_ptr(), first.storage_offset()
    wanted = [(memory, start + place * size, first.shape, first.stride()) for place in range(len(videos))]
    if wanted == [
        (video.untyped_storage().data_ptr(), video.storage_offset(), video.shape, video.stride())
        for video in videos
    ]:
        return first.as_strided((len(videos), *first.shape), (size, *first.stride()))
    return torch.stack(list(videos))
