"""The tool's path in three dimensions: executed and planned, above a floor that shows depth."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from action_images.codec.format import POINTS
from action_images.geometry import Camera, Pose
from action_images.reports.film_frames import InForce
from action_images.reports.floor import Floor
from action_images.reports.lettering import font
from action_images.reports.strokes import Point, draw_cross, draw_dashed
from action_images.reports.theme import (
    EXECUTED,
    EXECUTED_SHADOW,
    FLOOR,
    GOAL,
    LINE,
    MUTED,
    PANEL,
    PLANNED,
    SPOTS,
    TEXT,
)
from action_images.reports.viewpoint import Viewpoint

OVERSAMPLING = 2
"""Lines are drawn enlarged by this factor and then reduced, which makes them smooth."""
AXIS_LENGTH_SQUARES = 1.2
"""Length of the tool's axes, in squares of the floor's grid."""
REACH = 0.5
"""Planned points farther than this from the tool's executed path (m) may leave the picture."""
LETTERS_PX, LEGEND_LINE_PX = 14, 20


def px(size: float) -> int:
    """A length in the finished picture (px), converted to the larger one that is drawn on."""
    return round(size * OVERSAMPLING)


class PathPlot:
    """Draws frame by frame; the constant parts are drawn once.

    `reached` are the tool's poses (frame). `paths` are the positions of each plan, NaN if there is none.
    `goal` is a pose, if known. All are world_from_tool, m. `camera` (no batch axes) gives the viewing
    direction.
    """

    def __init__(
        self,
        reached: Pose,
        paths: Sequence[Float[Tensor, "_ 3"]],
        *,
        goal: Pose | None,
        camera: Camera,
        size: int,
    ):
        self._reached, self._size = reached, size
        executed = reached.translation
        nearby = [torch.cdist(path.nan_to_num(torch.inf), executed).amin(1) < REACH for path in paths]
        kept = [path[near] for path, near in zip(paths, nearby, strict=True)]
        known = torch.cat([executed, *kept, *([] if goal is None else [goal.translation[None]])])
        self._floor = Floor.under(known)
        self.viewpoint = Viewpoint.onto(torch.cat([known, self._floor.corners]), camera, px(size))
        self._plans = [self.viewpoint(path) for path in kept]
        self._places = [_by_frame(near, plan) for near, plan in zip(nearby, self._plans, strict=True)]
        self._executed = self.viewpoint(executed)
        self._shadow = self.viewpoint(self._floor.below(executed))
        self._background = self._draw_background(goal)

    def draw(self, frame: int, in_force: InForce) -> Image.Image:
        """The path executed until a frame, the plan in force, and the current place in it."""
        picture = self._background.copy()
        pen = ImageDraw.Draw(picture)
        pen.line(self._shadow[: frame + 1], fill=EXECUTED_SHADOW, width=px(2), joint="curve")
        pen.line([self._shadow[frame], self._executed[frame]], fill=MUTED, width=px(1))
        pen.line(self._executed[: frame + 1], fill=EXECUTED, width=px(5), joint="curve")
        if in_force.plan is not None:
            draw_dashed(pen, self._plans[in_force.plan], PLANNED, width=px(2))
            at = self._places[in_force.plan].get(in_force.plan_frame)
            if at is not None:
                pen.circle(at, px(9), outline=PLANNED, width=px(2))
        self._draw_tool(pen, self._reached[frame])
        return picture.reduce(OVERSAMPLING)

    def _draw_tool(self, pen: ImageDraw.ImageDraw, tool: Pose) -> None:
        length = AXIS_LENGTH_SQUARES * self._floor.spacing
        points = tool[None].apply(length * torch.tensor(POINTS, dtype=tool.dtype))
        origin, *tips = self.viewpoint(points)
        for tip, colour in zip(tips, SPOTS[1:], strict=True):
            pen.line([origin, tip], fill=colour, width=px(3))
            pen.circle(tip, px(4), fill=colour, outline="#000000", width=px(1))
        pen.circle(origin, px(6), fill=SPOTS[0], outline="#000000", width=px(1))

    def _draw_background(self, goal: Pose | None) -> Image.Image:
        picture = Image.new("RGB", (px(self._size), px(self._size)), PANEL)
        pen = ImageDraw.Draw(picture)
        pen.polygon(self.viewpoint(self._floor.corners), fill=FLOOR)
        for ends in self._floor.grid_lines():
            pen.line(self.viewpoint(ends), fill=LINE, width=px(1))
        if goal is not None:
            place = goal.translation[None]
            ((at,), (below,)) = self.viewpoint(place), self.viewpoint(self._floor.below(place))
            pen.line([at, below], fill=GOAL, width=px(1))
            draw_cross(pen, at, px(8), GOAL, width=px(3))
        self._draw_legend(pen, has_goal=goal is not None)
        return picture

    def _draw_legend(self, pen: ImageDraw.ImageDraw, *, has_goal: bool) -> None:
        """Draw the legend in the lower corners, which stay free as the floor is seen from its corner."""
        letters, left, line = font(px(LETTERS_PX)), px(10), px(self._size - 14)
        corner = (px(self._size - 10), line)
        pen.text(corner, f"grid {100 * self._floor.spacing:.0f} cm", fill=MUTED, font=letters, anchor="rm")
        if has_goal:
            draw_cross(pen, (left + px(10), line), px(6), GOAL, width=px(3))
            pen.text((left + px(27), line), "expert's end", fill=TEXT, font=letters, anchor="lm")
            line -= px(LEGEND_LINE_PX)
        draw_dashed(pen, [(left, line), (left + px(20), line)], PLANNED, width=px(2))
        pen.text((left + px(27), line), "planned", fill=TEXT, font=letters, anchor="lm")
        line -= px(LEGEND_LINE_PX)
        pen.line([(left, line), (left + px(20), line)], fill=EXECUTED, width=px(5))
        pen.text((left + px(27), line), "executed", fill=TEXT, font=letters, anchor="lm")


def _by_frame(kept: Tensor, places: Sequence[Point]) -> dict[int, Point]:
    """Frame of a plan -> its place in the picture, for the frames that are drawn."""
    return dict(zip(kept.nonzero().flatten().tolist(), places, strict=True))
