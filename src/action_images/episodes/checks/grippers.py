"""Whether the gripper opens when it is said to, in the whole set and in each episode."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import torch

from action_images.episodes.checks.evidence import DECLARED, Evidence, measurable, pooled
from action_images.episodes.checks.finding import Examined, Finding
from action_images.episodes.checks.fingers import Gap
from action_images.episodes.checks.rotations import LEAST_FIT
from action_images.episodes.contradictions import LITTLE, STILL_OPENING

LEAST_APART = 5.0
"""Fingers must stand out from their background by this many levels (of 255) more to be judged."""
LEAST_OTHERS = 4
"""With fewer other episodes, openings do not tell that one is unlike them."""
ALIKE = 0.1
"""Openings that differ by less are alike."""
UNLIKE, HALF = 0.8, 0.4
"""A first opening that differs by the first, and ends of the range by the second, are unlike the others'."""
CURE = "Then exchange 'closed' and 'open', and import it again"


def check_gripper(examined: Sequence[Examined]) -> list[Finding]:
    """Whether the gripper looks open when it is said to be closed: in all episodes, else in single ones."""
    apart = fingers_apart(_of(examined))
    if apart is not None and apart <= -LEAST_APART:
        return [_the_other_way_round(examined[0].id if len(examined) == 1 else "")]
    return list(_odd_ones(examined)) if len(examined) > 1 else []


def verified(examined: Sequence[Examined]) -> bool:
    """Whether the fingers are seen to part, so that which way the gripper opens is known."""
    apart = fingers_apart(_of(examined))
    return apart is not None and abs(apart) >= LEAST_APART


def fingers_apart(seen: Mapping[str, Evidence]) -> float | None:
    """By how many levels fingers stand apart when declared open, averaged over views and episodes."""
    gaps: list[Gap] = []
    for found in seen.values():
        gaps += found.gaps if found.changes[DECLARED].fit >= LEAST_FIT else ()
    if not gaps:
        return None
    levels, weight = torch.tensor(gaps).unbind(-1)
    return float((levels * weight).sum() / weight.sum())


def _of(examined: Sequence[Examined]) -> dict[str, Evidence]:
    return measurable(pooled(result.evidence for result in examined))


def _the_other_way_round(episode_id: str) -> Finding:
    seen = "the fingers are seen apart where the gripper is said to be closed, and together where open"
    return Finding("warning", "gripper", episode_id, f"{seen}; is the opening the other way round? {CURE}")


def _odd_ones(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Single episodes whose gripper is the other way round, or in another unit, in a set that is right."""
    moving = [result for result in examined if _moves(result)]
    begins, ranges = (
        (_starts_unlike(moving), _other_range(moving)) if len(moving) > LEAST_OTHERS else ({}, {})
    )
    for result in examined:
        apart = fingers_apart(_of([result]))
        if apart is not None and apart <= -LEAST_APART:
            yield _the_other_way_round(result.id)
        elif result.id in begins and not (apart is not None and apart >= LEAST_APART):
            cause = f"is it the other way round in this episode? {CURE}"
            yield Finding("warning", "gripper", result.id, f"{begins[result.id]}; {cause}")
        elif result.id in ranges:
            cause = "does its gripper read in another unit?"
            yield Finding("warning", "gripper", result.id, f"{ranges[result.id]}; {cause}")


def _moves(result: Examined) -> bool:
    return result.openings is not None and result.openings[1] - result.openings[0] >= STILL_OPENING


def _starts_unlike(moving: Sequence[Examined]) -> dict[str, str]:
    """The one episode, by its id, that begins far from where all others begin; none if others differ too."""
    starts = {one.id: one.starts for one in moving if one.starts is not None and math.isfinite(one.starts)}
    usual = median(starts.values() or [0.0])
    unlike = {name: start for name, start in starts.items() if abs(start - usual) > ALIKE}
    if len(unlike) != 1:
        return {}
    ((name, start),) = unlike.items()
    told = f"the opening begins at {start:.2f}, and at {usual:.2f} in all others"
    return {name: told} if abs(start - usual) >= UNLIKE else {}


def _other_range(moving: Sequence[Examined]) -> dict[str, str]:
    """The one episode, by its id, that uses a part of the range, where all others use the whole."""
    ranges = {result.id: result.openings for result in moving if result.openings is not None}
    partial = {name: one for name, one in ranges.items() if one[0] > ALIKE or one[1] < 1 - ALIKE}
    if len(partial) != 1:
        return {}
    ((name, (low, high)),) = partial.items()
    if (low < HALF and high > 1 - HALF) or high < LITTLE:  # the latter is reported elsewhere
        return {}
    return {
        name: f"the opening moves between {low:.2f} and {high:.2f} alone, in all others from closed to open"
    }
