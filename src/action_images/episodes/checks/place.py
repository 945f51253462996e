"""Compare the place of the hand, found by what moves with the tool, with the declared place of the tool."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from action_images.episodes.checks import follow
from action_images.episodes.checks.follow import Change, Pairs, Scene

BESIDE = torch.linspace(-0.14, 0.14, 29)
BEYOND = torch.linspace(-0.10, 0.10, 21)
"""Tested offsets (m): of the hand's axis from the tool's, and of the finger tips beyond its origin."""
HALF_WIDTHS = (0.05, 0.07, 0.09)
"""Tested half widths of hands (m), including blur."""
BLUR_M = 0.02
"""Distance (m) by which pictures this small blur motion beyond its edge."""
LEAST_CLEAR = 2.0
"""A hand that stands out less from its surroundings is not seen."""
ALONG = 0.7
"""Weight of an offset along the axis relative to one across it. Tips beyond the tool's origin do not count,
because carried objects move there too."""
OUTLIER_M = 0.03
PULL = 0.05
"""Weight of a prior of zero offset in units of sights: directions without evidence stay at 0."""
FARTHEST_M = {1: 0.08, 2: 0.075, 4: 0.065, 6: 0.05, 10: 0.045, 16: 0.038, 28: 0.031}
"""Largest accepted offset of the hand by number of sights: beyond those of 150 sets that were drawn from 106
right episodes of ten tasks.
"""
FOUND_M = {1: 0.3, 6: 0.15, 16: 0.08, 28: 0.06}
"""Offset (m) of the tool that is found in more than nine of ten sets, by number of sights. A part of each
offset lies along the line of sight, or is taken for a wider hand (docs/data.md).
"""
FARTHEST_ALONE_M = 0.10
"""Largest accepted offset in a single episode of a set that is right as a whole."""


@dataclass(frozen=True)
class Sight:
    """The place of the hand in one view of one episode; directions are unit vectors in the world."""

    beside: float
    """Offset (m) of the hand's axis from the tool's, along `across`."""
    beyond: float
    """Offset (m) of its tips from the tool's origin, along `axis`, which points out of the hand."""
    across: Float[Tensor, "3"]
    axis: Float[Tensor, "3"]


def sight_of(pairs: Pairs, scene: Scene) -> tuple[Sight, ...]:
    """One sight, or none if no hand stands out."""
    if not pairs.frames.shape[1]:
        return ()
    found = located(follow.change_map(pairs, scene))
    if found is None:
        return ()
    axis, across, _ = follow.axes_about(scene[pairs.frames[0]])
    return (Sight(*found, *(normalize(one.mean(0), dim=0) for one in (across, axis))),)


def moved(scene: Scene, sight: Sight) -> Scene:
    """The scene with the tool moved to where its hand is seen."""
    axis, across, _ = follow.axes_about(scene)
    tool = scene.world_from_tool
    place = tool.translation + sight.beside * across + sight.beyond * axis
    return replace(scene, world_from_tool=replace(tool, translation=place))


def located(change: Change) -> tuple[float, float] | None:
    """(beside, beyond) of the hand-shaped region whose motion matches the tool's better than its
    surroundings; None if none stands out."""
    inside = _shapes()
    num_inside = inside.sum(1)
    num_outside = inside.shape[1] - num_inside
    gain = gains(change).flatten()
    carried = inside @ gain
    contrast = carried / num_inside - (gain.sum() - carried) / num_outside
    clear = contrast * (num_inside * num_outside / inside.shape[1]).sqrt()
    if clear.max() < LEAST_CLEAR:
        return None
    best = clear.unflatten(0, (len(HALF_WIDTHS), len(BEYOND), len(BESIDE))).amax(0)
    weight = (best - best.max()).exp()
    beside, beyond = (weight.sum(0) * BESIDE).sum(), (weight.sum(1) * BEYOND).sum()
    return float(beside / weight.sum()), float(beyond / weight.sum())


@cache
def _shapes() -> Float[Tensor, "shape point"]:
    """Masks of hands of all widths at all offsets, 1 inside, over the points of a map of changes."""
    along, across = torch.meshgrid(follow.AXIAL, follow.LATERAL, indexing="ij")
    shapes = []
    for half_width in HALF_WIDTHS:
        apart = (across - BESIDE[:, None, None]).abs() <= half_width + 1e-6
        reach = along <= BEYOND[:, None, None] + BLUR_M + 1e-6
        shapes.append((reach[:, None] & apart[None]).flatten(0, 1).flatten(1))
    return torch.cat(shapes).float()


def gains(change: Change) -> Tensor:
    """From -1 to 1 at each point about the tool: 1 if being carried along explains all change."""
    noise = 2 * follow.NOISE * change.num_points / change.still.numel()
    return (change.still - change.carried) / (change.still + change.carried + noise)


def judge(sights: Mapping[str, Sequence[Sight]], farthest_m: float | None = None) -> Iterator[str]:
    """Errors of the hand's place: one of the tool in the world, else of single views."""
    everything = list(chain.from_iterable(sights.values()))
    if not everything:
        return
    limit = farthest(len(everything)) if farthest_m is None else farthest_m
    offset = offset_of(everything)
    if offset.norm() > limit:
        x, y, z = (100 * offset).round().int().tolist()
        where = f"the hand is seen {100 * offset.norm():.0f} cm away from where the tool is said to be"
        cause = "the tool's point, its base or the cameras are off by about that"
        yield f"{where} (x {x:+d}, y {y:+d}, z {z:+d} cm in the world); {cause}"
        return
    for name, own in sights.items():
        limit = farthest(len(own)) if farthest_m is None else farthest_m
        away = torch.tensor([[one.beside, min(one.beyond, 0.0)] for one in own]).reshape(-1, 2)
        distance = float(away.median(0).values.norm()) if len(own) else 0.0
        if distance > limit:
            where = f"{name}: the hand is seen {100 * distance:.0f} cm away from where the tool is said to be"
            yield f"{where}; the pose or the intrinsics of this camera are off by about that"


def farthest(num_sights: int) -> float:
    """The largest accepted offset (m) of the hand for this number of sights."""
    return min(limit for least, limit in FARTHEST_M.items() if least <= max(1, num_sights))


def surely_found(num_sights: int) -> float:
    """The least offset (m) of the tool that is found in nearly all sets with this number of sights."""
    return min(offset for least, offset in FOUND_M.items() if least <= max(1, num_sights))


def offset_of(sights: Sequence[Sight]) -> Float[Tensor, "3"]:
    """The hand's offset (m, world) over all sights; outliers count less."""
    rows, places = [], []
    for one in sights:
        rows.append(one.across)
        places.append(one.beside)
        if one.beyond < 0:
            rows.append(ALONG * one.axis)
            places.append(ALONG * one.beyond)
    matrix, target = torch.stack(rows), torch.tensor(places)
    weights, offset = torch.ones(len(target)), torch.zeros(3)
    pull = PULL * len(sights) / 2 * torch.eye(3)
    for _ in range(4):
        weighted = weights[:, None] * matrix
        offset = torch.linalg.solve(weighted.T @ matrix + pull, weighted.T @ target)
        weights = 1 / ((matrix @ offset - target).abs() / OUTLIER_M).clamp_min(1)
    return offset
