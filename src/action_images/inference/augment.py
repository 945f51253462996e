"""Test-time augmentation.

One scene is shown in several equivalent ways, and the paths read from them are averaged.

A scene does not change when its views are given in another order, or when all of it is mirrored. A model has
learned this from examples alone, and answers a little differently each time. The mean of its answers
is better than any one of them. The action image of a mirrored scene is the flipped action image, to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.codec import Reading
from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import nearest_rotation
from action_images.samples.mirror import mirrored
from action_images.samples.sample import Sample
from action_images.structs import concatenate


@dataclass(frozen=True)
class Augmentation:
    """One way to show a scene."""

    swapped: bool = False
    """The views in the opposite order."""
    mirrored: bool = False
    """The scene of `samples.mirror`, for models that were trained on mirrored scenes too."""

    def apply(self, scene: Sample) -> Sample:
        """A batch of scenes, shown this way."""
        if self.swapped:
            scene = _swapped(scene)
        return mirrored(replace(scene, video=scene.video.clone())) if self.mirrored else scene

    def undo(self, images: Float[Tensor, "b view frame 3 h w"]) -> Float[Tensor, "b view frame 3 h w"]:
        """Images of an augmented scene as images of the scene itself."""
        axes = [1] * self.swapped + [-1] * self.mirrored
        return images.flip(axes) if axes else images


AS_IT_IS = (Augmentation(),)
"""The scene itself: no augmentation."""
SWAPPED_AND_MIRRORED = (
    Augmentation(),
    Augmentation(swapped=True),
    Augmentation(mirrored=True),
    Augmentation(swapped=True, mirrored=True),
)
"""The scene itself, the scene with its views swapped, and both of these mirrored. These four are a group: any
of them, applied to all four, gives the same four."""


def augmented(scene: Sample, augmentations: Sequence[Augmentation]) -> Sample:
    """A batch of scenes under each augmentation: the whole batch under the first, then under the second."""
    if len(augmentations) == 1:
        return augmentations[0].apply(scene)
    samples = [augmentation.apply(scene) for augmentation in augmentations]
    instructions: list[str | None] = []
    for sample in samples:
        instructions += _instructions(sample)
    without_text = [replace(sample, instruction=None) for sample in samples]
    return replace(concatenate(without_text), instruction=tuple(instructions))


def mean_reading(readings: Reading, weight: Float[Tensor, "augmentation b frame"]) -> Reading:
    """Combine readings of the same scenes (augmentation b frame) into one (b frame).

    The path is the weighted mean. All else is taken from the reading with the largest weight. Weights are 0
    or more, as `inference.confidence` gives them. If all weights of a frame are 0, all readings count
    equally. A pose is NaN if a reading that counts has NaN there.
    """
    total = weight.sum(0)
    share = torch.where(total > 0, weight / total.clamp_min(1e-12), 1 / len(weight))
    path = _mean_path(readings.trajectory, share)
    rows, columns = (torch.arange(number, device=weight.device) for number in weight.shape[1:])
    surest = readings[weight.argmax(0), rows[:, None], columns]
    return replace(surest, trajectory=path, is_open=path.opening > 0.5)


def _mean_path(paths: Trajectory, share: Float[Tensor, "augmentation b frame"]) -> Trajectory:
    pose = paths.world_from_tool
    rotation = _mean(pose.rotation, share[..., None, None])
    known = rotation.isfinite().all(-1).all(-1)[..., None, None]
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    nearest = nearest_rotation(torch.where(known, rotation, identity))
    mean = Pose(torch.where(known, nearest, torch.nan), _mean(pose.translation, share[..., None]))
    return Trajectory(mean, _mean(paths.opening, share))


def _mean(values: Tensor, share: Tensor) -> Tensor:
    """The mean over the first axis, weighted by shares; values with share 0 may be anything."""
    return torch.where(share > 0, share * values, 0.0).sum(0)


def _swapped(scene: Sample) -> Sample:
    cameras = scene.cameras
    if cameras is not None:
        last_to_first = list(range(cameras.batch_shape[1] - 1, -1, -1))
        cameras = cameras[:, last_to_first]
    return replace(scene, video=scene.video.flip(1), cameras=cameras)


def _instructions(sample: Sample) -> tuple[str | None, ...]:
    told = sample.instruction
    return told if isinstance(told, tuple) else (told,) * len(sample.video)
