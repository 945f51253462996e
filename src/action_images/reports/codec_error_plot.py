"""The errors of the codec as two plots; needs matplotlib (the extra `view`)."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from action_images.evaluation.codec_error import Samples
from action_images.files.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Lines = Mapping[tuple[str, int], Sequence[Samples]]
"""Corruption and number of views -> measurements at each image size, small ones first."""


def plot_codec_error(samples: Sequence[Samples], path: Path) -> None:
    """Plot the errors.

    Left: median and 95th percentile of the position error against image size. Right: predicted against actual
    error.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    lines: dict[tuple[str, int], list[Samples]] = {}
    for sample in sorted(samples, key=lambda sample: sample.setting.size):
        lines.setdefault((sample.setting.corruption, sample.setting.num_views), []).append(sample)
    _plot_by_size(left, lines)
    _plot_by_prediction(right, lines)
    with whole_file(path) as unfinished:
        figure.savefig(unfinished, dpi=100)


def _plot_by_size(axes: "Axes", lines: Lines) -> None:
    for number, ((corruption, num_views), samples) in enumerate(lines.items()):
        rows = [sample.row() for sample in samples]
        sizes = [row["size"] for row in rows]
        medians = [row["position_mm_median"] for row in rows]
        high = [row["position_mm_p95"] for row in rows]
        colour = f"C{number % 10}"
        axes.plot(sizes, medians, color=colour, marker="o", label=f"{corruption}, {num_views} views")
        axes.fill_between(sizes, medians, high, color=colour, alpha=0.15, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="image size (px)")
    axes.set(ylabel="position error (mm): median, shaded to 95 %")
    measured = sorted({sample.setting.size for sample in chain.from_iterable(lines.values())})
    axes.set_xticks(measured, [str(size) for size in measured])
    axes.minorticks_off()
    axes.legend(fontsize=7)


def _plot_by_prediction(axes: "Axes", lines: Lines) -> None:
    for number, samples in enumerate(lines.values()):
        for sample in samples:
            style = {"ms": 3, "color": f"C{number % 10}", "alpha": 0.5}
            axes.plot(sample.predicted_std_mm, sample.position_mm, ".", **style)
    axes.set(xscale="log", yscale="log", xlabel="predicted standard deviation (mm)")
    axes.set(ylabel="actual error (mm), one dot a frame")
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color="black", lw=0.5)
