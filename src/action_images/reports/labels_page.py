"""A labelled copy on one HTML page: the episodes with the least confident labels come first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from markupsafe import Markup

from action_images.episodes.dataset import Dataset
from action_images.episodes.trajectory_file import COLUMNS, load_with_unreliable
from action_images.inference.label_folder import labels_file
from action_images.inference.labelling import EpisodeLabels
from action_images.model.reliability import WRONG_DEG, WRONG_MM, Bounds, Reliability, Word
from action_images.reports.curve import Curve
from action_images.reports.inlined import data_uri
from action_images.reports.pages import write_page
from action_images.reports.thumbnails import jpeg, thumbnail

HEIGHT_PX = 240
"""Height of the pictures, large enough to see the direction of an axis."""


@dataclass(frozen=True)
class LabelledEpisode:
    """One episode as the page shows it; without a picture if it was not labelled."""

    labels: EpisodeLabels
    instruction: str | None = None
    has_path: bool = False
    picture: Markup | None = None
    confidence: Curve | None = None
    words: Mapping[Word, int] | None = None
    """The number of its poses for each word; None if the models' words were not measured."""


def write_labels_page(
    path: Path,
    dataset: Dataset,
    labels: Sequence[EpisodeLabels],
    most: int = 200,
    reliability: Reliability | None = None,
    mode: str = "label",
) -> None:
    """Write the page, completely or not at all: at most `most` episodes, each at its least confident frame.

    `reliability`: the meaning of the models' confidence in words, if that was measured for the mode.
    """
    bounds = None if reliability is None else reliability.modes.get(mode)
    order = sorted(labels, key=lambda one: one.mean_confidence)[:most]
    num_frames = sum(one.num_frames for one in labels)
    write_page(
        path,
        "labels.html",
        title=f"{dataset.path.name}: labels",
        num_episodes=len(labels),
        num_frames=num_frames,
        num_unknown=sum(one.num_unknown for one in labels),
        mean_confidence=sum(one.mean_confidence * one.num_frames for one in labels) / num_frames,
        num_not_labelled=sum(one.reason is not None for one in labels),
        shown=[_shown(dataset, one, bounds) for one in order],
        words=None if bounds is None else _words(dataset, labels, bounds),
        wrong={} if bounds is None else bounds.wrong,
        measured_on=None if reliability is None else reliability.data,
        wrong_mm=WRONG_MM,
        wrong_deg=WRONG_DEG,
    )


def _words(dataset: Dataset, labels: Sequence[EpisodeLabels], bounds: Bounds) -> Mapping[Word, int]:
    """The number of poses of all episodes for each word."""
    files = [labels_file(dataset.path, one.number) for one in labels if one.reason is None]
    return bounds.counts(chain.from_iterable(map(_confidences, files)))


def _shown(dataset: Dataset, labels: EpisodeLabels, bounds: Bounds | None) -> LabelledEpisode:
    if labels.reason is not None:
        return LabelledEpisode(labels)
    # By its id, as episodes missing in the copy shift the numbers of the others.
    episode = dataset[dataset.ids.index(labels.id)]
    file = labels_file(dataset.path, labels.number)
    confidences = _confidences(file)
    # Drawn from the labels themselves, as an episode of which little could be read has no path in the copy.
    nothing_known = labels.num_unknown == labels.num_frames
    drawn = replace(episode, trajectory=None if nothing_known else load_with_unreliable(file)[0])
    return LabelledEpisode(
        labels,
        instruction=episode.instruction,
        has_path=episode.trajectory is not None,
        picture=data_uri("image/jpeg", jpeg(thumbnail(drawn, HEIGHT_PX, labels.least_frame))),
        confidence=_curve(confidences),
        words=None if bounds is None else bounds.counts(confidences),
    )


def _confidences(file: Path) -> list[float]:
    """The confidence of each frame, in [0, 1]."""
    header, *rows = file.read_text().splitlines()
    column = header.split(",").index("confidence")
    assert column >= len(COLUMNS[8])
    return [float(row.split(",")[column]) for row in rows]


def _curve(confidences: Sequence[float]) -> Curve:
    points = [(float(frame), confidence) for frame, confidence in enumerate(confidences)]
    return Curve("confidence", points, (0.0, max(1.0, len(points) - 1.0)), (0.0, 1.0))
