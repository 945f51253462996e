"""Find the kind of a path by its contents; needs no torch."""

from pathlib import Path

from action_images.episodes.lerobot_layout import INFO
from action_images.episodes.names import EpisodeError
from action_images.errors import ActionImagesError
from action_images.evaluation.trial import SETTINGS, TRIALS
from action_images.reports.viewing.dataset_shelf import DatasetShelf
from action_images.reports.viewing.film_shelf import FilmShelf
from action_images.reports.viewing.foreign_shelf import ForeignShelf
from action_images.reports.viewing.plans_shelf import PlansShelf, plan_files
from action_images.reports.viewing.results_shelf import ResultsShelf
from action_images.reports.viewing.shelf import Shelf

FILMS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")
LABEL_SETTINGS = "labels/settings.json"


def open_shelf(path: Path, labels: Path | None = None) -> Shelf:
    """The shelf of a path; raises ActionImagesError, naming the known kinds, if its kind is unknown."""
    if labels is not None and not (path / INFO).is_file():
        raise ActionImagesError(f"{path}: --labels lie over a data set's own videos, and this is no data set")
    if path.is_file():
        if path.suffix.lower() in FILMS:
            return FilmShelf(path)
        raise ActionImagesError(f"{path}: is no film; those end in {', '.join(FILMS)}")
    if not path.is_dir():
        raise ActionImagesError(f"{path}: there is no such file or folder")
    if (path / INFO).is_file():
        return DatasetShelf(path, labels)
    if (path / TRIALS).is_file() or (path / SETTINGS).is_file():
        return ResultsShelf(path)
    if plan_files(path) or not any(path.iterdir()):
        return PlansShelf(path)
    if (path / LABEL_SETTINGS).is_file():
        raise ActionImagesError(
            f"{path}: has labels of one view and no videos; give the data set that was labelled and "
            f"--labels {path}"
        )
    return _foreign(path)


def _foreign(path: Path) -> Shelf:
    shelf = ForeignShelf(path)
    try:
        shelf.entries()
    except EpisodeError as error:
        kinds = "a data set, a folder of results, of plans that 'serve --watch' wrote, or a film"
        raise ActionImagesError(f"{error}; it is no other that can be looked at either: {kinds}") from None
    return shelf
