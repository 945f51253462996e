"""Parallel projection of the world to a square picture, seen from one side and from a little above."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.geometry import Camera

ELEVATION = math.radians(30)
FILLED = 0.84
"""The share of the picture's side that the points fill."""
FROM_A_CORNER = (0.5, -math.sqrt(0.75), 0.0)
"""The direction to the right if a camera looks straight along the floor's normal."""


@dataclass(frozen=True)
class Viewpoint:
    """`axes` are the picture's right and up in the world, `middle` (m along them) its centre."""

    axes: Float[Tensor, "2 3"]
    middle: Float[Tensor, "2"]
    px_per_m: float
    size: int

    @classmethod
    def onto(cls, points: Float[Tensor, "point 3"], camera: Camera, size: int) -> "Viewpoint":
        """The viewpoint of all points (m) in a picture of `size` px, with the camera's left and right."""
        right = _level_right(camera)
        away = torch.stack([-right[1], right[0], right[2]])
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        tilted_up = math.sin(ELEVATION) * away + math.cos(ELEVATION) * up
        axes = torch.stack([right, tilted_up])
        flat = points.double() @ axes.T
        low, high = flat.amin(0), flat.amax(0)
        return cls(axes, (low + high) / 2, FILLED * size / float((high - low).max()), size)

    def __call__(self, points: Float[Tensor, "point 3"]) -> list[tuple[float, float]]:
        """The places of points (m) in the picture (px, y down)."""
        flat = (points.double() @ self.axes.T - self.middle) * self.px_per_m
        return [(self.size / 2 + x, self.size / 2 - y) for x, y in flat.tolist()]


def _level_right(camera: Camera) -> Float[Tensor, "3"]:
    """The camera's right, rotated into the floor's plane."""
    right = camera.world_from_camera.rotation[:, 0].double().cpu().clone()
    right[2] = 0
    if right.norm() > 0.1:
        return right / right.norm()
    return torch.tensor(FROM_A_CORNER, dtype=torch.float64)
