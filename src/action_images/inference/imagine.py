"""Generate several futures from text and first images, most consistent first, and one view from another."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Trajectory
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.confidence import agreement, confidence
from action_images.pipeline import Prediction
from action_images.samples.sample import Sample, collate
from action_images.structs import Struct


@dataclass(frozen=True)
class Imagined(Struct):
    """One future; videos are in [0, 1], and frame 0 is the given one."""

    video: Float[Tensor, "*batch view frame 3 h w"]
    action_images: Float[Tensor, "*batch view frame 3 h w"]
    trajectory: Annotated[Trajectory, "*batch frame"]
    confidence: Float[Tensor, "*batch frame"]
    agreement: Float[Tensor, "*batch"]
    """In [0, 1]: the fit of one pose to the action images of all views, averaged over generated frames."""


def imagine(generator: ClipGenerator, scene: Sample, num_samples: int = 4, seed: int = 0) -> list[Imagined]:
    """Generate `num_samples` futures of a scene, most consistent first.

    The scene (not batched) has first images, cameras, the current pose and an instruction.

    If the model is unsure, the views' action images drift apart, and no single pose explains them. The order
    goes by this: it tells which future is coherent, not which one is true. Raises ValueError for fewer than
    two views, samples below 1, or a moving camera, whose future pose is unknown.
    """
    if num_samples < 1:
        raise ActionImagesError(f"imagine at least one future, not {num_samples}")
    _see_that_they_stand(scene.cameras)
    prediction = generator.generate(_first(scene), "joint", range(seed, seed + num_samples))
    reading, video, actions = prediction.reading, prediction.video, prediction.action_images
    if reading is None:
        raise ActionImagesError(
            "futures are compared across views, and this scene has one; give at least two calibrated views"
        )
    assert video is not None
    assert actions is not None
    agreed = agreement(reading, generator.sigma_px)[:, 1:].mean(1)
    futures = Imagined(video, actions, reading.trajectory, confidence(prediction, generator.sigma_px), agreed)
    return [futures[int(place)] for place in agreed.argsort(descending=True, stable=True)]


def second_view(generator: ClipGenerator, scene: Sample, seed: int = 0) -> Prediction:
    """The other views' videos and all action images, from the video of view 0 (one clip, no batch).

    Only the first frames of the other views and the first pose of the path are used. Axes (view frame ...).
    Raises ValueError if the camera of another view moves.
    """
    _see_that_they_stand(None if scene.cameras is None else scene.cameras[1:])
    video = scene.video
    hidden = video[1:, :1].expand(-1, video.shape[1], -1, -1, -1)
    path = None if scene.trajectory is None else scene.trajectory[:1]
    shown = replace(scene, video=torch.cat([video[:1], hidden]), trajectory=path)
    return generator.generate(collate([shown]), "second_view", [seed])[0]


def _see_that_they_stand(cameras: Camera | None) -> None:
    """Refuse moving cameras: the recorded path of a wrist camera would reveal the tool's future path."""
    if cameras is None or len(cameras.batch_shape) < 2:
        return
    poses, matrices = cameras.world_from_camera.matrix(), cameras.intrinsics
    if (poses != poses[:, :1]).any() or (matrices != matrices[:, :1]).any():
        raise ActionImagesError(
            "cameras that move are known along the episode's own path only, which is to be imagined; "
            "choose still views"
        )


def _first(scene: Sample) -> Sample:
    """A batch of one with the scene's first frames and pose alone."""
    path = None if scene.trajectory is None else scene.trajectory[:1]
    return collate([replace(scene, video=scene.video[:, :1], trajectory=path)])
