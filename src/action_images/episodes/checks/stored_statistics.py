"""Compare the set's stored statistics, by which LeRobot's policies scale their input, with its numbers."""

from collections.abc import Iterator

import numpy as np

from action_images.episodes import lerobot_layout as layout
from action_images.episodes import statistics
from action_images.episodes.checks.finding import Finding
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError

COMPARED = ("min", "max", "mean", "std")
MOST_OFF = 0.01
"""Statistics that differ by more than this share of the numbers' range are of other numbers."""
CURE = "LeRobot's policies scale by it; import the set into a new folder, which counts anew"


def check_statistics(dataset: Dataset) -> Iterator[Finding]:
    """Report statistics of tool poses and commands that are not those of the rows.

    Nothing is said of a set whose rows cannot be read: other checks name them.
    """
    path = dataset.path / layout.STATS
    if not path.is_file():
        yield _warning(f"{layout.STATS} is not there, and {CURE}")
        return
    try:
        stored = layout.read_json(path)
    except EpisodeError as error:
        yield _warning(f"{error}; {CURE}")
        return
    for feature in (layout.STATE, layout.ACTION):
        told = _told(stored.get(feature), _rows(dataset, feature))
        if told is not None:
            yield _warning(f"{layout.STATS}: '{feature}' {told}; {CURE}")


def _warning(message: str) -> Finding:
    return Finding("warning", "statistics", "", message)


def _rows(dataset: Dataset, feature: str) -> np.ndarray | None:
    """The numbers (row, number) of a feature in all episodes; None if it has none, or some cannot be read."""
    described = dataset.info["features"].get(feature)
    if described is None or not str(described.get("dtype")).startswith("float"):
        return None
    try:
        parts = [
            np.array(dataset.column(index, feature), np.float64).reshape(dataset.length(index), -1)
            for index in range(len(dataset))
        ]
        return np.concatenate(parts)
    except (EpisodeError, TypeError, ValueError):
        return None


def _told(stored: object, rows: np.ndarray | None) -> str | None:
    """How a feature's statistics differ from its rows; None if they do not, or nothing is known."""
    if rows is None or not np.isfinite(rows).all(-1).any():
        return None
    if not isinstance(stored, dict):
        return "has no statistics"
    found = statistics.of_rows(rows)
    spans = np.maximum(found["max"] - found["min"], 1e-3)
    for name in COMPARED:
        try:
            said = np.array(stored.get(name), np.float64).reshape(-1)
        except (TypeError, ValueError):
            said = np.empty(0)
        if len(said) != rows.shape[1]:
            return f"has no '{name}' of {rows.shape[1]} numbers"
        off = np.abs(said - found[name]) > MOST_OFF * spans
        if off.any():
            place = int(off.argmax())
            have = f"the rows have {found[name][place]:.4g}"
            return f"says {said[place]:.4g} for the {name} of number {place}, {have}"
    return None
