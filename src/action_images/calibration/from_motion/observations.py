"""Observations of tool points: pixels, and the tool's pose when each was seen, in flat arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from action_images.calibration.from_motion.tracks import Track

EVERY = 2
"""Only every n-th frame of a track is used, because neighbours are redundant."""
LEAST_SEEN = 4


@dataclass(frozen=True)
class Observations:
    """Pixels of points that are fixed in the tool, one observation a row, sorted by point.

    Several tracks may see one point, once their points are merged. `rotation` and `position` are
    world_from_tool at the time of the picture; `turning` and `moving` are their change per frame.
    """

    point: Int[np.ndarray, "seen"]
    track: Int[np.ndarray, "seen"]
    episode: Int[np.ndarray, "seen"]
    frame: Int[np.ndarray, "seen"]
    pixels: Float[np.ndarray, "seen 2"]
    rotation: Float[np.ndarray, "seen 3 3"]
    position: Float[np.ndarray, "seen 3"]
    turning: Float[np.ndarray, "seen 3 3"]
    moving: Float[np.ndarray, "seen 3"]

    def __len__(self) -> int:
        return len(self.point)

    @property
    def num_points(self) -> int:
        """Number of points."""
        return int(self.point[-1]) + 1 if len(self) else 0

    @property
    def episode_of_point(self) -> Int[np.ndarray, "point"]:
        """The first episode in which each point is seen."""
        return self.episode[self._starts]

    @property
    def _starts(self) -> np.ndarray:
        return np.searchsorted(self.point, np.arange(self.num_points))

    @property
    def counts(self) -> Int[np.ndarray, "point"]:
        """Number of observations of each point."""
        return np.bincount(self.point, minlength=self.num_points)

    def summed(self, values: Float[np.ndarray, "seen *axes"]) -> Float[np.ndarray, "point *axes"]:
        """Sums over each point's observations."""
        return np.add.reduceat(values, self._starts, axis=0)

    def rms(self, residual_px: Float[np.ndarray, "seen 2"]) -> Float[np.ndarray, "point"]:
        """The root of the mean squared length of each point's residuals."""
        return np.sqrt(self.summed((residual_px**2).sum(-1)) / self.counts)

    def chosen(self, seen: Bool[np.ndarray, "seen"]) -> "Observations":
        """The chosen rows, with points and tracks renumbered."""
        part = self._rows(np.flatnonzero(seen))
        return replace(part, point=_numbered(part.point), track=_numbered(part.track))

    def of_points(self, points: Int[np.ndarray, "chosen"]) -> "Observations":
        """Observations of some points (numbers in ascending order)."""
        return self.chosen(np.isin(self.point, points))

    def in_episodes(self, episodes: Sequence[int] | np.ndarray) -> "Observations":
        """Observations in some episodes."""
        return self.chosen(np.isin(self.episode, episodes))

    def joined(self, label: Int[np.ndarray, "point"]) -> "Observations":
        """Merge points with the same label; points with a label below 0 are dropped."""
        labels = label[self.point]
        order = np.argsort(labels, kind="stable")
        part = self._rows(order[labels[order] >= 0])
        return replace(part, point=_numbered(label[part.point]), track=_numbered(part.track))

    def at(self, delay: float) -> "Observations":
        """The same pixels with the tool's poses `delay` frames later, to first order: below a frame."""
        if delay == 0:
            return self
        rotation = self.rotation + delay * self.turning
        return replace(self, rotation=rotation, position=self.position + delay * self.moving)

    def _rows(self, rows: np.ndarray) -> "Observations":
        return Observations(*(getattr(self, field.name)[rows] for field in fields(self)))


def observe(
    tracks: Sequence[Sequence[Track]],
    poses: Sequence[Float[np.ndarray, "frame 4 4"]],
    *,
    shift: float = 0.0,
    least_seen: int = LEAST_SEEN,
) -> Observations:
    """The tracks of each episode with its tool poses; `shift` is the delay of the pictures in frames.

    The picture of frame i + shift shows the tool at the pose of frame i. Poses between frames are
    interpolated; observations without a pose are dropped.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    number = 0
    for episode, (followed, path) in enumerate(zip(tracks, poses, strict=True)):
        if not followed:
            continue
        frames = np.concatenate([track.frames[::EVERY] for track in followed])
        pixels = np.concatenate([track.pixels[::EVERY] for track in followed])
        of_track = np.repeat(np.arange(len(followed)), [len(track.frames[::EVERY]) for track in followed])
        times = frames - shift
        known = (times >= 0) & (times <= len(path) - 1)
        enough = np.bincount(of_track[known], minlength=len(followed)) >= least_seen
        rows = np.flatnonzero(known & enough[of_track])
        if not len(rows):
            continue
        point = number + _numbered(of_track[rows])
        number = int(point[-1]) + 1
        parts.append(
            (
                point,
                np.full(len(rows), episode),
                frames[rows],
                pixels[rows],
                *_poses_at(path, times[rows]),
            )
        )
    if not parts:
        return nothing_seen()
    point, *others = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Observations(point, point.copy(), *others)


def nothing_seen() -> Observations:
    """No observation."""
    none = np.zeros(0, int)
    turn, place = np.zeros((0, 3, 3)), np.zeros((0, 3))
    return Observations(none, none, none, none, np.zeros((0, 2)), turn, place, turn, place)


def _numbered(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1]


def _poses_at(path: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rotations and positions at times between frames, and their change per frame."""
    unique, back = np.unique(times, return_inverse=True)
    pose = _between(path, unique)
    change = (_between(path, unique + 0.5) - _between(path, unique - 0.5)) / _widths(path, unique)
    turn, place = _nearest_rotations(pose[:, :3, :3]), pose[:, :3, 3]
    return turn[back], place[back], change[back, :3, :3], change[back, :3, 3]


def _between(path: np.ndarray, times: np.ndarray) -> np.ndarray:
    """4 x 4 matrices at times between frames, interpolated entry by entry."""
    inside = np.clip(times, 0, len(path) - 1)
    before = np.minimum(inside.astype(int), max(len(path) - 2, 0))
    share = (inside - before)[:, None, None]
    return path[before] * (1 - share) + path[np.minimum(before + 1, len(path) - 1)] * share


def _widths(path: np.ndarray, times: np.ndarray) -> np.ndarray:
    later, earlier = (np.clip(times + half, 0, len(path) - 1) for half in (0.5, -0.5))
    return np.maximum(later - earlier, 0.5)[:, None, None]


def _nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(matrices)
    left[:, :, 2] *= np.linalg.det(left @ right)[:, None]
    return left @ right
