"""Plots for people to look at; need matplotlib (the extra `view`)."""

from collections.abc import Sequence
from pathlib import Path

from action_images.evaluation.codec_error import Samples


def plot_codec_error(samples: Sequence[Samples], path: Path) -> None:
    """Left: median and 95th percentile of the position error against image size. Right: predicted against actual error."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    lines: dict[tuple[str, int], list[Samples]] = {}
    for sample in samples:
        lines.setdefault((sample.setting.corruption, sample.setting.num_views), []).append(sample)
    for i, ((corruption, num_views), line) in enumerate(lines.items()):
        rows = sorted((sample.row() for sample in line), key=lambda row: row["size"])
        sizes = [row["size"] for row in rows]
        style = {"color": f"C{i % 10}", "label": f"{corruption}, {num_views} views", "marker": "o"}
        left.plot(sizes, [row["position_mm_median"] for row in rows], **style)
        left.fill_between(
            sizes,
            [r["position_mm_median"] for r in rows],
            [r["position_mm_p95"] for r in rows],
            color=f"C{i % 10}",
            alpha=0.15,
            lw=0,
        )
        for sample in line:
            right.plot(sample.predicted_std_mm, sample.position_mm, ".", ms=3, color=f"C{i % 10}", alpha=0.5)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="image size (px)",
        ylabel="position error (mm): median, shaded to 95 %",
    )
    left.set_xticks(
        sorted({s.setting.size for s in samples}),
        [str(size) for size in sorted({s.setting.size for s in samples})],
    )
    left.minorticks_off()
    left.legend(fontsize=7)
    right.set(
        xscale="log",
        yscale="log",
        xlabel="predicted standard deviation (mm)",
        ylabel="actual error (mm), one dot a frame",
    )
    low, high = right.get_xlim()
    right.plot([low, high], [low, high], color="black", lw=0.5)
    figure.savefig(path, dpi=100)
    plt.close(figure)
