"""Count the frames in which a tool lies inside a view, and find another reading of the files that fits."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.geometry import Camera


def tool_inside(camera: Camera, positions: Float[Tensor, "frame 3"]) -> Bool[Tensor, "frame"]:
    """Marks the frames in which a tool at these positions (m) lies inside the picture."""
    pixels, depth = camera.project(positions)
    return (depth > 0) & camera.contains(pixels)


def _inverse(camera: Camera) -> Camera:
    return replace(camera, world_from_camera=camera.world_from_camera.inverse())


def _opengl(camera: Camera) -> Camera:
    return Camera.from_opengl(camera.intrinsics, camera.world_from_camera, camera.size)


def _closer(camera: Camera) -> Camera:
    pose = camera.world_from_camera
    return replace(camera, world_from_camera=replace(pose, translation=pose.translation / 1000))


def _intrinsics_times(factor: float, camera: Camera) -> Camera:
    return replace(camera, intrinsics=camera.intrinsics * torch.tensor([[factor], [factor], [1.0]]))


READINGS: Mapping[str, Callable[[Camera], Camera]] = {
    "the camera may be the inverse: world_from_camera is wanted": _inverse,
    "the camera may have OpenGL's axes: turn y and z": _opengl,
    "the camera's position may be in mm: metres are wanted": _closer,
    "the intrinsics may be for pictures of half the size": partial(_intrinsics_times, 2.0),
    "the intrinsics may be for pictures of twice the size": partial(_intrinsics_times, 0.5),
}
LEAST = 0.5
"""A reading is likely if the tool is inside in at least this fraction of the frames."""


def likely_reading(camera: Camera, positions: Float[Tensor, "frame 3"]) -> str | None:
    """The likely error of a camera that sees the tool in few frames; None if no other reading is likely."""
    said = float(tool_inside(camera, positions).float().mean())
    if said >= LEAST:
        return None
    shares = {words: _share(change(camera), positions) for words, change in READINGS.items()}
    if _share(camera, positions / 1000) >= LEAST:
        shares["the tool's positions may be in mm: metres are wanted"] = 1.0
    best = max(shares, key=lambda words: shares[words])
    return best if shares[best] >= LEAST else None


def _share(camera: Camera, positions: Tensor) -> float:
    return float(tool_inside(camera, positions).float().mean())


def told_inside(name: str, camera: Camera, positions: Float[Tensor, "frame 3"]) -> str:
    """A sentence for a view: frames with the tool inside, and the likely error if they are few."""
    inside = tool_inside(camera, positions)
    likely = likely_reading(camera, positions)
    cause = "" if likely is None else f"; {likely}"
    return f"{name}: the tool is inside the picture in {int(inside.sum())} of {len(inside)} frames{cause}"
