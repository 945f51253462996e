"""Whether a batch of samples fits a canvas: its axes, frames, sizes, cameras and modes."""

from collections.abc import Sequence

from action_images.canvas import Layout, Mode, Show
from action_images.errors import ActionImagesError
from action_images.geometry import Camera
from action_images.model.autoencoders.autoencoder import check_size, num_latent_frames
from action_images.model.bundle import Models
from action_images.samples.sample import Sample


def checked_sample(
    sample: Sample, modes: Sequence[Mode], num_frames: int | None, models: Models
) -> tuple[Sample, Camera | None, int]:
    """The samples in floats, their cameras as (b view frame), and the number of pixel frames on the canvas.

    `num_frames` None stands for the longer of video and trajectory. Raises ActionImagesError for samples
    that are no batch, or whose size, frames or cameras fit neither each other nor the modes.
    """
    sample = sample.normalised()
    if sample.video.ndim != 6:
        raise ActionImagesError(
            f"a batch of samples has a video of 6 axes, this one {sample.video.ndim}; "
            "collate([sample]) makes a batch of one"
        )
    path_frames = 0 if sample.trajectory is None else sample.trajectory.num_frames
    num_frames = num_frames or max(sample.video.shape[2], path_frames)
    size = (sample.video.shape[-2], sample.video.shape[-1])
    check_size(size, models.pixels_per_token)
    num_latent_frames(models.autoencoder, num_frames)
    for mode in dict.fromkeys(modes):
        _check_frames("video", sample.video.shape[2], mode.first_view_video or mode.video, num_frames)
        if mode.action is not None and sample.trajectory is not None:
            _check_frames("trajectory", path_frames, mode.action, num_frames)
    if sample.cameras is not None and sample.cameras.size != size:
        raise ActionImagesError(
            f"the video is {size}, its cameras say {sample.cameras.size}: "
            "resize both together (geometry.framing)"
        )
    cameras = sample.cameras
    if cameras is not None:
        num_samples, num_views = sample.video.shape[:2]
        cameras = per_frame(cameras, num_samples, num_views, num_frames)
    return sample, cameras, num_frames


def shared_layout(modes: Sequence[Mode], num_views: int, num_latents: int) -> Layout:
    """The layout of all these modes; raises ActionImagesError if they have several."""
    layouts = {mode.layout(num_views, num_latents) for mode in dict.fromkeys(modes)}
    if len(layouts) != 1:
        raise ActionImagesError(
            f"the samples of a batch share a layout, these modes have {len(layouts)}; "
            "encode them in batches of their own"
        )
    return layouts.pop()


def per_frame(cameras: Camera, batch_size: int, num_views: int, num_frames: int) -> Camera:
    """Cameras as (b view frame); a single frame's stand still.

    Raises ActionImagesError unless there is one for each view.
    """
    if cameras.batch_shape == (batch_size, num_views, 1):
        cameras = cameras[:, :, 0]
    cameras = cameras.per_frame((batch_size,), num_frames)
    if cameras.batch_shape[1] != num_views:
        raise ActionImagesError(
            f"there are {num_views} views and {cameras.batch_shape[1]} cameras; "
            "give one camera for each view, in the same order"
        )
    return cameras


def _check_frames(name: str, num_given: int, show: Show, num_frames: int) -> None:
    """A stream comes whole, or as its first frame where no more of it is shown."""
    if num_given != num_frames and (num_given != 1 or show is Show.EVERYTHING):
        needed = "all of them" if show is Show.EVERYTHING else "all of them or the first alone"
        raise ActionImagesError(
            f"the canvas is for {num_frames} frames and the {name} has {num_given}; this mode takes {needed}"
        )
