"""A labelled copy on one html page that needs no other file: the episodes whose labels are least sure come first."""

import base64
from dataclasses import replace
from html import escape
from pathlib import Path

from action_images.episodes.dataset import Dataset
from action_images.episodes.trajectory_file import COLUMNS, load_trajectory
from action_images.inference.labelled_copy import FOLDER, EpisodeLabels
from action_images.reports.thumbnails import jpeg, thumbnail

STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; color: #222; background: #fff; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: .2em .9em .2em 0; text-align: left }
figure { margin: 0 0 18px; max-width: 100% } img { display: block; max-width: 100%; border-radius: 3px }
.seen { display: inline-block; max-width: 100% }
svg { display: block; width: 100%; height: 64px; background: #f4f4f4; border-radius: 3px; margin-top: 4px }
.sure { fill: none; stroke: #1a6fb0; stroke-width: 1.5; vector-effect: non-scaling-stroke }
.low { stroke: #b00020; vector-effect: non-scaling-stroke }
.unknown { color: #b00020 }
"""
WIDTH, HEIGHT = 100, 40
HEIGHT_PX = 240
"""Of the pictures: large enough to see where an axis points."""


def write_labels_page(path: Path, dataset: Dataset, labels: list[EpisodeLabels], most: int = 200) -> None:
    """Write the page in one step: at most `most` episodes, each at its least sure frame, the label drawn into the pictures."""
    order = sorted(labels, key=lambda row: row.mean_confidence)[:most]
    figures = "\n".join(_figure(dataset, row) if row.reason is None else _not_labelled(row) for row in order)
    legend = (
        "Each picture is the least sure frame of its episode with the label drawn into it: axes of the tool x red, y green, z blue, "
        "8 cm each; its path yellow. The curve is the confidence from the first frame to the last, 0 below, 1 above; "
        "the red line is the frame of the picture. Where it is 0 nothing could be read: what is drawn lies between its known neighbours."
    )
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(dataset.path.name)}: labels</title><style>{STYLE}</style>"
    shown = f"{len(order)} of {len(labels)} episodes, least sure first"
    body = f"<h1>{escape(dataset.path.name)}: labels</h1>{_table(labels)}<h2>{shown}</h2><p>{legend}</p>{figures}"
    part = path.with_name(path.name + ".part")
    part.write_text(f"{head}<body>{body}</body></html>\n", encoding="utf-8")
    part.replace(path)


def _table(labels: list[EpisodeLabels]) -> str:
    frames, unknown = sum(row.num_frames for row in labels), sum(row.num_unknown for row in labels)
    mean = sum(row.mean_confidence * row.num_frames for row in labels) / frames
    rows = {
        "episodes": len(labels),
        "frames": frames,
        "frames without a label": unknown,
        "mean confidence": f"{mean:.2f}",
    }
    rows |= {"episodes not labelled": bare} if (bare := sum(row.reason is not None for row in labels)) else {}
    return "<table>" + "".join(f"<tr><th>{name}<td>{value}" for name, value in rows.items()) + "</table>"


def _not_labelled(row: EpisodeLabels) -> str:
    where = "no trajectory in the copy" if row.in_copy else "not in the copy"
    told = f"<span class=unknown>not labelled, {where}: {escape(row.reason or '')}</span>"
    return f"<figure><figcaption><b>{escape(row.id)}</b><br>{told}</figcaption></figure>"


def _figure(dataset: Dataset, row: EpisodeLabels) -> str:
    # By its id: those that are not in the copy shift the numbers of the others.
    episode, labels = dataset[dataset.ids.index(row.id)], dataset.path / FOLDER / f"{row.number:06d}.csv"
    # Drawn from the labels themselves: an episode of which little could be read has no path in the copy.
    shown = replace(
        episode, trajectory=None if row.num_unknown == row.num_frames else load_trajectory(labels)
    )
    picture = base64.b64encode(jpeg(thumbnail(shown, HEIGHT_PX, row.least_frame))).decode()
    notes = f"mean confidence {row.mean_confidence:.2f}, least {row.least_confidence:.2f} in frame {row.least_frame} of {row.num_frames}"
    if row.num_unknown:
        notes += f"; <span class=unknown>{row.num_unknown} frames without a label</span>"
    if episode.trajectory is None:
        notes += "; <span class=unknown>no trajectory in the copy</span>"
    if row.median_mm is not None:
        notes += f"; median distance to the path it had {row.median_mm:.1f} mm, {row.median_deg:.1f} deg"
    title = f"<b>{escape(row.id)}</b> {escape(episode.instruction or '(no instruction)')}<br>{notes}"
    curve = _curve(_confidences(labels), row.least_frame)
    return f'<figure><figcaption>{title}</figcaption><div class=seen><img alt="" src="data:image/jpeg;base64,{picture}">{curve}</div></figure>'


def _curve(values: list[float], frame: int) -> str:
    last = max(len(values) - 1, 1)
    points = " ".join(f"{WIDTH * i / last:.2f},{HEIGHT * (1 - value):.2f}" for i, value in enumerate(values))
    x = WIDTH * frame / last
    return (
        f'<svg viewBox="0 -2 {WIDTH} {HEIGHT + 4}" preserveAspectRatio="none" role="img" aria-label="confidence">'
        f'<line class="low" x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="{HEIGHT}"/><polyline class="sure" points="{points}"/></svg>'
    )


def _confidences(path: Path) -> list[float]:
    header, *rows = path.read_text().splitlines()
    column = header.split(",").index("confidence")
    assert column >= len(COLUMNS[8])
    return [float(row.split(",")[column]) for row in rows]
