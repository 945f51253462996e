"""The floor of a plot: a rectangle of whole grid squares under all points."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LEAST_SIDE = 0.24
"""The least side of the floor (m), even for short paths."""
FINE, COARSE, COARSE_FROM = 0.05, 0.1, 0.3
"""Sides of the grid's squares (m), and the extent of points (m) from which the larger ones are used."""


@dataclass(frozen=True)
class Floor:
    """A rectangle from (x, y) `low` to `high` at height `z`, in squares of side `spacing` (all m, world)."""

    low: Float[Tensor, "2"]
    high: Float[Tensor, "2"]
    z: float
    spacing: float

    @classmethod
    def under(cls, points: Float[Tensor, "point 3"]) -> "Floor":
        """The smallest floor under all points."""
        low, high = points.amin(0), points.amax(0)
        spacing = COARSE if float((high - low).max()) > COARSE_FROM else FINE
        room = (LEAST_SIDE - (high - low)).clamp_min(0)[:2] / 2
        first = ((low[:2] - room) / spacing).floor() * spacing
        last = ((high[:2] + room) / spacing).ceil() * spacing
        return cls(first, last, float((low[2] / spacing).floor() * spacing), spacing)

    @property
    def corners(self) -> Float[Tensor, "4 3"]:
        """The corners in order around the floor."""
        (x0, y0), (x1, y1) = self.low.tolist(), self.high.tolist()
        return torch.tensor([[x0, y0, self.z], [x1, y0, self.z], [x1, y1, self.z], [x0, y1, self.z]])

    def below(self, points: Float[Tensor, "point 3"]) -> Float[Tensor, "point 3"]:
        """The shadows of points on the floor."""
        return torch.cat([points[:, :2], torch.full_like(points[:, :1], self.z)], -1)

    def grid_lines(self) -> Iterator[Float[Tensor, "2 3"]]:
        """Both ends of every grid line."""
        num_x, num_y = ((self.high - self.low) / self.spacing).round().int().tolist()
        (x0, y0), (x1, y1) = self.low.tolist(), self.high.tolist()
        for x in torch.linspace(x0, x1, num_x + 1).tolist():
            yield torch.tensor([[x, y0, self.z], [x, y1, self.z]])
        for y in torch.linspace(y0, y1, num_y + 1).tolist():
            yield torch.tensor([[x0, y, self.z], [x1, y, self.z]])
