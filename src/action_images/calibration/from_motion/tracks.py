"""Features followed through the pictures of one view, as far as they move."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from action_images.calibration.opencv import opencv
from action_images.episodes.episode import Frames

Grey = UInt8[np.ndarray, "height width"]

LARGEST_SIDE_PX = 400
"""Pictures whose shorter side is longer are halved, or divided by 3 and so on, before they are followed."""
MOST_RATE = 20.0
"""Frames a second that are looked at: faster videos show little that is new in the frames between."""
MOST_FRAMES = 400
"""Frames of one episode that are looked at, from its first on."""
AT_ONCE = 32
"""Frames that are decoded at once."""
SEEDS_EVERY = 4
MOST_SEEDS = 60
LONGEST = 45
SHORTEST = 7
"""Frames (of those looked at) in which a feature must be found to be a track."""
LEAST_EXTENT_PX = 6.0
"""A feature that moves less is taken for background (px of pictures with 256 rows)."""
MARGIN_PX = 4.0
ROUND_TRIP_PX = 0.3
"""A feature that is followed forwards and back must return this closely."""
WINDOW = (7, 7)
LOOK_AROUND = 3
"""What moves differs from the picture so many frames before or after."""
LEAST_CHANGE = 6.0
MOST_CHANGE = 40.0
"""Grey levels of 255: the least difference that is motion lies between these, by the pictures' noise."""


@dataclass(frozen=True)
class Track:
    """One feature in consecutive frames.

    `frames` are the episode's own numbers; `pixels` are those of its pictures, centres at +0.5.
    """

    frames: np.ndarray
    pixels: Float[np.ndarray, "frame 2"]


@dataclass(frozen=True)
class Followed:
    """What was followed in one view of an episode.

    `looked_at` are the frames that were; `motion` is the share of pixels that change at each of them.
    """

    tracks: tuple[Track, ...]
    looked_at: np.ndarray
    motion: Float[np.ndarray, "frame"]


def follow(frames: Frames, fps: float) -> Followed:
    """Follow what moves through a video, some frames in memory at a time.

    Corners (Shi and Tomasi 1994) are begun on pixels that change, followed by pyramidal Lucas-Kanade there
    and back, and located anew as corners in each frame: otherwise a still background drags them along.
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
            # Rows and columns that do not fill a whole small pixel are cut off, or pixels would lose their
            # place.
            whole = picture[:, : small[1] * factor, : small[0] * factor].transpose(1, 2, 0)
            grey = cv2.cvtColor(np.ascontiguousarray(whole), cv2.COLOR_RGB2GRAY)
            yield grey if factor == 1 else cv2.resize(grey, small, interpolation=cv2.INTER_AREA)


Path = list[np.ndarray]


class _Follower:
    """Sees one picture after another and keeps those that it needs to compare with.

    Seeds are begun `LOOK_AROUND` pictures late, when it is known what changes after them.
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
        """Take the next picture, and follow through the one that now has enough after it."""
        self._pictures.append(picture)
        if len(self._pictures) + self._first > self._next + LOOK_AROUND:
            self._advance()

    def finish(self) -> None:
        """Follow through the last pictures."""
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
        """Where two pictures differ by more than their noise."""
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
        """Keep those that are long enough and have moved."""
        for start, path in tracks:
            if len(path) < SHORTEST:
                continue
            low, high = np.min(path, axis=0), np.max(path, axis=0)
            if np.linalg.norm(high - low) >= self._least_extent:
                self.ended.append((start, path))
