"""How often `check` names the one wrong episode of a set that is right otherwise, and how often a right one.

    action-images record --task trained --episodes 8 --seed 500 --size 128 --views 2 --every 2 --out held
    python bench/check_single.py held --per-set 8

Neighbours in `held` (episodes of one task) are one set. A fault is planted into one of them, each in turn, or
into two that are equally long. Faults of whole sets are in bench/check.py.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import torch
from check import examined, pictures_of, rate
from check_faults import FAULTS, LEAST, Pictures

from action_images.episodes.checks import exchanged
from action_images.episodes.checks.agreement import check_agreement
from action_images.episodes.checks.finding import Examined, Finding
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode

Group = list[tuple[Episode, Pictures]]
"""The episodes of a set with the small pictures of their views."""
Planted = Iterator[tuple[Group, set[int]]]
"""A set with a fault, and the places of the episodes that have it."""


def nothing(group: Group) -> Planted:
    """The right set."""
    yield group, set()


def in_one(name: str) -> Callable[[Group], Planted]:
    """A fault of bench/check_faults.py in one episode, where it shows."""

    def plant(group: Group) -> Planted:
        fault = FAULTS[name]
        for place, (episode, pictures) in enumerate(group):
            wrong = fault.plant(episode, pictures, place)
            if fault.visible is None or fault.visible(episode, wrong[0]) >= LEAST:
                yield [*group[:place], wrong, *group[place + 1 :]], {place}

    return plant


def no_full_range(group: Group) -> Planted:
    """One gripper that reads 0 to 1 in a set whose readings are declared as -1 to 1."""
    for place, (episode, pictures) in enumerate(group):
        path = episode.trajectory
        assert path is not None
        if float(path.opening.max() - path.opening.min()) >= 0.5:
            wrong = replace(episode, trajectory=replace(path, opening=(1 + path.opening) / 2))
            yield [*group[:place], (wrong, pictures), *group[place + 1 :]], {place}


def two_exchanged(group: Group) -> Planted:
    """Two equally long episodes show one another's pictures of the first view."""
    for one, other in combinations(range(len(group)), 2):
        (first, shown), (second, also) = group[one], group[other]
        if first.num_frames == second.num_frames:
            view, wrong = first.views[0].name, list(group)
            wrong[one] = first, {**shown, view: also[view]}
            wrong[other] = second, {**also, view: shown[view]}
            yield wrong, {one, other}


FAULTS_IN_ONE: dict[str, tuple[Callable[[Group], Planted], str]] = {
    "nothing": (nothing, ""),
    "one gripper inverted": (in_one("gripper inverted"), "the other way round"),
    "one gripper in another unit": (no_full_range, "another unit"),
    "one with quaternions in another order": (
        in_one("rotations: quaternions in another order"),
        "quaternion",
    ),
    "pictures of two exchanged": (two_exchanged, "exchanged"),
}


def said_of(group: Group, known: dict[int, Examined]) -> list[Finding]:
    """All that is said of pictures, cameras and paths of a set, as `check` does.

    `known` holds what is noted of the right set's episodes, by `id` of their pair.
    """
    results = [known.get(id(one)) or examined(*one) for one in group]
    found = {pair: _measured(group, pair) for pair in exchanged.suspected(results)}
    told = exchanged.judge(results, found)
    others = [result for place, result in enumerate(results) if place not in told]
    return [*_all(told), *check_agreement(others), *_own(results)]


def _all(told: dict[int, list[Finding]]) -> Iterator[Finding]:
    for findings in told.values():
        yield from findings


def _own(results: list[Examined]) -> Iterator[Finding]:
    for result in results:
        yield from result.findings


def _measured(group: Group, pair: exchanged.Pair) -> exchanged.Exchanged:
    changes = []
    for place, other in ((pair.one, pair.other), (pair.other, pair.one)):
        episode = group[place][0]
        (view,) = (view for view in episode.views if view.name == pair.view)
        assert episode.trajectory is not None
        changes.append(exchanged.change_with(view, episode.trajectory, group[other][1][pair.view]))
    return exchanged.Exchanged(*changes)


def main() -> None:
    """Measure, and show the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("episodes", type=Path)
    parser.add_argument("--per-set", type=int, default=8)
    parser.add_argument("--most", type=int, default=3, help="variants of a fault in each set")
    parser.add_argument("--show", action="store_true", help="print all that is said")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset, per_set = Dataset(arguments.episodes), arguments.per_set
    counts = {name: [0, 0, 0, 0] for name in FAULTS_IN_ONE}
    for start in range(0, len(dataset) - per_set + 1, per_set):
        episodes = [dataset[place] for place in range(start, start + per_set)]
        group = [(episode, pictures_of(episode)) for episode in episodes]
        known = {id(one): examined(*one) for one in group}
        for name, (plant, words) in FAULTS_IN_ONE.items():
            for _, (planted, wrong) in zip(range(arguments.most), plant(group), strict=False):
                said, ids = said_of(planted, known), {planted[place][0].id for place in wrong}
                in_wrong = [finding.message for finding in said if finding.episode in ids]
                count = counts[name]
                count[0] += 1
                count[1] += bool(in_wrong)
                count[2] += bool(words) and words in " ".join(in_wrong)
                count[3] += len(said) > len(in_wrong)
                if arguments.show:
                    print(episodes[0].id, name, wrong, [(one.episode, one.message) for one in said])
    print("| planted in sets that are right otherwise | found | named | others accused |\n|---|---|---|---|")
    for name, (total, found, named, others) in counts.items():
        if total:
            told = " | ".join(rate(count, total) for count in (found, named, others))
            print(f"| {name} | {told} |")


if __name__ == "__main__":
    main()
