"""Least, greatest, mean and spread of each feature, of one episode or many: what LeRobot normalises with."""

from collections.abc import Iterable
from typing import Any

import numpy as np

Statistics = dict[str, np.ndarray]
"""min, max, mean, std with the feature's shape, and count with shape (1)."""


def of_rows(rows: np.ndarray) -> Statistics:
    """Over the first axis of (rows, numbers); rows that are NaN, which says 'not known', do not count."""
    known = rows[~np.isnan(rows).any(-1)].astype(np.float64)
    if len(known) == 0:
        unknown = np.full(rows.shape[1:], np.nan)
        return {"min": unknown, "max": unknown, "mean": unknown, "std": unknown, "count": np.array([0])}
    return {
        "min": known.min(0),
        "max": known.max(0),
        "mean": known.mean(0),
        "std": known.std(0),
        "count": np.array([len(known)]),
    }


def of_pixels(frames: np.ndarray) -> Statistics:
    """Over (frame, h, w, 3) uint8, in [0, 1], with the shape (3, 1, 1) of a channel."""
    whole = of_rows(frames.reshape(-1, 3) / 255.0)
    return {name: value if name == "count" else value.reshape(3, 1, 1) for name, value in whole.items()} | {
        "count": np.array([len(frames)])
    }


def over_episodes(parts: Iterable[Statistics]) -> Statistics | None:
    """The statistics of all episodes from those of each; None where nothing is known."""
    known = [part for part in parts if part["count"][0] > 0]
    if not known:
        return None
    count = np.array([part["count"][0] for part in known], np.float64)
    weight = (count / count.sum()).reshape(-1, *[1] * known[0]["mean"].ndim)
    means = np.stack([part["mean"] for part in known])
    mean = (weight * means).sum(0)
    # The spread of all is the spread within each plus the spread of their means.
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
    }


def as_json(statistics: Statistics) -> dict[str, Any]:
    """Nested lists of numbers."""
    return {name: value.tolist() for name, value in statistics.items()}
