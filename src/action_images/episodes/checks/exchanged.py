"""Whether two episodes show one another's pictures: each fits those of the other better than its own.

In a LeRobot set with many episodes in a file, two places of equal length may be exchanged in the table.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from action_images.episodes.checks import follow, looks
from action_images.episodes.checks.evidence import (
    DECLARED,
    LEAST_STEPS,
    NAMED_FIT,
    SUSPECT,
    Evidence,
    is_better,
    pooled,
)
from action_images.episodes.checks.finding import Examined, Finding
from action_images.episodes.checks.follow import Change, Pairs
from action_images.episodes.checks.looks import Blurred
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import View
from action_images.geometry import Trajectory

MOST_PAIRS = 64


class Pair(NamedTuple):
    """Two episodes of a set, by index, whose pictures of a view may have been exchanged."""

    view: str
    one: int
    other: int


class Exchanged(NamedTuple):
    """How the path of each of two episodes fits the pictures of the other."""

    one: Change
    other: Change


def suspected(examined: Sequence[Examined]) -> list[Pair]:
    """Pairs of episodes of one length that both fit badly in a view; at most `MOST_PAIRS`."""
    typical = pooled(result.evidence for result in examined)
    alike: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, result in enumerate(examined):
        for view, found in result.evidence.items():
            if _fits_badly(found, typical[view]):
                alike[view, result.num_frames].append(index)
    pairs: list[Pair] = []
    for (view, _), those in alike.items():
        pairs += [Pair(view, *two) for two in combinations(those, 2)]
    return pairs[:MOST_PAIRS]


def _fits_badly(found: Evidence, typical: Evidence) -> bool:
    least = max(NAMED_FIT, SUSPECT * typical.changes[DECLARED].fit)
    return found.num_steps >= LEAST_STEPS and found.changes[DECLARED].fit < least


def measured(dataset: Dataset, pair: Pair) -> Exchanged:
    """How the pictures of each fit the path of the other; raises EpisodeError if one cannot be read."""
    one, other = (_read(dataset, index, pair.view) for index in (pair.one, pair.other))
    shown, also = (looks.decode_all(view.frames) for view, _ in (one, other))
    return Exchanged(change_with(*one, also), change_with(*other, shown))


def _read(dataset: Dataset, index: int, name: str) -> tuple[View, Trajectory]:
    read = dict(dataset.parts(index))
    view, path = read[name](), read["trajectory"]()
    assert isinstance(view, View)
    assert isinstance(path, Trajectory)
    return view, path


def change_with(view: View, path: Trajectory, pictures: Tensor) -> Change:
    """How other pictures fit a view's path; `pictures` are the small copies of `looks.decode_all`."""
    assert view.camera is not None
    frames = torch.tensor(looks.kept_frames(path.num_frames))
    scene = follow.scene_of(view.camera, path.world_from_tool[frames], frames)
    (change,) = follow.hand_changes(Pairs.of(Blurred(pictures), follow.pairs_by_path(scene)), [scene])
    return change


def judge(examined: Sequence[Examined], found: Mapping[Pair, Exchanged]) -> dict[int, list[Finding]]:
    """By the index of an episode, the findings about its pictures that are another's."""
    findings: dict[int, list[Finding]] = defaultdict(list)
    for pair, changes in found.items():
        places = pair.one, pair.other
        ratios = [
            _times_better(examined[index].evidence[pair.view], change)
            for index, change in zip(places, changes, strict=True)
        ]
        for index, partner, ratio in zip(places, reversed(places), ratios, strict=True):
            if None not in ratios:
                other = f"the pictures of the episode {examined[partner].id}, and that one with these"
                cure = "were they exchanged? Check from_timestamp and the file indexes in meta/episodes"
                message = f"{pair.view}: fits {ratio:.1f} times better with {other}; {cure}"
                findings[index].append(Finding("warning", "calibration", examined[index].id, message))
    return findings


def _times_better(found: Evidence, change: Change) -> float | None:
    """How many times better pictures fit than an episode's own; None if not better than all else tried."""
    said = found.changes[DECLARED].fit
    return change.fit / said if is_better(change.fit, said) and change.fit > found.best_fit else None
