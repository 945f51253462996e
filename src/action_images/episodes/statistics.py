"""Minimum, maximum, mean and std of each feature, of one or many episodes, for LeRobot's normalisation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Statistics = dict[str, np.ndarray]
"""min, max, mean, std and quantiles with the feature's shape, and count with shape (1)."""

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
"""Quantiles by LeRobot's names."""


def of_rows(rows: np.ndarray) -> Statistics:
    """Over the first axis of (rows, numbers); NaN rows, which mean 'not known', do not count."""
    known = rows[~np.isnan(rows).any(-1)].astype(np.float64)
    if len(known) == 0:
        unknown = np.full(rows.shape[1:], np.nan)
        names = ("min", "max", "mean", "std", *QUANTILES)
        return dict.fromkeys(names, unknown) | {"count": np.array([0])}
    return {
        "min": known.min(0),
        "max": known.max(0),
        "mean": known.mean(0),
        "std": known.std(0),
        "count": np.array([len(known)]),
        **dict(zip(QUANTILES, np.quantile(known, list(QUANTILES.values()), axis=0), strict=True)),
    }


def of_pixels(frames: np.ndarray) -> Statistics:
    """Over (frame, h, w, 3) uint8, in [0, 1], with the shape (3, 1, 1) of a channel."""
    described = [_of_histogram(_counts(frames[..., channel])) for channel in range(3)]
    whole: Statistics = {"count": np.array([len(frames)])}
    for name in described[0]:
        whole[name] = np.array([one[name] for one in described]).reshape(3, 1, 1)
    return whole


def _counts(frames: np.ndarray) -> np.ndarray:
    """How often each byte occurs in (frame, h, w); counting takes eight times the memory of its input."""
    return np.sum([np.bincount(frame.reshape(-1), minlength=256) for frame in frames], 0)


def _of_histogram(counts: np.ndarray) -> dict[str, float]:
    """Of a channel's bytes from their histogram; a quantile is the least byte that reaches its count."""
    values, total = np.arange(256) / 255.0, counts.sum()
    mean = float((values * counts).sum() / total)
    known = values[counts > 0]
    reached = np.cumsum(counts)
    quantiles = {
        name: float(values[np.searchsorted(reached, share * total)]) for name, share in QUANTILES.items()
    }
    spread = float(((values - mean) ** 2 * counts).sum() / total) ** 0.5
    return {"min": known[0], "max": known[-1], "mean": mean, "std": spread, **quantiles}


def over_episodes(parts: Iterable[Statistics]) -> Statistics | None:
    """The statistics of all episodes from those of each; None if nothing is known.

    Quantiles are the mean of the episodes' quantiles, as in LeRobot; absent if an episode lacks them.
    """
    known = [part for part in parts if part["count"][0] > 0]
    if not known:
        return None
    count = np.array([part["count"][0] for part in known], np.float64)
    weight = (count / count.sum()).reshape(-1, *[1] * known[0]["mean"].ndim)
    means = np.stack([part["mean"] for part in known])
    mean = (weight * means).sum(0)
    # Total variance is the variance within each part plus the variance of the parts' means.
    variance = (weight * (np.stack([part["std"] for part in known]) ** 2 + (means - mean) ** 2)).sum(0)
    least, greatest = (
        np.stack([part["min"] for part in known]).min(0),
        np.stack([part["max"] for part in known]).max(0),
    )
    return {
        "min": least,
        "max": greatest,
        "mean": mean,
        "std": variance**0.5,
        "count": np.array([int(count.sum())]),
        **_mean_quantiles(known, weight),
    }


def _mean_quantiles(parts: list[Statistics], weight: np.ndarray) -> Statistics:
    """The quantiles that all parts have, averaged by weight."""
    found = {}
    for name in QUANTILES:
        told = [part[name] for part in parts if name in part]
        if len(told) == len(parts):
            found[name] = (weight * np.stack(told)).sum(0)
    return found


def as_json(statistics: Statistics) -> dict[str, Any]:
    """Nested lists of numbers."""
    return {name: value.tolist() for name, value in statistics.items()}


def over_all(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Statistics of each feature over all episodes, from the rows of the episode table, as nested lists."""
    overall = {}
    for key in {column.split("/")[1]: None for column in rows[0] if column.startswith("stats/")}:
        described = over_episodes(_in_row(row, key) for row in rows)
        if described is not None:
            overall[key] = as_json(described)
    return overall


def _in_row(row: Mapping[str, Any], key: str) -> Statistics:
    """A feature's statistics in a row of the episode table."""
    names = ("min", "max", "mean", "std", "count", *QUANTILES)
    told = {name: row.get(f"stats/{key}/{name}") for name in names}  # older sets have no quantiles
    return {name: np.asarray(value) for name, value in told.items() if value is not None}
