"""The tool's path in three dimensions, drawn with pillow: executed against planned, above a floor that gives the depth."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from action_images.codec.format import POINTS
from action_images.geometry import Camera, Pose
from action_images.reports.theme import DIM, FAINT, INK, PANEL, font

EXECUTED, PLANNED, GOAL = "#ffb347", "#5cc8ff", "#e879f9"
SPOTS = ("#ff5a52", "#52d869", "#6f8cff")
"""The tool's three points in the colours that its action image has."""
ELEVATION = math.radians(30)
OVERSAMPLING = 2
"""Lines are drawn this much larger and then reduced, which makes them smooth."""
LEAST_SIDE = 0.24
"""However short the path, this much of the world (m) is shown."""
REACH = 0.5
"""Planned points farther than this from where the tool ever was (m) leave the picture rather than shrink it."""


@dataclass(frozen=True)
class Viewpoint:
    """Parallel projection of the world (m) to a square picture (px): as seen from one side, from a little above."""

    axes: Float[Tensor, "2 3"]
    middle: Float[Tensor, "2"]
    scale: float
    size: int

    @classmethod
    def onto(cls, points: Float[Tensor, "point 3"], camera: Camera, size: int) -> "Viewpoint":
        """All points in the picture, left and right as in the camera's own image."""
        right = camera.world_from_camera.rotation[:, 0].double().cpu() * torch.tensor([1.0, 1.0, 0.0])
        right = right / right.norm() if right.norm() > 0.1 else torch.tensor([0.5, -math.sqrt(0.75), 0.0])
        away = torch.stack([-right[1], right[0], right[2]])
        up = torch.tensor([0.0, 0.0, 1.0]).double()
        axes = torch.stack([right.double(), math.sin(ELEVATION) * away.double() + math.cos(ELEVATION) * up])
        flat = points.double() @ axes.T
        low, high = flat.amin(0), flat.amax(0)
        return cls(axes, (low + high) / 2, 0.84 * size / float((high - low).max()), size)

    def __call__(self, points: Float[Tensor, "point 3"]) -> list[tuple[float, float]]:
        """Where points lie in the picture (px, y down)."""
        flat = (points.double() @ self.axes.T - self.middle) * self.scale
        return [(self.size / 2 + x, self.size / 2 - y) for x, y in flat.tolist()]


