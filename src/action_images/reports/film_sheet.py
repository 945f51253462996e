"""One picture of a film: columns of camera pictures, the path of the tool, and strips of text."""

from dataclasses import dataclass

from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from action_images.codec.overlay import overlay
from action_images.evaluation.rollout import Rollout
from action_images.geometry import Pose
from action_images.reports import film_strips
from action_images.reports.film_frames import FilmFrames, film_frames, path_of
from action_images.reports.film_strips import FOOTER, HEADER, HEADING, MARGIN
from action_images.reports.path_plot import PathPlot
from action_images.reports.pictures import to_pillow, to_tensor
from action_images.reports.theme import BACKGROUND

MAX_VIEWS = 3
"""Further cameras are left out of the picture, which would be too large to read."""
PANEL_HEIGHT = {1: 288, 2: 208, 3: 176}
"""Height of a camera's picture (px) by the number of rows."""
LEAST_PLOT_SIDE = 288
GAP = 6
"""Free space between two pictures (px)."""


@dataclass(frozen=True)
class Column:
    """One kind of picture, with a row for each camera."""

    heading: str
    pictures: UInt8[Tensor, "view frame 3 h w"]


def columns_of(frames: FilmFrames) -> list[Column]:
    """The columns from left to right, from camera images to plans."""
    columns = [Column("cameras", frames.seen)]
    if frames.imagined is not None:
        columns.append(Column("imagined video", frames.imagined))
    actions = "imagined actions" if frames.generated else "planned actions"
    columns.append(Column(actions, frames.action_images))
    columns.append(Column("actions on cameras", overlay(frames.seen, frames.action_images)))
    return columns


@dataclass(frozen=True)
class SheetLayout:
    """The layout of a picture (px); `panel` is the (width, height) of one camera's picture."""

    num_columns: int
    num_rows: int
    panel: tuple[int, int]

    @property
    def rows_height(self) -> int:
        """The height of the camera pictures below each other."""
        return self.num_rows * (self.panel[1] + GAP) - GAP

    @property
    def plot_side(self) -> int:
        """The side of the square with the tool's path, which is the last column."""
        return max(self.rows_height, LEAST_PLOT_SIDE)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the whole picture, both even, as H.264 requires."""
        width = self.left(self.num_columns) + self.plot_side + MARGIN
        height = HEADER + HEADING + self.plot_side + FOOTER
        return width + width % 2, height + height % 2

    def left(self, column: int) -> int:
        """The left edge of a column."""
        return MARGIN + column * (self.panel[0] + GAP)

    def top(self, row: int) -> int:
        """The top edge of a row."""
        return HEADER + HEADING + row * (self.panel[1] + GAP)


class FilmSheet:
    """The pictures of a film, drawn one at a time; height and width are even and the same for all frames."""

    def __init__(self, rollout: Rollout, reason: str | None = None, goal: Pose | None = None):
        self._rollout = rollout
        self._frames = film_frames(rollout)
        self._columns = columns_of(self._frames)
        self._reason = reason or (str(rollout.stopped) if rollout.stopped else None)
        num_rows = min(self._frames.num_views, MAX_VIEWS)
        height, width = self._frames.seen.shape[-2:]
        panel_height = PANEL_HEIGHT[num_rows]
        panel = (max(2, round(width * panel_height / height)), panel_height)
        self._layout = SheetLayout(len(self._columns), num_rows, panel)
        self._plot = PathPlot(
            self._frames.reached,
            [path_of(plan) for plan in rollout.plans],
            goal=goal,
            camera=rollout.first_seen.cameras[0].to("cpu"),
            size=self._layout.plot_side,
        )
        self._blank = self._draw_blank()

    def __len__(self) -> int:
        return len(self._frames)

    def draw(self, frame: int, *, ended: bool = False) -> UInt8[Tensor, "3 h w"]:
        """The picture of a frame; the outcome is shown if the trial has `ended`."""
        picture, layout = self._blank.copy(), self._layout
        for number, column in enumerate(self._columns):
            for row in range(layout.num_rows):
                panel = to_pillow(column.pictures[row, frame]).resize(layout.panel, Image.Resampling.BICUBIC)
                picture.paste(panel, (layout.left(number), layout.top(row)))
        plot = self._plot.draw(frame, self._frames.in_force[frame])
        picture.paste(plot, (layout.left(layout.num_columns), layout.top(0)))
        self._draw_strips(picture, frame, ended=ended)
        return to_tensor(picture)

    def _draw_blank(self) -> Image.Image:
        """Draw everything that is the same in every frame."""
        picture = Image.new("RGB", self._layout.size, BACKGROUND)
        pen = ImageDraw.Draw(picture)
        film_strips.draw_header(pen, self._rollout, width=picture.width)
        film_strips.draw_legend(pen, size=picture.size)
        headings = [*(column.heading for column in self._columns), "path of the tool"]
        for column, heading in enumerate(headings):
            corner = (self._layout.left(column), HEADER + 3)
            film_strips.draw_heading(pen, corner, heading, width=self._layout.panel[0])
        return picture

    def _draw_strips(self, picture: Image.Image, frame: int, *, ended: bool) -> None:
        pen, size = ImageDraw.Draw(picture), picture.size
        film_strips.draw_clock(pen, self._rollout, frame, width=picture.width)
        film_strips.draw_time_bar(pen, self._frames, frame, size=size)
        film_strips.draw_state(pen, self._rollout, self._frames, frame, size=size)
        if ended:
            film_strips.draw_outcome(pen, self._rollout, self._reason, size=size)
