"""A film of a trial: what the cameras saw beside what was imagined, the action images, and the tool's path."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from action_images.codec.overlay import overlay
from action_images.episodes.video import write_video
from action_images.evaluation.rollout import Rollout
from action_images.geometry import Pose
from action_images.reports.film_frames import Moments, moments, path_of
from action_images.reports.path_plot import EXECUTED, PLANNED, PathPlot
from action_images.reports.theme import BAD, DIM, FAINT, GOOD, GROUND, INK, PANEL, fitted, font

MAX_VIEWS = 3
"""More cameras than these are left out of the picture, which would be too large to read."""
PANEL_HEIGHT = {1: 288, 2: 208, 3: 176}
"""Height of a camera's picture (px) by the number of rows."""
EDGE, GAP, HEADER, HEADING, FOOTER = 16, 6, 70, 26, 58
"""Free space and strips of text (px)."""
LARGE, SMALL = 22, 15
"""Heights of letters (px)."""
HOLD_SECONDS = 1.5
"""How long the last picture stands, with the outcome."""


def write_film(
    rollout: Rollout, path: Path, reason: str | None = None, goal: Pose | None = None, crf: int = 24
) -> None:
    """Write a trial as an mp4 (H.264, yuv420p) at the control rate.

    `reason` says how it ended, where a rule has found out (a trial record's `detail`); `goal` is the tool pose at which
    an expert ends (world_from_tool), where known. Raises ValueError where the trial was not filmed.
    """
    sheet = Sheet(rollout, reason, goal)
    last = len(sheet) - 1
    hold = round(HOLD_SECONDS * rollout.control_hz)

    def frames() -> Iterator[Tensor]:
        for moment in range(len(sheet)):
            yield sheet.draw(moment)
        ended = sheet.draw(last, ended=True)
        yield from (ended for _ in range(hold))

    write_video(
        path,
        frames(),
        rollout.control_hz,
        crf,
        keyframe_interval=round(2 * rollout.control_hz),
        preset="veryfast",
    )


def still(
    rollout: Rollout, reason: str | None = None, goal: Pose | None = None, num_moments: int = 4
) -> UInt8[Tensor, "3 h w"]:
    """A contact sheet: evenly spaced moments of the film below each other, the last one with the outcome."""
    sheet = Sheet(rollout, reason, goal)
    picks = torch.linspace(0, len(sheet) - 1, min(num_moments, len(sheet))).round().int().tolist()
    return torch.cat([sheet.draw(moment, ended=moment == len(sheet) - 1) for moment in picks], -2)


@dataclass(frozen=True)
class Column:
    """One kind of picture, a row for each camera: (view moment 3 h w)."""

    heading: str
    pictures: UInt8[Tensor, "view moment 3 h w"]


def columns(shown: Moments) -> list[Column]:
    """What stands beside what, from what was seen to what was meant."""
    said = "imagined actions" if shown.generated else "planned actions"
    laid_over = overlay(shown.seen, shown.action_images)
    imagined = [] if shown.imagined is None else [Column("imagined video", shown.imagined)]
    return [
        Column("cameras", shown.seen),
        *imagined,
        Column(said, shown.action_images),
        Column("actions on cameras", laid_over),
    ]


