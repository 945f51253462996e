"""How a training run went, as a picture; needs matplotlib (the extra `view`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from action_images.canvas import MODES, Show
from action_images.errors import ActionImagesError
from action_images.files.atomic import commit_file
from action_images.training.log import read_log

SMOOTHED = 100
"""Steps whose mean loss is one point of the curve."""
PANELS = {
    "loss 1": "loss, nothing known",
    "final mm": "last pose, median mm",
    "path deg": "rotation, median degrees",
    "last dB": "last frame, median dB",
}
"""Figures of validation that have a panel each, with its title."""
OF_ACTIONS, OF_VIDEO = ("final mm", "path deg"), "last dB"


def plot_training(runs: Sequence[Path], path: Path) -> None:
    """The training loss, and the held-out figures of each mode, against steps; of several runs each went on from the one before.

    Raises ValueError where the runs hold no step yet.
    """
    import matplotlib
    import matplotlib.ticker

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    losses, judged, starts = _joined([read_log(run) for run in runs])
    if not len(losses):
        raise ActionImagesError(f"{runs[0]}: has no steps to draw yet")
    figure, axes = plt.subplots(1, 1 + len(PANELS), figsize=(19, 3.6), layout="constrained")
    axes[0].plot(*_smoothed(losses), color="black")
    axes[0].set(title=f"training loss, mean of {SMOOTHED} steps", yscale="log")
    for axis, (name, title) in zip(axes[1:], PANELS.items(), strict=True):
        for number, mode in enumerate(dict.fromkeys(mode for _, row in judged for mode in row)):
            points = [(step, row[mode][name]) for step, row in judged if name in row.get(mode, ())]
            given = (
                MODES[mode].action if name in OF_ACTIONS else MODES[mode].video if name == OF_VIDEO else None
            )
            if points and given is not Show.EVERYTHING:
                axis.plot(*zip(*points, strict=True), marker="o", ms=3, color=f"C{number}", label=mode)
        axis.set(title=title, yscale="linear" if name == OF_VIDEO else "log")
        if axis.lines:
            axis.legend(fontsize=8)
    for axis in axes:
        axis.set(xlabel="steps", xlim=(0, max(len(losses), 1)))
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="y", which="minor", labelsize=6)
        for start in starts[1:]:
            axis.axvline(start, color="grey", lw=0.7, ls=":")
    unfinished = path.with_name(f".{path.name}.part")
    figure.savefig(unfinished, dpi=90, format="png")
    plt.close(figure)
    commit_file(unfinished, path)


def _joined(logs: Sequence[Sequence[dict[str, Any]]]) -> tuple[np.ndarray, list[tuple[int, dict]], list[int]]:
    """Losses of all steps in a row, validations by the step counted through all runs, and where each run begins."""
    losses: list[float] = []
    judged, starts = [], []
    for log in logs:
        starts.append(len(losses))
        # After a kill steps stand twice: the later ones count.
        steps = {row["step"]: row["loss"] for row in log if "loss" in row}
        judged += [(starts[-1] + row["step"], row["validation"]) for row in log if "validation" in row]
        losses += [steps[step] for step in sorted(steps)]
    return np.array(losses), judged, starts


def _smoothed(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = max(min(SMOOTHED, len(losses) // 10), 1)
    whole = losses[: len(losses) // size * size].reshape(-1, size)
    return (np.arange(len(whole)) + 0.5) * size, whole.mean(1)