class PathPlot:
    """Draws one moment after the other; what never changes is drawn once.

    `reached` are the tool's poses (moment), `paths` the positions of each plan (frame 3), NaN where there is none, `goal`
    a pose where known; all world_from_tool, m. `camera` (no batch axes) says from which side to look.
    """

    def __init__(
        self,
        reached: Pose,
        paths: list[Float[Tensor, "point 3"]],
        goal: Pose | None,
        camera: Camera,
        size: int,
    ):
        self._reached, self._size = reached, size
        executed = reached.translation
        within = [torch.cdist(path.nan_to_num(torch.inf), executed).amin(1) < REACH for path in paths]
        nearby = [path[inside] for path, inside in zip(paths, within, strict=True)]
        known = torch.cat([executed, *nearby] + ([goal.translation[None]] if goal is not None else []))
        self._spacing = 0.1 if float((known.amax(0) - known.amin(0)).max()) > 0.3 else 0.05
        corners = self._floor_corners(known)
        self._floor = float(corners[0, 2])
        self.viewpoint = Viewpoint.onto(torch.cat([known, corners]), camera, size * OVERSAMPLING)
        self._plans = [self.viewpoint(path) for path in nearby]
        self._places = [
            dict(zip(inside.nonzero().flatten().tolist(), plan, strict=True))
            for inside, plan in zip(within, self._plans, strict=True)
        ]
        self._executed = self.viewpoint(executed)
        self._shadow = self.viewpoint(self._on_floor(executed))
        self._background = self._draw_background(corners, goal)

    def draw(self, moment: int, plan: int, plan_frame: int) -> Image.Image:
        """The picture of a moment: what was executed until now, the plan in force and where in it we are."""
        picture = self._background.copy()
        ink = ImageDraw.Draw(picture)
        wide = OVERSAMPLING
        _line(ink, self._shadow[: moment + 1], "#5a4a2e", 2 * wide)
        ink.line([self._shadow[moment], self._executed[moment]], fill=DIM, width=wide)
        _line(ink, self._executed[: moment + 1], EXECUTED, 5 * wide)
        if plan >= 0:
            _dashed(ink, self._plans[plan], PLANNED, 2 * wide)
            if (at := self._places[plan].get(plan_frame)) is not None:
                _ring(ink, at, 9 * wide, PLANNED, 2 * wide)
        self._draw_tool(ink, moment)
        return picture.resize((self._size, self._size), Image.Resampling.BOX)

    def _draw_tool(self, ink: ImageDraw.ImageDraw, moment: int) -> None:
        tool = self._reached[moment]
        length = 0.25 * LEAST_SIDE if self._spacing == 0.05 else 0.25 * LEAST_SIDE * 2
        ends = self.viewpoint(tool[None].apply(length * torch.tensor(POINTS, dtype=tool.dtype)))
        for end, colour in zip(ends[1:], SPOTS[1:], strict=True):
            ink.line([ends[0], end], fill=colour, width=3 * OVERSAMPLING)
            _dot(ink, end, 4 * OVERSAMPLING, colour)
        _dot(ink, ends[0], 6 * OVERSAMPLING, SPOTS[0])

    def _floor_corners(self, known: Float[Tensor, "point 3"]) -> Float[Tensor, "4 3"]:
        """A rectangle of whole grid squares under all points."""
        low, high = known.amin(0), known.amax(0)
        room = (LEAST_SIDE - (high - low)).clamp_min(0) / 2
        low, high = (
            ((low - room) / self._spacing).floor() * self._spacing,
            ((high + room) / self._spacing).ceil() * self._spacing,
        )
        z = torch.floor(known[:, 2].amin() / self._spacing) * self._spacing
        (x0, y0), (x1, y1) = low[:2].tolist(), high[:2].tolist()
        return torch.tensor([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])

    def _on_floor(self, points: Float[Tensor, "point 3"]) -> Float[Tensor, "point 3"]:
        return torch.cat([points[:, :2], torch.full_like(points[:, :1], self._floor)], -1)

    def _draw_background(self, corners: Float[Tensor, "4 3"], goal: Pose | None) -> Image.Image:
        side = self._size * OVERSAMPLING
        picture = Image.new("RGB", (side, side), PANEL)
        ink = ImageDraw.Draw(picture)
        ink.polygon(self.viewpoint(corners), fill="#1d222b")
        (x0, y0, z), (x1, y1, _) = corners[0].tolist(), corners[2].tolist()
        for x in np.arange(x0, x1 + 1e-6, self._spacing):
            ink.line(self.viewpoint(torch.tensor([[x, y0, z], [x, y1, z]])), fill=FAINT, width=OVERSAMPLING)
        for y in np.arange(y0, y1 + 1e-6, self._spacing):
            ink.line(self.viewpoint(torch.tensor([[x0, y, z], [x1, y, z]])), fill=FAINT, width=OVERSAMPLING)
        if goal is not None:
            (at,), (below,) = (
                self.viewpoint(goal.translation[None]),
                self.viewpoint(self._on_floor(goal.translation[None])),
            )
            ink.line([at, below], fill=GOAL, width=OVERSAMPLING)
            _cross(ink, at, 8 * OVERSAMPLING, GOAL)
        self._draw_legend(ink, goal is not None)
        return picture

    def _draw_legend(self, ink: ImageDraw.ImageDraw, has_goal: bool) -> None:
        """In the lower corners, which a floor seen from its corner leaves free."""
        wide, letters = OVERSAMPLING, font(14 * OVERSAMPLING)
        x, y = 10 * wide, (self._size - 14) * wide
        if has_goal:
            _cross(ink, (x + 10 * wide, y), 6 * wide, GOAL)
            ink.text((x + 27 * wide, y), "expert's end", fill=INK, font=letters, anchor="lm")
            y -= 20 * wide
        _dashed(ink, [(x, y), (x + 20 * wide, y)], PLANNED, 2 * wide)
        ink.text((x + 27 * wide, y), "planned", fill=INK, font=letters, anchor="lm")
        y -= 20 * wide
        ink.line([(x, y), (x + 20 * wide, y)], fill=EXECUTED, width=5 * wide)
        ink.text((x + 27 * wide, y), "executed", fill=INK, font=letters, anchor="lm")
        corner = ((self._size - 10) * wide, (self._size - 14) * wide)
        ink.text(corner, f"grid {100 * self._spacing:.0f} cm", fill=DIM, font=letters, anchor="rm")


def _line(ink: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str, width: int) -> None:
    if len(points) > 1:
        ink.line(points, fill=colour, width=width, joint="curve")


def _dashed(
    ink: ImageDraw.ImageDraw,
    points: list[tuple[float, float]],
    colour: str,
    width: int,
    dash: float = 12.0,
    gap: float = 8.0,
) -> None:
    """Dashes (px) that go on around the corners of a line."""
    done = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        at = 0.0
        while at < length:
            phase = (done + at) % (dash + gap)
            step = min((dash if phase < dash else dash + gap) - phase + 1e-3, length - at)
            if phase < dash:
                a, b = at / length, (at + step) / length
                ink.line(
                    [(x0 + a * (x1 - x0), y0 + a * (y1 - y0)), (x0 + b * (x1 - x0), y0 + b * (y1 - y0))],
                    fill=colour,
                    width=width,
                )
            at += step
        done += length


def _dot(ink: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, colour: str) -> None:
    ink.ellipse(
        [at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius],
        fill=colour,
        outline="#000000",
        width=OVERSAMPLING,
    )


def _ring(ink: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, colour: str, width: int) -> None:
    ink.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], outline=colour, width=width)


def _cross(ink: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, colour: str) -> None:
    for sign in (1, -1):
        ink.line(
            [(at[0] - radius, at[1] - sign * radius), (at[0] + radius, at[1] + sign * radius)],
            fill=colour,
            width=3 * OVERSAMPLING,
        )
