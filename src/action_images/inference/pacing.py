"""Recordings resampled for a model: at about its frame rate, and at its image size."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.episodes.episode import Episode, EpisodeError, Frames
from action_images.errors import ActionImagesError
from action_images.geometry import Camera
from action_images.geometry.fitting import fit_camera, fit_frames
from action_images.samples.sample import Sample
from action_images.structs import stack

AT_ONCE = 64
"""The number of frames decoded at once, before they are fitted to the model's size."""
SLOWEST = 0.75
"""The least frame rate of a recording, as a share of the clips'; below it, motion would look too fast."""


def paced(num_frames: int, fps: float, clip_fps: float) -> list[int]:
    """Frames of a recording, evenly spaced at about `clip_fps`, with the first and the last among them.

    Raises ValueError for a recording with a clearly lower frame rate than the clips.
    """
    if fps < SLOWEST * clip_fps:
        raise ActionImagesError(
            f"the recording has {fps:g} frames/s, the model's clips {clip_fps:g}; "
            "use a recording that is at least as fast"
        )
    num_steps = min(num_frames - 1, max(1, round((num_frames - 1) * clip_fps / fps)))
    return np.linspace(0, num_frames - 1, num_steps + 1).round().astype(int).tolist()


def paced_from(episode: Episode, start: int, clip_fps: float) -> list[int]:
    """Frames of an episode from `start` on, spaced as by `paced`.

    Raises ValueError if that frame does not exist, or as `paced` does.
    """
    if not 0 <= start < episode.num_frames:
        raise ActionImagesError(
            f"{episode.id}: has {episode.num_frames} frames, --start {start} was asked for"
        )
    return [start + frame for frame in paced(episode.num_frames - start, episode.fps, clip_fps)]


def between(frames: Sequence[int], num_frames: int) -> Float[Tensor, "frame"]:
    """For each frame of the recording, its fractional index among the paced frames."""
    return torch.from_numpy(np.interp(np.arange(num_frames), frames, np.arange(len(frames)))).float()


def recording(
    episode: Episode,
    views: Sequence[str],
    frames: Sequence[int],
    size: tuple[int, int],
    num_shown: int | None = None,
) -> Sample:
    """These frames of these views at `size` (height, width), not batched.

    Pixels are read only for the first `num_shown` frames.

    Raises EpisodeError for a view that does not exist, is not calibrated or is damaged.
    """
    chosen = [episode.view(name) for name in views]
    bare = [view.name for view in chosen if view.camera is None]
    if bare:
        raise EpisodeError(
            f"{episode.id}: views {', '.join(bare)} are not calibrated; calibrate them, "
            "or choose others with --views"
        )
    video = torch.stack([_read(view.frames, list(frames[:num_shown]), size) for view in chosen])
    cameras = stack([_at(view.camera, frames, size) for view in chosen if view.camera is not None])
    path = None if episode.trajectory is None else episode.trajectory[list(frames)].to(torch.float32)
    return Sample(
        video, cameras, path, torch.ones(len(frames), dtype=torch.bool), episode.instruction
    ).normalised()


def _read(frames: Frames, wanted: list[int], size: tuple[int, int]) -> UInt8[Tensor, "frame 3 h w"]:
    """Read a few frames at a time: a recording of minutes is far larger before it is fitted."""
    return torch.cat(
        [
            fit_frames(frames.read(wanted[first : first + AT_ONCE]), size)
            for first in range(0, len(wanted), AT_ONCE)
        ]
    )


def _at(camera: Camera, frames: Sequence[int], size: tuple[int, int]) -> Camera:
    moving = camera[list(frames)] if camera.batch_shape else camera.expand(len(frames))
    return fit_camera(moving, size).to(torch.float32)
