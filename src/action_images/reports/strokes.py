"""Shapes that pillow does not draw by itself: dashed lines and crosses."""

from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

Point = tuple[float, float]

DASH_PX, GAP_PX = 12.0, 8.0


def draw_dashed(pen: ImageDraw.ImageDraw, points: Sequence[Point], colour: str, width: int) -> None:
    """Draw a line through points (px) in dashes that continue around its corners."""
    if len(points) < 2:
        return
    corners = np.array(points)
    lengths = np.hypot(*np.diff(corners, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    for start in np.arange(0.0, along[-1], DASH_PX + GAP_PX):
        end = min(start + DASH_PX, along[-1])
        inside = along[(along > start) & (along < end)]
        stops = np.concatenate([[start], inside, [end]])
        x, y = (np.interp(stops, along, corners[:, axis]) for axis in (0, 1))
        pen.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=colour, width=width)


def draw_cross(pen: ImageDraw.ImageDraw, at: Point, radius: float, colour: str, *, width: int) -> None:
    """Draw the two diagonals of an upright square."""
    (x, y), r = at, radius
    pen.line([(x - r, y - r), (x + r, y + r)], fill=colour, width=width)
    pen.line([(x - r, y + r), (x + r, y - r)], fill=colour, width=width)
