"""Try readings of a view on the same tracks, to find the one that explains most of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from action_images.calibration.from_motion.adjust import Adjusted, Free, adjust
from action_images.calibration.from_motion.conventions import (
    NOTHING_BETWEEN,
    Frames,
    Reading,
    mirror,
    read_poses,
)
from action_images.calibration.from_motion.observations import Observations, observe
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.points import fit_points, residual_px, triangulate
from action_images.calibration.from_motion.start import first_cameras
from action_images.calibration.from_motion.tracks import Followed, Track

NUM_FITTED, NUM_JUDGES = 250, 500
"""Number of tracks that a trial fits its camera to, and number that it is judged by."""
NUM_GUESSES = 210
LEAST_TRACKS = 8
EXPLAINED_PX = 0.5
"""A track is explained if a point of its own fits it this well (rms)."""


@dataclass(frozen=True)
class ViewTracks:
    """One view over all episodes: its tracks, and the tool's poses as declared.

    `held_out` marks the episodes that judge the camera and are not fitted.
    """

    name: str
    size: tuple[int, int]
    ids: tuple[str, ...]
    poses: tuple[Float[np.ndarray, "frame 4 4"], ...]
    followed: tuple[Followed, ...]
    held_out: Bool[np.ndarray, "episode"]
    frames: Frames = NOTHING_BETWEEN

    @property
    def num_tracks(self) -> int:
        """Number of tracked features."""
        return sum(len(one.tracks) for one in self.followed)

    def tracks(self, reading: Reading) -> list[Sequence[Track]]:
        """The tracks of each episode, mirrored if the reading says so."""
        plain = [one.tracks for one in self.followed]
        return list(mirror(plain, self.size[1])) if reading.mirrored else list(plain)

    def paths(self, reading: Reading) -> list[Float[np.ndarray, "frame 4 4"]]:
        """The tool's poses of each episode in this reading."""
        return read_poses(self.poses, reading.convention, self.frames)

    def observed(
        self, reading: Reading, shift: float, chosen: Sequence[np.ndarray] | None = None
    ) -> Observations:
        """Tracks with their poses in this reading; the pictures are `shift` frames late.

        `chosen` are the indices of the tracks in each episode (None: all).
        """
        tracks = self.tracks(reading)
        if chosen is not None:
            tracks = list(map(_at, tracks, chosen))
        return observe(tracks, self.paths(reading), shift=shift)

    def drawn(self, episodes: Sequence[int] | np.ndarray, most: int, seed: int) -> list[np.ndarray]:
        """Indices of at most `most` randomly drawn tracks for each of the episodes; none of the others."""
        counts = [len(one.tracks) if place in episodes else 0 for place, one in enumerate(self.followed)]
        total = sum(counts)
        taken = np.sort(np.random.default_rng(seed).choice(total, min(most, total), replace=False))
        stops = np.cumsum([0, *counts])
        return [taken[(taken >= low) & (taken < high)] - low for low, high in pairwise(stops)]


def _at(tracks: Sequence[Track], places: np.ndarray) -> list[Track]:
    return [tracks[place] for place in places]


@dataclass(frozen=True)
class Trial:
    """The result of one reading of a view: the share of each episode's tracks that it explains.

    `explained` and `counted` are numbers of tracks by episode; `camera` is None if no guess fitted. `shift`
    is the delay found when starting from `begun_at`.
    """

    reading: Reading
    begun_at: float
    shift: float
    explained: Float[np.ndarray, "episode"]
    counted: Int[np.ndarray, "episode"]
    camera: Pinhole | None

    @property
    def share(self) -> float:
        """The share over all tracks."""
        return float(self.explained.sum() / max(self.counted.sum(), 1))


def attempt(
    view: ViewTracks,
    reading: Reading,
    shift: float,
    *,
    focal: float | None = None,
    aspect: float = 1.0,
    start: Pinhole | None = None,
    seed: int = 0,
) -> Trial:
    """Fit a camera and a delay near `shift` quickly, and count the tracks that they explain.

    The seed alone decides which tracks are drawn, so that all readings of a view are judged by the same ones.
    """
    num_episodes = len(view.ids)
    fitted_ones = view.drawn(np.flatnonzero(~view.held_out), NUM_FITTED, seed)
    judging = view.drawn(np.arange(num_episodes), NUM_JUDGES, seed + 1)
    counted = np.array([len(those) for those in judging], int)
    begun_at = shift
    fitted = view.observed(reading, shift, fitted_ones)
    nothing = Trial(reading, shift, shift, np.zeros(num_episodes), counted, None)
    if fitted.num_points < LEAST_TRACKS:
        return nothing
    if start is None:
        lens = {"focal": focal, "aspect": aspect}
        found = first_cameras(fitted, view.size, seed=seed, num_guesses=NUM_GUESSES, keep=3, **lens)
    else:
        found = [start]
    if not found:
        return nothing
    now = Adjusted(found[0], triangulate(found[0], fitted))
    for scale_px in (4.0, 2.0, 1.0):
        free = Free(focal=focal is None, delay=True)
        now = adjust(now, fitted, scale_px=scale_px, free=free, rounds=12, least_gain=1e-3)
        shift -= now.delay
        fitted = view.observed(reading, shift, fitted_ones)
        if fitted.num_points < LEAST_TRACKS:
            return nothing
        now = Adjusted(now.camera, triangulate(now.camera, fitted))
    judges = view.observed(reading, shift, judging)
    own = fit_points(now.camera, judges)
    rms = judges.rms(np.clip(residual_px(now.camera, judges, own), -50, 50))
    fits = rms < EXPLAINED_PX
    explained = np.bincount(judges.episode_of_point, weights=fits, minlength=num_episodes)
    return Trial(reading, begun_at, shift, explained, counted, now.camera)


def margin(best: Sequence[Trial], other: Sequence[Trial]) -> tuple[float, float]:
    """The share by which the first explains more, and its standard error over episodes.

    Each sequence holds one trial a view, in the same order.
    """
    differences = [one.explained - two.explained for one, two in zip(best, other, strict=True)]
    counts = [np.maximum(one.counted, two.counted) for one, two in zip(best, other, strict=True)]
    total = np.sum(differences, axis=0)
    count = np.sum(counts, axis=0)
    mean = float(total.sum() / max(count.sum(), 1))
    used = count > 0
    number = int(used.sum())
    if number < 2:
        return mean, float("inf")
    spread = total[used] - mean * count[used]
    error = np.sqrt((spread**2).sum() * number / (number - 1)) / count.sum()
    return mean, float(error)
