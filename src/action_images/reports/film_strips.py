"""The text in a film's pictures: the instruction, the clock, the plan in force, and the outcome."""

from PIL import ImageDraw

from action_images.evaluation.rollout import Rollout
from action_images.reports.film_frames import FilmFrames
from action_images.reports.lettering import font, shortened
from action_images.reports.theme import (
    BACKGROUND,
    BAD,
    EXECUTED,
    GOOD,
    LINE,
    MUTED,
    OPENING,
    PANEL,
    PLANNED,
    SPOTS,
    TEXT,
)

MARGIN, HEADER, HEADING, FOOTER = 16, 70, 26, 58
"""Free space at the edges, and heights of the strips (px)."""
LARGE, SMALL = 22, 15
"""Heights of letters (px)."""
DOT = 5
"""Radius of a dot of the legend (px)."""
FIRST_LINE, SECOND_LINE = 12, 42
"""Tops of the header's two lines (px)."""
CLOCK_WIDTH, ADDRESS_WIDTH = 260, 330
"""Widths of the clock and the outcome at the right, and of task and scene at the left (px)."""
APART = 24
"""Space between two texts of one line (px)."""
LEGEND = (((SPOTS[0],), "where the tool is"), (SPOTS[1:], "how it is turned"))
"""Colours of the spots of an action image, with their meaning."""

Pen = ImageDraw.ImageDraw


def draw_header(pen: Pen, rollout: Rollout, width: int) -> None:
    """Draw the instruction, and below it task and scene."""
    large, small = font(LARGE, bold=True), font(SMALL)
    asked = shortened(f"“{rollout.instruction}”", width - 2 * MARGIN - CLOCK_WIDTH, large)
    pen.text((MARGIN, FIRST_LINE), asked, fill=TEXT, font=large)
    address = shortened(f"{rollout.task}, scene {rollout.seed}", ADDRESS_WIDTH, small)
    pen.text((MARGIN, SECOND_LINE), address, fill=MUTED, font=small)


def draw_heading(pen: Pen, corner: tuple[int, int], heading: str, width: int) -> None:
    """Draw the heading of a column."""
    pen.text(corner, shortened(heading, width, font(SMALL)), fill=MUTED, font=font(SMALL))


def draw_legend(pen: Pen, size: tuple[int, int]) -> None:
    """Draw the meaning of red, green and blue in an action image, at the lower right."""
    width, height = size
    letters, line, left = font(SMALL), height - FOOTER + 36, width - MARGIN - legend_width()
    for colours, meaning in LEGEND:
        for colour in colours:
            pen.circle((left + DOT, line), DOT, fill=colour)
            left += 2 * DOT + 3
        pen.text((left + 4, line), meaning, fill=TEXT, font=letters, anchor="lm")
        left += 4 + letters.getlength(meaning) + APART


def legend_width() -> float:
    """The width of the legend (px)."""
    letters = font(SMALL)
    words = sum(4 + letters.getlength(meaning) + APART for _, meaning in LEGEND) - APART
    return words + sum(len(colours) * (2 * DOT + 3) for colours, _ in LEGEND)


def draw_clock(pen: Pen, rollout: Rollout, frame: int, width: int) -> None:
    """Draw the time since the trial began, and below it the control steps."""
    right = width - MARGIN
    seconds, steps = f"{frame / rollout.control_hz:.2f} s", _steps(frame, rollout)
    pen.text((right, FIRST_LINE), seconds, fill=TEXT, font=font(LARGE), anchor="ra")
    pen.text((right, SECOND_LINE), steps, fill=MUTED, font=font(SMALL), anchor="ra")


def _steps(frame: int, rollout: Rollout) -> str:
    return f"step {frame} of {len(rollout.steps)}"


