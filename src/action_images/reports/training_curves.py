"""Plots of a training run; needs matplotlib (the extra `view`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from action_images.canvas import MODES, Show
from action_images.errors import ActionImagesError
from action_images.files.atomic import whole_file
from action_images.training.log import read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHED = 100
"""The number of steps whose mean loss is one point of the curve."""
PANELS = {
    "loss 1": "loss, nothing known",
    "final mm": "last pose, median mm",
    "path deg": "rotation, median degrees",
    "last dB": "last frame, median dB",
}
"""Figures of validation with a panel each -> the panel's title."""
OF_ACTIONS, OF_VIDEO = ("final mm", "path deg"), "last dB"


@dataclass(frozen=True)
class Course:
    """Losses of all steps, validations by steps counted through all runs, and the starts of runs."""

    losses: np.ndarray
    validations: list[tuple[int, dict[str, Any]]]
    starts: list[int]

    @property
    def modes(self) -> list[str]:
        """All validated modes, in the order of their first validation."""
        modes: dict[str, None] = {}
        for _, figures in self.validations:
            modes |= dict.fromkeys(figures)
        return list(modes)


def plot_training(runs: Sequence[Path], path: Path) -> None:
    """Plot the training loss, and the held-out figures of each mode, against steps.

    With several runs, each continued the previous one. Raises ActionImagesError if the runs have no step yet.
    """
    from matplotlib.figure import Figure

    course = _joined([read_log(run) for run in runs])
    if not len(course.losses):
        raise ActionImagesError(f"{runs[0]}: has no steps to draw yet; let the run train on")
    figure = Figure(figsize=(19, 3.6), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(PANELS))
    first.plot(*_smoothed(course.losses), color="black")
    first.set(title=f"training loss, mean of {SMOOTHED} steps", yscale="log")
    for axes, name in zip(others, PANELS, strict=True):
        _plot_figure(axes, course, name)
    for axes in (first, *others):
        _finish(axes, course)
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=90, format="png")


def _plot_figure(axes: "Axes", course: Course, name: str) -> None:
    """Plot one figure of validation, with a line for each mode that must predict what the figure measures."""
    for number, mode in enumerate(course.modes):
        points = [(step, row[mode][name]) for step, row in course.validations if name in row.get(mode, ())]
        if points and not _is_given(mode, name):
            axes.plot(*zip(*points, strict=True), marker="o", ms=3, color=f"C{number}", label=mode)
    axes.set(title=PANELS[name], yscale="linear" if name == OF_VIDEO else "log")
    if axes.lines:
        axes.legend(fontsize=8)


def _is_given(mode: str, name: str) -> bool:
    """Whether a mode is given everything that a figure measures, so that the figure means nothing."""
    if name in OF_ACTIONS:
        return MODES[mode].action is Show.EVERYTHING
    return name == OF_VIDEO and MODES[mode].video is Show.EVERYTHING


def _finish(axes: "Axes", course: Course) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="steps", xlim=(0, max(len(course.losses), 1)))
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize=6)
    for start in course.starts[1:]:
        axes.axvline(start, color="grey", lw=0.7, ls=":")


def _joined(logs: Sequence[Sequence[dict[str, Any]]]) -> Course:
    losses: list[float] = []
    validations, starts = [], []
    for log in logs:
        starts.append(len(losses))
        # After a kill the log has some steps and validations twice; the later ones count.
        steps = {row["step"]: row["loss"] for row in log if "loss" in row}
        judged = {row["step"]: row["validation"] for row in log if "validation" in row}
        validations += [(starts[-1] + step, judged[step]) for step in sorted(judged)]
        losses += [steps[step] for step in sorted(steps)]
    return Course(np.array(losses), validations, starts)


def _smoothed(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps and mean losses."""
    size = max(min(SMOOTHED, len(losses) // 10), 1)
    whole = losses[: len(losses) // size * size].reshape(-1, size)
    return (np.arange(len(whole)) + 0.5) * size, whole.mean(1)