class Sheet:
    """The pictures of a film, drawn one at a time; their height and width are even, and the same for all moments."""

    def __init__(self, rollout: Rollout, reason: str | None = None, goal: Pose | None = None):
        self._rollout = rollout
        self._moments = moments(rollout)
        self._columns = columns(self._moments)
        self._num_rows = min(self._moments.num_views, MAX_VIEWS)
        self._reason = reason or (str(rollout.stopped) if rollout.stopped else None)
        rows, width = self._moments.seen.shape[-2:]
        height = PANEL_HEIGHT[self._num_rows]
        self._panel = (max(2, round(width * height / rows)), height)
        self._plot_side = max(self._num_rows * (height + GAP) - GAP, 288)
        self._plot = PathPlot(
            self._moments.reached,
            [path_of(plan) for plan in rollout.plans],
            goal,
            rollout.first_seen.cameras[0].to("cpu"),
            self._plot_side,
        )
        self._blank = self._draw_blank()

    def __len__(self) -> int:
        return len(self._moments)

    def draw(self, moment: int, ended: bool = False) -> UInt8[Tensor, "3 h w"]:
        """The picture of a moment; the outcome is shown where the trial has ended."""
        picture = self._blank.copy()
        top = HEADER + HEADING
        for column in range(len(self._columns)):
            for row in range(self._num_rows):
                picture.paste(
                    self._picture(column, row, moment),
                    (self._left(column), top + row * (self._panel[1] + GAP)),
                )
        shown = self._moments
        picture.paste(
            self._plot.draw(moment, shown.plan[moment], shown.frame[moment]),
            (self._left(len(self._columns)), top),
        )
        ink = ImageDraw.Draw(picture)
        self._draw_clock(ink, moment)
        self._draw_footer(ink, moment)
        if ended:
            self._draw_outcome(ink)
        return torch.from_numpy(np.array(picture)).movedim(-1, 0)

    @property
    def _size(self) -> tuple[int, int]:
        """(width, height) in px"""
        width = self._left(len(self._columns)) + self._plot_side + EDGE
        height = (
            HEADER + HEADING + max(self._num_rows * (self._panel[1] + GAP) - GAP, self._plot_side) + FOOTER
        )
        return width + width % 2, height + height % 2

    def _left(self, column: int) -> int:
        return EDGE + column * (self._panel[0] + GAP)

    def _picture(self, column: int, row: int, moment: int) -> Image.Image:
        pixels = self._columns[column].pictures[row, moment].movedim(0, -1).numpy()
        return Image.fromarray(pixels).resize(self._panel, Image.Resampling.BICUBIC)

    def _draw_blank(self) -> Image.Image:
        """All that is the same in every moment."""
        picture = Image.new("RGB", self._size, GROUND)
        ink = ImageDraw.Draw(picture)
        rollout, width = self._rollout, self._size[0]
        room = width - 2 * EDGE - 260
        ink.text(
            (EDGE, 12),
            fitted(f"“{rollout.instruction}”", room, LARGE, True),
            fill=INK,
            font=font(LARGE, True),
        )
        ink.text(
            (EDGE, 42),
            fitted(f"{rollout.task}, scene {rollout.seed}", 330, SMALL),
            fill=DIM,
            font=font(SMALL),
        )
        for column, heading in enumerate([*(column.heading for column in self._columns), "path of the tool"]):
            ink.text(
                (self._left(column), HEADER + 3),
                fitted(heading, self._panel[0], SMALL),
                fill=DIM,
                font=font(SMALL),
            )
        return picture

    def _draw_clock(self, ink: ImageDraw.ImageDraw, moment: int) -> None:
        right = self._size[0] - EDGE
        ink.text(
            (right, 12), f"{moment / self._rollout.control_hz:.2f} s", fill=INK, font=font(LARGE), anchor="ra"
        )
        ink.text((right, 42), f"step {moment} of {len(self) - 1}", fill=DIM, font=font(SMALL), anchor="ra")

    def _draw_footer(self, ink: ImageDraw.ImageDraw, moment: int) -> None:
        """A bar of time with a mark where each plan begins; below it the gripper and the plan in force."""
        shown, (width, height) = self._moments, self._size
        top, length = height - FOOTER + 12, width - 2 * EDGE
        ink.rounded_rectangle([EDGE, top, EDGE + length, top + 6], 3, fill=FAINT)
        done = EDGE + length * moment / max(1, len(self) - 1)
        ink.rounded_rectangle([EDGE, top, max(done, EDGE + 6), top + 6], 3, fill=EXECUTED)
        begins = (
            [at for at in range(1, len(self)) if shown.plan[at] != shown.plan[at - 1]]
            if len(self) > 1
            else []
        )
        for at in begins:
            x = EDGE + length * (at - 1) / max(1, len(self) - 1)
            ink.rectangle([x - 1, top - 4, x, top + 9], fill=PLANNED)
        line = top + 24
        x = _gauge(ink, (EDGE, line), "gripper open", shown.opening[moment])
        held = self._rollout.steps[moment - 1].held if moment else None
        said = self._plan_text(moment) if held is None else f"held by a guard rail: {held}"
        room = width - EDGE - x - 24
        ink.text(
            (x + 24, line),
            fitted(said, room, SMALL),
            fill=DIM if held is None else BAD,
            font=font(SMALL),
            anchor="lm",
        )

    def _plan_text(self, moment: int) -> str:
        plan, frame = self._moments.plan[moment], self._moments.frame[moment]
        if plan < 0:
            return "no plan"
        rollout = self._rollout
        took = f", made in {rollout.plan_ms[plan]:.0f} ms" if plan < len(rollout.plan_ms) else ""
        return f"plan {plan + 1} of {len(rollout.plans)}, its step {frame + 1} of {rollout.plans[plan].trajectory.num_frames}{took}"

    def _draw_outcome(self, ink: ImageDraw.ImageDraw) -> None:
        """At the top, where a player's controls do not cover it."""
        width, height = self._size
        colour, word = (GOOD, "succeeded") if self._rollout.succeeded else (BAD, "failed")
        ink.rectangle([0, 0, width - 1, height - 1], outline=colour, width=4)
        letters = font(SMALL, True)
        right = width - EDGE - 110
        left = right - letters.getlength(word) - 24
        ink.rounded_rectangle([left, 11, right, 38], 13, fill=colour)
        ink.text((left + 12, 24), word, fill="#ffffff", font=letters, anchor="lm")
        if self._reason:
            said = fitted(self._reason, right - EDGE - 340, SMALL)
            ink.text((right, 42), said, fill=INK, font=font(SMALL), anchor="ra")


def _gauge(ink: ImageDraw.ImageDraw, at: tuple[float, float], name: str, level: float) -> float:
    """A small bar for a number in [0, 1]; returns where it ends (px)."""
    x, y = at
    ink.text((x, y), name, fill=DIM, font=font(SMALL), anchor="lm")
    x += font(SMALL).getlength(name) + 10
    ink.rectangle([x, y - 5, x + 60, y + 5], fill=PANEL, outline=FAINT)
    ink.rectangle([x, y - 5, x + 60 * min(max(level, 0.0), 1.0), y + 5], fill="#8fa3ff")
    ink.text((x + 70, y), f"{100 * level:.0f} %", fill=DIM, font=font(SMALL), anchor="lm")
    return x + 70 + font(SMALL).getlength("100 %")
