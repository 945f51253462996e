"""Check that a set's tables hold numbers and agree with one another and with the videos."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from action_images.episodes.checks.finding import Examined, Finding, Say, Span
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import FramesSelected, View
from action_images.episodes.lerobot_layout import ACTION


def check_tables(dataset: Dataset) -> list[Finding]:
    """Report sets without videos, and totals that differ from the contents."""
    return _without_views(dataset) + _totals(dataset)


def _without_views(dataset: Dataset) -> list[Finding]:
    if dataset.view_names:
        return []
    cure = "an episode needs at least one view, import or record the set again"
    return [Finding("error", "damaged", "", f"info.json names no video; {cure}")]


def _totals(dataset: Dataset) -> list[Finding]:
    lengths = sum(dataset.length(index) for index in range(len(dataset)))
    claimed = dataset.info.get("total_episodes"), dataset.info.get("total_frames")
    if claimed == (len(dataset), lengths):
        return []
    claim = f"info.json claims {claimed[0]} episodes and {claimed[1]} frames"
    cure = "complete the download if files are missing, else opening it for writing repairs that"
    message = f"{claim}, there are {len(dataset)} and {lengths}; {cure}"
    return [Finding("warning", "totals", "", message)]


def check_actions(dataset: Dataset, index: int, say: Say) -> None:
    """Report commands that are not finite in some frames; if all are NaN they are unknown."""
    feature = dataset.info["features"].get(ACTION)
    if feature is None or not str(feature.get("dtype")).startswith("float"):
        return
    values = np.array(dataset.column(index, ACTION), np.float64).reshape(dataset.length(index), -1)
    bad = np.logical_not(np.isfinite(values).all(axis=1))
    if bad.any() and not np.isnan(values).all():
        frames = f"{int(bad.sum())} of {len(bad)} frames, the first is {int(bad.argmax())}"
        numbers = f"'{ACTION}' has numbers that are not finite"
        say("error", "damaged", f"{numbers} in {frames}; drop or repair them")


def span_of(view: View) -> Span | None:
    """The range of an episode's pictures in its video file; None if each picture is a file."""
    frames, stop = view.frames, len(view.frames)
    if isinstance(frames, FramesSelected):
        frames, stop = frames.frames, max(frames.indices) + 1
    path = getattr(frames, "path", None)
    return None if path is None else Span(str(path), len(frames), stop)


def check_spans(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Report videos that continue after their last episode: rows are missing, or pictures belong to none."""
    findings = chain.from_iterable(result.findings for result in examined)
    if any(finding.kind == "damaged" for finding in findings):
        return  # the range of a damaged episode is unknown
    last: dict[tuple[str, str], tuple[Span, str]] = {}
    for result in examined:
        for view, span in result.spans.items():
            known = last.get((view, span.path))
            if known is None or known[0].stop < span.stop:
                last[view, span.path] = span, result.id
    for (view, _), (span, episode_id) in last.items():
        spare = span.num_pictures - span.stop
        if spare > 0:
            longer = f"{view}: its video has {spare} pictures after the last row"
            cause = "were rows lost, or do pictures and rows begin at different times?"
            yield Finding("warning", "lengths", episode_id, f"{longer} ({span.num_pictures} in all); {cause}")
