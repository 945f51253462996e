"""Which episodes are an earlier one again."""

from collections.abc import Iterator, Sequence
from itertools import chain, product
from math import floor
from typing import Any

import numpy as np

from action_images.episodes.checks.finding import Examined, Finding

DUPLICATE_M = 1e-3
"""Two episodes are the same where their tools are nowhere farther apart, and their pictures alike."""
DUPLICATE_LEVELS = 1.0
"""Pictures are alike on average where small ones differ by less than this (of 255)."""
DUPLICATE_MOST_LEVELS = 4.0
"""Without paths two episodes are the same where their small pictures differ nowhere by more."""


def find_duplicates(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Each episode that is an earlier one again: as long, with the same pictures, on the same path if known.

    A fixed camera shows much the same in all demonstrations of a task: pictures alone must agree everywhere.
    Episodes are compared only within a cell of their length and mean place (or brightness), there with one
    of each that are the same. Time grows with the number of episodes, times how many share a cell.
    """
    cells: dict[tuple[Any, ...], list[Examined]] = {}
    for result in examined:
        if result.signature is None:
            continue
        kind, place = _coarsely(result)
        first = next((other for other in _near(cells, kind, place) if _same(other, result)), None)
        if first is None:
            cells.setdefault((*kind, *map(floor, place)), []).append(result)
            continue
        message = f"shows the same as {first.id}; leave one out of training"
        yield Finding("warning", "duplicate", result.id, message)


def _near(
    cells: dict[tuple[Any, ...], list[Examined]], kind: tuple[Any, ...], place: list[float]
) -> Iterator[Examined]:
    """Those in the cells that a place less than 0.2 away in each number could lie in."""
    spans = [{floor(number - 0.2), floor(number + 0.2)} for number in place]
    return chain.from_iterable(cells.get((*kind, *cell), []) for cell in product(*spans))


def _coarsely(result: Examined) -> tuple[tuple[Any, ...], list[float]]:
    """What two episodes must share to be the same one, and numbers that then differ by less than 0.2."""
    assert result.signature is not None
    if result.path is not None:
        place = result.path.mean(0, np.float64) / (10 * DUPLICATE_M)
        return (True, result.num_frames), place.tolist()
    brightness = result.signature.mean((1, 2), np.float64) / (10 * DUPLICATE_MOST_LEVELS)
    return (False, result.num_frames, len(brightness)), [brightness[0], brightness[-1]]


def _same(one: Examined, other: Examined) -> bool:
    assert one.signature is not None
    assert other.signature is not None
    apart = np.abs(one.signature.astype(np.float32) - other.signature.astype(np.float32))
    if one.path is None or other.path is None:
        return bool(apart.max() <= DUPLICATE_MOST_LEVELS)
    farthest = np.linalg.norm(one.path - other.path, axis=-1).max()
    return bool(apart.mean() < DUPLICATE_LEVELS and farthest <= DUPLICATE_M)
