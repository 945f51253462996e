"""Check whether the tool's rotations agree with the pictures, or another notation of them does."""

from collections.abc import Mapping
from functools import reduce
from operator import add

from action_images.episodes.checks import follow
from action_images.episodes.checks.alternatives import ROTATIONS
from action_images.episodes.checks.evidence import DECLARED, FROZEN, Evidence
from action_images.episodes.checks.follow import Change

LEAST_FIT = 1.3
"""Least ratio by which pictures should differ less when they are aligned along the tool."""
BETTER_ROTATION = 1.12
"""Least ratio of fits to report another notation; for right rotations others fit at most as well."""
BETTER_THAN_FROZEN = 1.1
BETTER_FROZEN = 1.5
"""A still tool may fit this many times better than a turning one: a ball looks the same when turned."""
ORDERS = ("quaternion wxyz", "quaternion xyzw")
"""Alternatives that take a quaternion's numbers in another order."""
LEAST_TURNS = 8
"""With fewer pairs of pictures between which the tool turns, its rotations are not verified."""


def of_rotations(seen: Mapping[str, Evidence]) -> tuple[str, str | None]:
    """The other notation of the tool's rotations that fits all views best, and the error, if any."""
    total = {name: sum_of(seen, name) for name in (DECLARED, FROZEN, *ROTATIONS)}
    best = max(ROTATIONS, key=lambda name: total[name].fit)
    said = total[DECLARED].fit
    # An object that looks the same when it turns, such as a ball, fits any notation that hardly turns it.
    if total[best].fit >= max(LEAST_FIT, BETTER_ROTATION * said, BETTER_THAN_FROZEN * total[FROZEN].fit):
        return best, f"all views fit {total[best].fit / said:.1f} times better {ROTATIONS[best].says}"
    if total[FROZEN].fit >= max(LEAST_FIT, BETTER_FROZEN * said):
        ratio = total[FROZEN].fit / said
        cause = "are they of another frame or notation?"
        still = "with a tool that never turns than with its rotations"
        return FROZEN, f"all views fit {ratio:.1f} times better {still}; {cause}"
    return best, None


def declared_order_fits_best(seen: Mapping[str, Evidence]) -> bool:
    """Whether the pictures of some views fit the tool's quaternions better than in any other order."""
    tried = {name: found for name, found in seen.items() if found.is_tried}
    if not tried:
        return False
    said, *others = (sum_of(tried, name).fit for name in (DECLARED, *ORDERS))
    return said >= max(LEAST_FIT, BETTER_ROTATION * max(others))


def explains(found: Evidence, notation: str) -> bool:
    """Whether a notation of rotations fits a view about as well as anything else that was tried."""
    return found.pointing[notation].fit >= 0.8 * found.best_fit


def unverified(seen: Mapping[str, Evidence]) -> list[str]:
    """The reason why rotations are not verified; empty if they are."""
    if _turns(seen) < LEAST_TURNS:
        return ["rotations (the tool turns too little)"]
    said, still = (reduce(add, _turning(seen, name)).fit for name in (DECLARED, FROZEN))
    return [] if said > BETTER_THAN_FROZEN * still else ["rotations (what is shown looks the same turned)"]


def sum_of(seen: Mapping[str, Evidence], name: str) -> Change:
    """The change of all views under a notation: where the tool turns, and whether the hand lies there."""
    return reduce(add, [*_turning(seen, name), *(found.pointing[name] for found in seen.values())])


def _turning(seen: Mapping[str, Evidence], name: str) -> list[Change]:
    return [found.turning[name] for found in seen.values()]


def _turns(seen: Mapping[str, Evidence]) -> float:
    points = len(follow.HAND_AXIAL) * len(follow.HAND_LATERAL)
    return sum(found.turning[DECLARED].num_points for found in seen.values()) / points
