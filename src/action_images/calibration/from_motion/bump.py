"""Find a camera that was bumped: from some episode on, the tool is seen beside where it was before."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Shaped

from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import Pinhole, rotation_of
from action_images.calibration.from_motion.points import residual_px
from action_images.calibration.from_motion.shared import cluster

RADIUS = 0.012
"""Distance (m) within which tracks of the tool are merged to a point."""
STEADY_PX = 0.8
"""A track may be a point's if its distance from where the point is drawn varies no more (standard
deviation)."""
FARTHEST_PX = 40.0
NEAR_PX = 1.5
"""Tracks within this distance of a displacement agree with it; displacements below it are not told."""
LEAST_TRACKS, LEAST_POINTS, LEAST_EPISODES = 6, 2, 2
"""Least number of tracks, points and episodes that agree on a displacement."""
CLEAR = 2.0
"""Standard errors by which the tracks that moved must outnumber those that did not."""
MOST_SPLITS = 12
"""Of more than about so many episodes every n-th is tried as the first after a bump."""
ROLLS_DEG = (0.0, -1.5, 1.5, -3.0, 3.0)
"""Turns about the line of sight that are tried: they displace each part of the picture elsewhere."""


@dataclass(frozen=True)
class Bump:
    """A camera that was bumped between two episodes.

    From `episode` on, points of the tool are seen `shift_px` (x, y) from where earlier episodes show them,
    on average. `num_moved` tracks say so, and `num_still` that nothing moved.
    """

    episode: str
    shift_px: tuple[float, float]
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
        return f"from {self.episode} on {seen} ({tracks})"


def find_bump(camera: Pinhole, seen: Observations, ids: Sequence[str], *, seed: int = 0) -> Bump | None:
    """The clearest bump of a camera among its episodes, in the order of `ids`; None if there is none.

    Each split of the episodes is tried: the points of the tool that several episodes on one side show are
    held against the tracks of the other side. It takes time in proportion to tracks and to shared points.
    """
    found: list[Bump] = []
    for split in _splits(len(ids)):
        early = np.arange(len(ids)) < split
        sides = [_Side.of(camera, seen, early, -1.0, seed), _Side.of(camera, seen, ~early, 1.0, seed)]
        pairs = {roll: _of_both(sides, camera, roll) for roll in ROLLS_DEG}
        bumps = [_bump(pairs[roll], pairs[0.0], ids[split]) for roll in ROLLS_DEG]
        found += [bump for bump in bumps if bump is not None]
    return max(found, key=lambda one: (one.clearness, one.num_moved), default=None)


def _splits(num_episodes: int) -> Iterator[int]:
    """Places of the first episode after a bump, at most MOST_SPLITS of them."""
    step = max(1, math.ceil(num_episodes / MOST_SPLITS))
    yield from range(LEAST_EPISODES, num_episodes - LEAST_EPISODES + 1, step)


PAIR = np.dtype([("episode", int), ("track", int), ("point", int), ("offset", float, 2), ("shift", float, 2)])
"""A track of one side and a point of the other: how far (px) the later camera shows it from the earlier,
apart from a roll (`offset`) and in all (`shift`)."""


@dataclass(frozen=True)
class _Side:
    """Points of the tool (m) that one side's episodes share, and the tracks of the other side.

    `sign` is -1 if the points are the earlier side's, and 1 if they are the later one's.
    """

    places: Float[np.ndarray, "shared 3"]
    others: Observations
    sign: float

    @classmethod
    def of(
        cls, camera: Pinhole, seen: Observations, known: Bool[np.ndarray, "episode"], sign: float, seed: int
    ) -> "_Side":
        """The points of the known episodes, and the tracks of all others."""
        first, others = (seen.in_episodes(np.flatnonzero(part)) for part in (known, ~known))
        places = np.zeros((0, 3))
        if len(first) and len(others):
            places = cluster(camera, first, radius=RADIUS, rng=np.random.default_rng(seed))
        return cls(places, others, sign)

    def pairs(self, camera: Pinhole, roll_deg: float) -> Shaped[np.ndarray, "pair"]:
        """The PAIRs of a point and a track that keeps its distance from where the rolled camera draws it."""
        turn = rotation_of(np.array([0.0, 0.0, -self.sign * math.radians(roll_deg)]))
        rolled = replace(camera, rotation=turn @ camera.rotation, translation=turn @ camera.translation)
        rows = [np.zeros(0, PAIR)]
        for point, place in enumerate(self.places):
            offset, spread = self._offsets(rolled, place)
            track = np.flatnonzero((spread < STEADY_PX) & (np.linalg.norm(offset, axis=1) < FARTHEST_PX))
            mine = np.zeros(len(track), PAIR)
            mine["episode"], mine["track"], mine["point"] = self.others.episode_of_point[track], track, point
            mine["offset"] = offset[track]
            mine["shift"] = self._offsets(camera, place)[0][track] if roll_deg else offset[track]
            rows.append(mine)
        return np.concatenate(rows)

    def _offsets(
        self, camera: Pinhole, place: Float[np.ndarray, "3"]
    ) -> tuple[Float[np.ndarray, "track 2"], Float[np.ndarray, "track"]]:
        """Each track's mean distance (px) from where the camera draws a point, and how much it varies."""
        residual = residual_px(camera, self.others, np.broadcast_to(place, (self.others.num_points, 3)))
        mean = self.others.summed(residual) / self.others.counts[:, None]
        square = self.others.summed((residual**2).sum(-1)) / self.others.counts
        return self.sign * mean, np.sqrt(np.maximum(square - (mean**2).sum(-1), 0.0))


def _of_both(sides: Sequence[_Side], camera: Pinhole, roll_deg: float) -> Shaped[np.ndarray, "pair"]:
    """The PAIRs of all sides."""
    return np.concatenate([side.pairs(camera, roll_deg) for side in sides])


def _bump(
    pairs: Shaped[np.ndarray, "pair"], unrolled: Shaped[np.ndarray, "pair"], episode: str
) -> Bump | None:
    """The displacement on which most tracks agree after a roll, if it is clear."""
    from scipy.spatial import KDTree

    if not len(pairs):
        return None
    tree = KDTree(pairs["offset"])
    best = max(tree.query_ball_point(pairs["offset"], NEAR_PX), key=lambda near: _num_tracks(pairs[near]))
    offset = pairs["offset"][best].mean(0)
    moved = pairs[tree.query_ball_point(offset, NEAR_PX)]
    still = unrolled[np.linalg.norm(unrolled["offset"], axis=1) < NEAR_PX]
    x, y = moved["shift"].mean(0).tolist()
    bump = Bump(episode, (x, y), _num_tracks(moved), _num_tracks(still))
    agree = bump.num_moved, len(np.unique(moved["point"])), len(np.unique(moved["episode"]))
    enough = min(np.subtract(agree, (LEAST_TRACKS, LEAST_POINTS, LEAST_EPISODES))) >= 0
    return bump if enough and math.hypot(x, y) >= NEAR_PX and bump.clearness > CLEAR else None


def _num_tracks(pairs: Shaped[np.ndarray, "pair"]) -> int:
    """The number of different tracks."""
    return len(np.unique(pairs[["episode", "track"]]))
