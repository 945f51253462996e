"""Find a camera that was bumped: from some episode on, the tool is seen beside where it was before."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.points import residual_px
from action_images.calibration.from_motion.shared import LEAST_EPISODES, cluster

RADIUS = 0.012
"""Distance (m) within which tracks of the tool are merged to a point."""
STEADY_PX = 0.8
"""A track may be a point's if its distance from where the point is drawn varies no more (standard
deviation)."""
FARTHEST_PX = 40.0
NEAR_PX = 1.5
"""Tracks within this distance of a displacement agree with it."""
LEAST_PX = 1.2
"""Smaller displacements are not told."""
LEAST_MOVED = 6
"""Least number of tracks that agree on a displacement ..."""
LEAST_OTHERS = 2
"""... in this many episodes at least."""
CLEAR = 2.0
"""Standard errors by which the tracks that moved must outnumber those that did not."""
MOST_SPLITS = 12


@dataclass(frozen=True)
class Bump:
    """A camera that was bumped between two episodes.

    From `episode` on, points of the tool are seen `shift_px` (x, y) from where earlier episodes show them,
    which a turn by `degrees` explains. `num_moved` tracks say so, and `num_still` that nothing moved.
    """

    episode: str
    shift_px: tuple[float, float]
    degrees: float
    num_moved: int
    num_still: int

    @property
    def clearness(self) -> float:
        """Standard errors by which the tracks that moved outnumber the others, if both were chance."""
        return (self.num_moved - self.num_still) / math.sqrt(max(1, self.num_moved + self.num_still))

    def sentence(self) -> str:
        """The bump in words, without its cause."""
        seen = f"the tool is seen {math.hypot(*self.shift_px):.1f} px from where the episodes before show it"
        tracks = f"{self.num_moved} tracks say so, {self.num_still} that nothing moved"
        turned = f"as if the camera had been turned by {self.degrees:.1f} degrees"
        return f"from {self.episode} on {seen}, {turned} ({tracks})"


def find_bump(camera: Pinhole, seen: Observations, ids: Sequence[str], *, seed: int = 0) -> Bump | None:
    """The clearest bump of a camera among its episodes, in the order of `ids`; None if there is none.

    Each split of the episodes is tried: the points of the tool that several episodes on one side show are
    held against the tracks of the other side. It takes time in proportion to episodes and to shared points.
    """
    found: list[Bump] = []
    for split in _splits(len(ids)):
        early = np.arange(len(ids)) < split
        for known, other, sign in ((early, ~early, -1.0), (~early, early, 1.0)):
            one = _displaced(camera, seen, known, other, seed)
            if one is not None:
                shift, num_moved, num_still = one
                x, y = (sign * shift).tolist()
                degrees = math.degrees(math.atan(math.hypot(x, y) / camera.focal))
                found.append(Bump(ids[split], (x, y), degrees, num_moved, num_still))
    clear = [one for one in found if one.clearness > CLEAR]
    return max(clear, key=lambda one: (one.clearness, one.num_moved), default=None)


def _splits(num_episodes: int) -> Iterator[int]:
    """Places of the first episode after a bump, at most MOST_SPLITS of them."""
    step = max(1, math.ceil(num_episodes / MOST_SPLITS))
    yield from range(LEAST_OTHERS, num_episodes - LEAST_OTHERS + 1, step)


def _displaced(
    camera: Pinhole,
    seen: Observations,
    known: Bool[np.ndarray, "episode"],
    other: Bool[np.ndarray, "episode"],
    seed: int,
) -> tuple[Float[np.ndarray, "2"], int, int] | None:
    """The displacement (drawn minus seen, px) on which most tracks agree, and how many tracks have it and
    none; None if there is no such displacement."""
    if known.sum() < LEAST_EPISODES:
        return None
    places = cluster(
        camera, seen.in_episodes(np.flatnonzero(known)), radius=RADIUS, rng=np.random.default_rng(seed)
    )
    others = seen.in_episodes(np.flatnonzero(other))
    if not len(places) or not len(others):
        return None
    track, offset = _offsets(camera, others, places)
    if not len(track):
        return None
    episode = others.episode_of_point[track]
    shift, moved = _most_agreed(track, offset)
    num_moved = len(np.unique(track[moved]))
    if (
        np.linalg.norm(shift) < LEAST_PX
        or num_moved < LEAST_MOVED
        or len(np.unique(episode[moved])) < LEAST_OTHERS
    ):
        return None
    still = np.linalg.norm(offset, axis=1) < NEAR_PX
    return shift, num_moved, len(np.unique(track[still]))


def _offsets(
    camera: Pinhole, seen: Observations, places: Float[np.ndarray, "shared 3"]
) -> tuple[Int[np.ndarray, "pair"], Float[np.ndarray, "pair 2"]]:
    """Tracks that keep their distance from where a point is drawn, and this distance: one row a pair."""
    tracks: list[np.ndarray] = []
    offsets: list[np.ndarray] = []
    for place in places:
        residual = residual_px(camera, seen, np.broadcast_to(place, (seen.num_points, 3)))
        mean = seen.summed(residual) / seen.counts[:, None]
        square = seen.summed((residual**2).sum(-1)) / seen.counts
        spread = np.sqrt(np.maximum(square - (mean**2).sum(-1), 0.0))
        chosen = np.flatnonzero((spread < STEADY_PX) & (np.linalg.norm(mean, axis=1) < FARTHEST_PX))
        tracks.append(chosen)
        offsets.append(mean[chosen])
    return np.concatenate(tracks), np.concatenate(offsets)


def _most_agreed(
    track: Int[np.ndarray, "pair"], offset: Float[np.ndarray, "pair 2"]
) -> tuple[Float[np.ndarray, "2"], Int[np.ndarray, "near"]]:
    """The displacement that most tracks have, and the pairs near it."""
    from scipy.spatial import KDTree

    tree = KDTree(offset)
    near = tree.query_ball_point(offset, NEAR_PX)
    best = max(near, key=lambda pairs: len(np.unique(track[pairs])))
    centre = offset[best].mean(0)
    return centre, np.array(tree.query_ball_point(centre, NEAR_PX), int)
