"""Generate the videos that a path would give from first images, clip after clip."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.inference.clip_generator import ClipGenerator
from action_images.samples.sample import Sample, collate


def simulate(generator: ClipGenerator, scene: Sample, seed: int = 0) -> Float[Tensor, "view frame 3 h w"]:
    """The views' videos while the tool follows the scene's path (not batched), in [0, 1].

    Frame 0 is the given one.

    The scene's first frames must have the clips' size, and its path their rate. A path longer than a clip is
    simulated in several clips, each from the last image of the previous one. Errors add up, and objects that
    left the views are forgotten. Raises ValueError without cameras or a path.
    """
    path = scene.trajectory
    if path is None or scene.cameras is None:
        missing = "path to follow" if path is None else "calibrated cameras"
        raise ActionImagesError(f"a simulation needs a {missing}, and this scene has none; give it")
    first, videos = scene.video[:, :1].float(), []
    length = generator.clips.num_frames
    for start in clip_starts(path.num_frames, length):
        frames = [min(start + i, path.num_frames - 1) for i in range(length)]
        clip = _clip(generator, replace(scene, video=first), frames, seed + start)
        kept = min(length, path.num_frames - start)
        videos.append(clip[:, (start > 0) : kept])
        first = clip[:, kept - 1 : kept] * 2 - 1
    video = torch.cat(videos, 1)
    # The given frame is returned unchanged, not as the autoencoder reconstructs it.
    return torch.cat([scene.video[:, :1].float().add(1).div(2), video[:, 1:]], 1)


def clip_starts(num_frames: int, length: int) -> Sequence[int]:
    """The first frames of clips of `length` frames, each at the last frame of the previous clip."""
    return range(0, max(num_frames - 1, 1), length - 1)


def _clip(
    generator: ClipGenerator, scene: Sample, frames: list[int], seed: int
) -> Float[Tensor, "view frame 3 h w"]:
    assert scene.trajectory is not None
    assert scene.cameras is not None
    cameras = scene.cameras
    if len(cameras.batch_shape) == 2 and cameras.batch_shape[1] > 1:
        cameras = cameras[:, frames]
    window = replace(
        scene,
        trajectory=scene.trajectory[frames],
        cameras=cameras,
        valid=torch.ones(len(frames), dtype=torch.bool),
    )
    prediction = generator.generate(collate([window]), "simulate", [seed], ["video"])
    assert prediction.video is not None
    return prediction.video[0]
