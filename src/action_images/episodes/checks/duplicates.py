"""Find episodes that repeat an earlier one."""

from collections.abc import Iterator, Sequence
from itertools import chain, product
from math import floor
from typing import Any

import numpy as np

from action_images.episodes.checks.finding import Examined, Finding

DUPLICATE_M = 1e-3
"""Two episodes are duplicates if their tools are nowhere farther apart and their pictures are alike."""
DUPLICATE_LEVELS = 1.0
"""Pictures are alike if their small copies differ by less than this on average (of 255)."""
DUPLICATE_MOST_LEVELS = 4.0
"""Without paths two episodes are duplicates if their small pictures differ by no more than this anywhere."""


def find_duplicates(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Each episode that repeats an earlier one: as long, with the same pictures, on the same path if known.

    A fixed camera shows nearly the same in all demonstrations of a task, so without paths the pictures must
    agree everywhere. Episodes are compared only within a cell of length and mean position (or brightness),
    and only with one of each group of duplicates. Time grows with the number of episodes times the number in
    a cell.
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
    """The episodes in all cells that can hold values less than 0.2 away in each number."""
    spans = [{floor(number - 0.2), floor(number + 0.2)} for number in place]
    return chain.from_iterable(cells.get((*kind, *cell), []) for cell in product(*spans))


def _coarsely(result: Examined) -> tuple[tuple[Any, ...], list[float]]:
    """Values that duplicates share exactly, and numbers in which they differ by less than 0.2."""
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
