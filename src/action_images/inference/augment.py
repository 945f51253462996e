"""One scene shown to a model in several ways that mean the same, and the mean of the paths that come of them.

Nothing in a scene changes when its views are given in another order, or when all of it is seen in a mirror. A model has learnt
so from examples alone, and answers a little differently each time: the mean of its answers is better than any of them
(test-time augmentation). The action image of a mirrored scene is the flipped action image, to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.codec import Reading
from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import nearest_rotation
from action_images.samples.mirror import mirrored
from action_images.samples.sample import Sample
from action_images.structs import concatenate

Aspects = Literal["one", "views", "all"]
"""A scene as it is given; with its views in the opposite order too; both of these, and both in a mirror."""


@dataclass(frozen=True)
class Aspect:
    """One way to show a scene."""

    swapped: bool = False
    """The views in the opposite order."""
    mirrored: bool = False
    """The scene of `data.mirrored`: only for models that have learnt from such scenes too."""

    def of(self, scene: Sample) -> Sample:
        """A batch of scenes, shown so."""
        if self.swapped:
            cameras = (
                None if scene.cameras is None else scene.cameras[:, _reversed(scene.cameras.batch_shape[1])]
            )
            scene = replace(scene, video=scene.video.flip(1), cameras=cameras)
        return mirrored(replace(scene, video=scene.video.clone())) if self.mirrored else scene

    def back(self, images: Float[Tensor, "b view frame 3 h w"]) -> Float[Tensor, "b view frame 3 h w"]:
        """Images of a scene shown so, as images of the scene."""
        axes = [1] * self.swapped + [-1] * self.mirrored
        return images.flip(axes) if axes else images


ASPECTS: dict[Aspects, tuple[Aspect, ...]] = {
    "one": (Aspect(),),
    "views": (Aspect(), Aspect(swapped=True)),
    "all": (Aspect(), Aspect(swapped=True), Aspect(mirrored=True), Aspect(swapped=True, mirrored=True)),
}


def shown_in(scene: Sample, aspects: Sequence[Aspect]) -> Sample:
    """A batch of scenes in each aspect, one aspect's batch after the other's."""
    if len(aspects) == 1:
        return aspects[0].of(scene)
    samples = [aspect.of(scene) for aspect in aspects]
    instructions = tuple(told for sample in samples for told in _instructions(sample))
    return replace(
        concatenate([replace(sample, instruction=None) for sample in samples]), instruction=instructions
    )


def mean_reading(readings: Reading, weight: Float[Tensor, "aspect b frame"]) -> Reading:
    """Readings of the same scenes (aspect b frame) as one (b frame): the weighted mean path, and of all else what the surest says.

    Weights are 0 or more, as `generation.confidence` gives them. In frames in which all of them are 0 all count alike; a
    pose that is NaN in one that counts is NaN.
    """
    total = weight.sum(0)
    share = torch.where(total > 0, weight / total.clamp_min(1e-12), 1 / len(weight))
    pose, opening = readings.trajectory.world_from_tool, readings.trajectory.opening
    rotation = _mean(pose.rotation, share[..., None, None])
    known = rotation.isfinite().all(-1).all(-1)[..., None, None]
    turned = nearest_rotation(
        torch.where(known, rotation, torch.eye(3, dtype=rotation.dtype, device=rotation.device))
    )
    mean = Pose(torch.where(known, turned, torch.nan), _mean(pose.translation, share[..., None]))
    path = Trajectory(mean, _mean(opening, share))
    rows, columns = (torch.arange(number, device=weight.device) for number in weight.shape[1:])
    surest = readings[weight.argmax(0), rows[:, None], columns]
    return replace(surest, trajectory=path, is_open=path.opening > 0.5)


def _mean(values: Tensor, share: Tensor) -> Tensor:
    """Weighted by shares, over the first axis; what has no share may hold anything."""
    return torch.where(share > 0, share * values, 0.0).sum(0)


def _instructions(sample: Sample) -> tuple[str | None, ...]:
    told = sample.instruction
    return told if isinstance(told, tuple) else (told,) * len(sample.video)


def _reversed(count: int) -> list[int]:
    return list(range(count - 1, -1, -1))
