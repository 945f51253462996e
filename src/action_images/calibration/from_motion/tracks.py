"""Track features through the pictures of one view, as far as they move."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from action_images.calibration.opencv import opencv
from action_images.episodes.episode import Frames

Grey = UInt8[np.ndarray, "height width"]

LARGEST_SIDE_PX = 400
"""Pictures whose shorter side is longer are halved, or divided by 3 and so on, before tracking."""
MOST_RATE = 20.0
"""Frames per second that are used: in faster videos the frames between add little."""
MOST_FRAMES = 400
"""The most frames of one episode that are used, from its first on."""
AT_ONCE = 32
"""Frames that are decoded at once."""
SEEDS_EVERY = 4
MOST_SEEDS = 60
LONGEST = 45
SHORTEST = 7
"""Least number of used frames in which a feature must be found to be a track."""
LEAST_EXTENT_PX = 6.0
"""A feature that moves less counts as background (px of pictures with 256 rows)."""
MARGIN_PX = 4.0
ROUND_TRIP_PX = 0.3
"""A feature that is tracked forwards and back must return this closely."""
WINDOW = (7, 7)
LOOK_AROUND = 3
"""Motion is detected by comparing with the picture this many frames before or after."""
LEAST_CHANGE = 6.0
MOST_CHANGE = 40.0
"""Limits in grey levels (of 255) of the motion threshold, which depends on the pictures' noise."""


@dataclass(frozen=True)
class Track:
    """One feature in consecutive frames.

    `frames` are numbers in the episode; `pixels` are those of its pictures, centres at +0.5.
    """

    frames: np.ndarray
    pixels: Float[np.ndarray, "frame 2"]


@dataclass(frozen=True)
class Followed:
    """The tracks in one view of an episode.

    `looked_at` are the frames used; `motion` is the share of pixels that change at each of them.
    """

    tracks: tuple[Track, ...]
    looked_at: np.ndarray
    motion: Float[np.ndarray, "frame"]


