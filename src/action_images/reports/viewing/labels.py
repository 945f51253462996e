"""A model's labels shown over the videos: paths with confidences, or spots in one view."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.episodes.trajectory_file import load_with_unreliable
from action_images.files.settings import load_settings
from action_images.inference.label_folder import (
    SETTINGS,
    fingerprint,
    labels_file,
    load_labels,
    load_spots_rows,
)
from action_images.inference.labelling import SPOT_COLUMNS, EpisodeLabels
from action_images.reports.theme import PLANNED
from action_images.reports.viewing.viewable import ShownPath, ShownView, Viewable

LABELS, LABELLED_ACTIONS = "labels", "labelled action images"


def labelled_copy(folder: Path, shown: Viewable, number: int) -> Viewable:
    """An episode of a labelled copy with its labels' confidence; any other episode unchanged.

    The copy's own path consists of the labels, so the labels replace it.
    """
    if not (folder / SETTINGS).is_file():
        return shown
    views = tuple(replace(view, layers=view.layers[:1]) for view in shown.views)
    return labelled_from(folder, replace(shown, paths=(), views=views), number)


def check_labels(folder: Path, dataset: Path) -> None:
    """Raise EpisodeError unless a folder holds labels of this data set."""
    if not (folder / SETTINGS).is_file():
        raise EpisodeError(f"{folder}: holds no labels; give the folder that 'action-images label' wrote")
    settings = load_settings(folder / SETTINGS)
    if settings.get("source_content") != fingerprint(dataset):
        source = str(settings.get("source"))[:80]
        raise EpisodeError(f"{folder}: holds labels of another data set, '{source}'; give those of {dataset}")


def labelled_from(folder: Path, shown: Viewable, number: int) -> Viewable:
    """An episode with its labels from a folder of `action-images label`.

    `number` is its place in the labelled data set. Raises EpisodeError if the labels have another number of
    frames.
    """
    rows = load_labels(folder)
    if not rows:
        return _with_spots(folder, shown, number)
    row = next((one for one in rows if one.id == shown.id), None)
    if row is None:
        return _told(shown, "has no labels yet")
    if row.reason is not None:
        return _told(shown, f"was not labelled: {row.reason}")
    if row.num_unknown == row.num_frames:
        return _told(shown, "nothing could be read in any frame")
    file = labels_file(folder, row.number)
    path, confidence = load_with_unreliable(file)[0], _column(file, "confidence")
    _check_length(file, path.num_frames, shown.num_frames)
    told = replace(shown, facts=(*shown.facts, *_facts(row)))
    return told.with_path(ShownPath(LABELS, PLANNED, path, confidence), LABELLED_ACTIONS)


def _told(shown: Viewable, what: str) -> Viewable:
    return replace(shown, warnings=(*shown.warnings, ("warning", f"labels: the episode {what}")))


def _facts(row: EpisodeLabels) -> list[tuple[str, str]]:
    facts = [("mean confidence", f"{row.mean_confidence:.2f}")]
    if row.num_unknown:
        facts.append(("frames without a label", f"{row.num_unknown} of {row.num_frames}"))
    if row.median_mm is not None and row.median_deg is not None:
        facts.append(("labels from the recorded path", f"{row.median_mm:.1f} mm, {row.median_deg:.1f} deg"))
    return facts


def _with_spots(folder: Path, shown: Viewable, number: int) -> Viewable:
    """Add the model's spots in its only view, if spots were labelled."""
    file = labels_file(folder, number)
    if not file.is_file():
        return _told(shown, "has no labels yet")
    known = load_spots_rows(folder).get(number)
    if known is not None and known.id != shown.id:
        raise EpisodeError(
            f"{file}: belongs to episode {known.id}, not {shown.id}; label this data set again"
        )
    (name, *_) = load_settings(folder / SETTINGS)["views"]
    views = (_spotted(view, file, shown.num_frames) if view.name == name else view for view in shown.views)
    return replace(shown, views=tuple(views))


def _spotted(view: ShownView, file: Path, num_frames: int) -> ShownView:
    """A view with its spots; frames that were not shown to the model have none."""
    frames = _column(file, "frame").long()
    if len(frames) and int(frames.max()) >= num_frames:
        raise EpisodeError(f"{file}: is of a longer episode than this one of {num_frames} frames")
    spots: Float[Tensor, "frame 3 2"] = torch.full((num_frames, 3, 2), torch.nan)
    columns = [_column(file, name) for name in SPOT_COLUMNS[1:7]]
    spots[frames] = torch.stack(columns, -1).unflatten(-1, (3, 2))
    return replace(view, spots=spots)


def _column(file: Path, name: str) -> Float[Tensor, "row"]:
    """A column of a csv file with a header."""
    with file.open(encoding="utf-8") as lines:
        header = lines.readline().strip().split(",")
        if name not in header:
            raise EpisodeError(f"{file}: has no column '{name}'; label again")
        numbers = np.loadtxt(lines, delimiter=",", ndmin=2)
    return torch.from_numpy(numbers[:, header.index(name)]).float()


def _check_length(file: Path, found: int, wanted: int) -> None:
    if found != wanted:
        raise EpisodeError(f"{file}: has {found} frames, the episode {wanted}; label this data set again")
