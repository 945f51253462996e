"""A labelled copy on one html page: the episodes whose labels are least sure come first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from action_images.episodes.dataset import Dataset
from action_images.episodes.trajectory_file import COLUMNS, load_trajectory
from action_images.inference.label_folder import FOLDER
from action_images.inference.labelling import EpisodeLabels
from action_images.reports.curve import Curve
from action_images.reports.inlined import data_uri
from action_images.reports.pages import write_page
from action_images.reports.thumbnails import jpeg, thumbnail

HEIGHT_PX = 240
"""Of the pictures: large enough to see where an axis points."""


@dataclass(frozen=True)
class LabelledEpisode:
    """One episode as the page shows it; without a picture where it was not labelled."""

    labels: EpisodeLabels
    instruction: str | None = None
    has_path: bool = False
    picture: Markup | None = None
    confidence: Curve | None = None


def write_labels_page(path: Path, dataset: Dataset, labels: Sequence[EpisodeLabels], most: int = 200) -> None:
    """Write the page, whole or not at all: at most `most` episodes, each at its least sure frame."""
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
        shown=[_shown(dataset, one) for one in order],
    )


def _shown(dataset: Dataset, labels: EpisodeLabels) -> LabelledEpisode:
    if labels.reason is not None:
        return LabelledEpisode(labels)
    # By its id: episodes that are not in the copy shift the numbers of the others.
    episode = dataset[dataset.ids.index(labels.id)]
    file = dataset.path / FOLDER / f"{labels.number:06d}.csv"
    # Drawn from the labels themselves: an episode of which little could be read has no path in the copy.
    nothing_known = labels.num_unknown == labels.num_frames
    drawn = replace(episode, trajectory=None if nothing_known else load_trajectory(file))
    return LabelledEpisode(
        labels,
        instruction=episode.instruction,
        has_path=episode.trajectory is not None,
        picture=data_uri("image/jpeg", jpeg(thumbnail(drawn, HEIGHT_PX, labels.least_frame))),
        confidence=_confidence(file),
    )


def _confidence(file: Path) -> Curve:
    """The confidence of each frame, in [0, 1]."""
    header, *rows = file.read_text().splitlines()
    column = header.split(",").index("confidence")
    assert column >= len(COLUMNS[8])
    points = [(float(frame), float(row.split(",")[column])) for frame, row in enumerate(rows)]
    return Curve("confidence", points, (0.0, max(1.0, len(rows) - 1.0)), (0.0, 1.0))