def follow(frames: Frames, fps: float) -> Followed:
    """Track everything that moves through a video, with some frames in memory at a time.

    Corners (Shi and Tomasi 1994) start on pixels that change and are tracked by pyramidal Lucas-Kanade
    forwards and back. They are relocated as corners in each frame; otherwise a still background drags them.
    """
    step = max(1, round(fps / MOST_RATE))
    looked_at = np.arange(0, len(frames), step)[:MOST_FRAMES]
    factor = max(1, round(min(frames.size) / LARGEST_SIDE_PX))
    follower = _Follower(frames.size[0] // factor)
    for picture in _greys(frames, looked_at, factor):
        follower.see(picture)
    follower.finish()
    tracks = [
        Track(looked_at[start : start + len(path)], (np.array(path, np.float64) + 0.5) * factor)
        for start, path in follower.ended
    ]
    return Followed(tuple(tracks), looked_at, np.array(follower.motion))


def _greys(frames: Frames, looked_at: np.ndarray, factor: int) -> Iterator[Grey]:
    cv2 = opencv()
    height, width = frames.size
    small = (width // factor, height // factor)
    for first in range(0, len(looked_at), AT_ONCE):
        pictures = frames.read(looked_at[first : first + AT_ONCE].tolist()).numpy()
        for picture in pictures:
            # Cut off rows and columns that do not fill a whole small pixel; otherwise pixels would shift.
            whole = picture[:, : small[1] * factor, : small[0] * factor].transpose(1, 2, 0)
            grey = cv2.cvtColor(np.ascontiguousarray(whole), cv2.COLOR_RGB2GRAY)
            yield grey if factor == 1 else cv2.resize(grey, small, interpolation=cv2.INTER_AREA)


Path = list[np.ndarray]


class _Follower:
    """Takes one picture after another and keeps those that it needs for comparison.

    Seeds start `LOOK_AROUND` pictures late, when the changes after them are known.
    """

    def __init__(self, height: int):
        self._cv2: Any = opencv()
        self._least_extent = LEAST_EXTENT_PX * min(1.5, max(0.4, height / 256))
        self._pictures: list[Grey] = []
        self._first = 0
        self._live: list[tuple[int, Path]] = []
        self._next = 0
        self.ended: list[tuple[int, Path]] = []
        self.motion: list[float] = []

    def see(self, picture: Grey) -> None:
        """Take the next picture, and track through the one that now has enough pictures after it."""
        self._pictures.append(picture)
        if len(self._pictures) + self._first > self._next + LOOK_AROUND:
            self._advance()

    def finish(self) -> None:
        """Track through the last pictures."""
        while self._next < self._first + len(self._pictures):
            self._advance()
        self._end(self._live)
        self._live = []

    def _at(self, number: int) -> Grey:
        last = self._first + len(self._pictures) - 1
        return self._pictures[min(max(number, self._first), last) - self._first]

    def _advance(self) -> None:
        here = self._next
        picture = self._at(here)
        moving = self._moving(picture, self._at(here + LOOK_AROUND))
        moving |= self._moving(picture, self._at(here - LOOK_AROUND))
        self.motion.append(float(self._moving(picture, self._at(here - 1)).mean()))
        if here > 0 and self._live:
            self._follow(self._at(here - 1), picture)
        if here % SEEDS_EVERY == 0:
            self._begin(here, picture, moving)
        self._next += 1
        while self._first < self._next - LOOK_AROUND:
            self._pictures.pop(0)
            self._first += 1

    def _moving(self, picture: Grey, other: Grey) -> np.ndarray:
        """Mask of pixels in which two pictures differ by more than their noise."""
        change = self._cv2.absdiff(picture, other)
        least = np.clip(LEAST_CHANGE + 5 * float(np.median(change)), LEAST_CHANGE, MOST_CHANGE)
        return change > least

    def _follow(self, before: Grey, picture: Grey) -> None:
        cv2 = self._cv2
        height, width = picture.shape
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)
        old = np.array([path[-1] for _, path in self._live], np.float32)[:, None]
        options = {"winSize": WINDOW, "maxLevel": 3, "criteria": stop}
        new, found, _ = cv2.calcOpticalFlowPyrLK(before, picture, old, None, **options)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(picture, before, new, None, **options)
        missed = np.linalg.norm(back - old, axis=-1).ravel()
        kept = (found.ravel() == 1) & (found_back.ravel() == 1) & (missed < ROUND_TRIP_PX)
        inside = np.clip(new, [5, 5], [width - 6, height - 6]).astype(np.float32)
        corner = cv2.cornerSubPix(picture, inside.copy(), (2, 2), (-1, -1), stop)
        moved = np.linalg.norm(corner - new, axis=-1).ravel()
        places = np.where((moved < 1.0)[:, None, None], corner, new).reshape(-1, 2)
        x, y = places.T
        kept &= (moved < 1.5) & (x > MARGIN_PX) & (x < width - 1 - MARGIN_PX)
        kept &= (y > MARGIN_PX) & (y < height - 1 - MARGIN_PX)
        going_on = []
        for one, keep, place in zip(self._live, kept, places, strict=True):
            if keep and len(one[1]) < LONGEST:
                one[1].append(place)
                going_on.append(one)
            else:
                self._end([one])
        self._live = going_on

    def _begin(self, here: int, picture: Grey, moving: np.ndarray) -> None:
        cv2 = self._cv2
        allowed = cv2.dilate(moving.astype(np.uint8) * 255, np.ones((9, 9), np.uint8))
        for _, path in self._live:
            cv2.circle(allowed, (int(path[-1][0]), int(path[-1][1])), 4, 0, -1)
        corners = cv2.goodFeaturesToTrack(picture, MOST_SEEDS, 0.05, 5, mask=allowed, blockSize=5)
        if corners is None:
            return
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
        cv2.cornerSubPix(picture, corners, (3, 3), (-1, -1), stop)
        self._live += [(here, [place]) for place in corners.reshape(-1, 2)]

    def _end(self, tracks: Sequence[tuple[int, Path]]) -> None:
        """Keep tracks that are long enough and have moved."""
        for start, path in tracks:
            if len(path) < SHORTEST:
                continue
            low, high = np.min(path, axis=0), np.max(path, axis=0)
            if np.linalg.norm(high - low) >= self._least_extent:
                self.ended.append((start, path))
