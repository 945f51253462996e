"""A line through points, scaled to the box of a page's chart."""

from collections.abc import Sequence
from dataclasses import dataclass

BOX = 100
"""Width and height of the box, in the chart's own units."""


@dataclass(frozen=True)
class Curve:
    """Points (x, y) within the ranges (least, greatest) that fill the box."""

    name: str
    points: Sequence[tuple[float, float]]
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    @classmethod
    def filling(cls, name: str, points: Sequence[tuple[float, float]]) -> "Curve":
        """The curve whose own least and greatest values fill the box."""
        xs, ys = zip(*points, strict=True)
        return cls(name, points, (min(xs), max(xs)), (min(ys), max(ys)))

    @property
    def polyline(self) -> str:
        """The points as SVG writes them, y downwards."""
        return " ".join(f"{self.across(x):.2f},{self._down(y):.2f}" for x, y in self.points)

    def across(self, x: float) -> float:
        """The distance of an x from the left edge of the box; the middle if the range is empty."""
        return BOX * _share(x, *self.x_range)

    def _down(self, y: float) -> float:
        return BOX * (1 - _share(y, *self.y_range))


def _share(value: float, least: float, greatest: float) -> float:
    return (value - least) / (greatest - least) if greatest > least else 0.5
