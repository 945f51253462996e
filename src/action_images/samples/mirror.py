"""Mirror a scene as augmentation for training, exactly in pixels, cameras, path and words."""

import re
from dataclasses import replace

import torch
from torch import Tensor

from action_images.device import constant
from action_images.geometry import Camera, Pose, Trajectory
from action_images.samples.sample import Sample

OPPOSITE = {"left": "right", "right": "left", "clockwise": "counterclockwise"}
"""Words that change in a mirrored scene. Matches that are not keys are spellings of 'counterclockwise'."""
HANDED = re.compile(
    r"(?<![^\W_])((?:counter|anti)[-_\s]?clockwise|clockwise|(?:left|right)(?=(?:most|wards?)?(?![^\W_])))",
    re.IGNORECASE,
)
"""Matches such words; underscores separate words too, as in the names of tasks."""
WORLD, TOOL, IMAGE = (1.0, -1.0, 1.0), (1.0, -1.0, 1.0), (-1.0, 1.0, 1.0)
"""The axes that change sign: the world's y, the tool's y (along which the fingers close), the image's x."""


def mirrored(sample: Sample) -> Sample:
    """The scene of a sample or batch, reflected in the world's plane y = 0; its images are flipped in place.

    Rotations stay rotations: the tool's y axis points to the other finger. In the instruction, 'left' and
    'right' are exchanged, and 'clockwise' and 'counterclockwise'. Mirroring twice gives the original, except
    for the spelling of 'counterclockwise'. It is not meant for scenes in which handedness matters further,
    such as reading a label or turning a screw.
    """
    sample.video.copy_(sample.video.flip(-1))
    cameras = None if sample.cameras is None else mirrored_camera(sample.cameras)
    path = sample.trajectory
    if path is not None:
        path = Trajectory(_reflected(path.world_from_tool, TOOL), path.opening)
    return replace(sample, cameras=cameras, trajectory=path, instruction=_mirrored_words(sample.instruction))


def mirrored_camera(camera: Camera) -> Camera:
    """The camera of the flipped image: it sees a mirrored point where the original sees the point."""
    to_flipped, flip = torch.diag(_signs(IMAGE, camera.intrinsics)), _signs(IMAGE, camera.intrinsics)
    to_flipped[0, 2] = camera.size[1]
    return Camera(
        to_flipped @ camera.intrinsics * flip, _reflected(camera.world_from_camera, IMAGE), camera.size
    )


def mirrored_words(instruction: str) -> str:
    """The instruction of the mirrored scene."""
    return HANDED.sub(_opposite, instruction)


def _mirrored_words(told: str | tuple[str | None, ...] | None) -> str | tuple[str | None, ...] | None:
    if isinstance(told, tuple):
        return tuple(None if one is None else mirrored_words(one) for one in told)
    return None if told is None else mirrored_words(told)


def _opposite(match: re.Match[str]) -> str:
    word = match[0]
    other = OPPOSITE.get(word.lower(), "clockwise")
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other


def _reflected(pose: Pose, axes: tuple[float, float, float]) -> Pose:
    """A pose in the mirrored world, with its frame reflected along one of its own axes."""
    world = _signs(WORLD, pose.rotation)
    return Pose(world[:, None] * pose.rotation * _signs(axes, pose.rotation), world * pose.translation)


def _signs(axes: tuple[float, float, float], like: Tensor) -> Tensor:
    return constant(axes, like)