def draw_time_bar(pen: Pen, frames: FilmFrames, frame: int, size: tuple[int, int]) -> None:
    """Draw a bar of the trial's progress, with a mark at the start of each plan."""
    width, height = size
    top, length, last = height - FOOTER + 12, width - 2 * MARGIN, max(1, len(frames) - 1)
    pen.rounded_rectangle([MARGIN, top, MARGIN + length, top + 6], 3, fill=LINE)
    now = MARGIN + length * frame / last
    pen.rounded_rectangle([MARGIN, top, max(now, MARGIN + 6), top + 6], 3, fill=EXECUTED)
    for at in range(1, len(frames)):
        if frames.in_force[at].plan != frames.in_force[at - 1].plan:
            x = MARGIN + length * (at - 1) / last
            pen.rectangle([x - 1, top - 4, x, top + 9], fill=PLANNED)


def draw_state(pen: Pen, rollout: Rollout, frames: FilmFrames, frame: int, size: tuple[int, int]) -> None:
    """Draw the gripper, and the plan in force or the guard rail that holds the arm."""
    width, height = size
    line = height - FOOTER + 36
    end = _draw_gauge(pen, (MARGIN, line), "gripper open", frames.opening[frame])
    held = rollout.steps[frame - 1].held if frame else None
    told = _told_of_plan(rollout, frames, frame) if held is None else f"held by a guard rail: {held}"
    left = end + APART
    text = shortened(told, width - MARGIN - legend_width() - APART - left, font(SMALL))
    pen.text((left, line), text, fill=MUTED if held is None else BAD, font=font(SMALL), anchor="lm")


def _told_of_plan(rollout: Rollout, frames: FilmFrames, frame: int) -> str:
    plan, plan_frame = frames.in_force[frame].plan, frames.in_force[frame].plan_frame
    if plan is None:
        return "no plan"
    took = f", made in {rollout.plan_ms[plan]:.0f} ms" if plan < len(rollout.plan_ms) else ""
    length = rollout.plans[plan].trajectory.num_frames
    return f"plan {plan + 1} of {len(rollout.plans)}, its step {plan_frame + 1} of {length}{took}"


def draw_outcome(pen: Pen, rollout: Rollout, reason: str | None, size: tuple[int, int]) -> None:
    """Draw a frame around the picture, and the outcome at the top, which a player's controls do not cover."""
    width, height = size
    colour, word = (GOOD, "succeeded") if rollout.succeeded else (BAD, "failed")
    pen.rectangle([0, 0, width - 1, height - 1], outline=colour, width=4)
    letters = font(SMALL, bold=True)
    right = width - MARGIN - 110
    left = right - letters.getlength(word) - APART
    pen.rounded_rectangle([left, 11, right, 38], 13, fill=colour)
    pen.text((left + 12, 24), word, fill=BACKGROUND, font=letters, anchor="lm")
    if reason:
        # The last step's text is the widest, so the reason always ends left of the clock.
        clock = font(SMALL).getlength(_steps(len(rollout.steps), rollout))
        right = width - MARGIN - max(110, clock + APART)
        text = shortened(reason, right - MARGIN - ADDRESS_WIDTH - 10, font(SMALL))
        pen.text((right, SECOND_LINE), text, fill=TEXT, font=font(SMALL), anchor="ra")


def _draw_gauge(pen: Pen, at: tuple[float, float], name: str, level: float) -> float:
    """Draw a small bar for a number in [0, 1]; returns its right end (px)."""
    x, y = at
    letters, length = font(SMALL), 60
    pen.text((x, y), name, fill=MUTED, font=letters, anchor="lm")
    x += letters.getlength(name) + 10
    pen.rectangle([x, y - 5, x + length, y + 5], fill=PANEL, outline=LINE)
    pen.rectangle([x, y - 5, x + length * min(max(level, 0.0), 1.0), y + 5], fill=OPENING)
    pen.text((x + length + 10, y), f"{100 * level:.0f} %", fill=MUTED, font=letters, anchor="lm")
    return x + length + 10 + letters.getlength("100 %")
