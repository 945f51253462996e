"""Poses and lenses that are wrong, for `from_motion.py`."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from action_images.calibration.from_motion.conventions import read_poses
from action_images.calibration.from_motion.kept import Seen
from action_images.calibration.from_motion.pinhole import Pinhole, rotation_of
from action_images.calibration.from_motion.tracks import Followed, Track

Change = Callable[[list[Seen], str, Pinhole, np.random.Generator], list[Seen]]
"""Episodes with one view, its name and true camera, and chance, to the same with a fault."""


def nothing(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """No fault."""
    del view, camera, rng
    return episodes


def off_by_episode(mm: float, degrees: float) -> Change:
    """Each episode's poses are off by a constant, as where a robot is homed anew."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del view, camera
        return [replace(one, poses=_moved(one.poses, mm, degrees, rng, each=False)) for one in episodes]

    return change


def jittering(mm: float) -> Change:
    """Each pose is off by its own error."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del view, camera
        return [replace(one, poses=_moved(one.poses, mm, 0.0, rng, each=True)) for one in episodes]

    return change


def _moved(
    path: np.ndarray, mm: float, degrees: float, rng: np.random.Generator, *, each: bool
) -> np.ndarray:
    count = len(path) if each else 1
    path = path.copy()
    path[:, :3, 3] += 1e-3 * mm * rng.normal(size=(count, 3))
    turn = rotation_of(np.radians(degrees) * rng.normal(size=3))
    path[:, :3, :3] = turn @ path[:, :3, :3]
    return path


def stale(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """Every fourth pose is the one before over again."""
    del view, camera, rng
    changed = []
    for one in episodes:
        path = one.poses.copy()
        path[3::4] = path[2::4][: len(path[3::4])]
        changed.append(replace(one, poses=path))
    return changed


def late(frames: float) -> Change:
    """The pictures are late: poses are those of so many frames later."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del view, camera, rng
        return [
            replace(one, poses=_between(one.poses, np.arange(len(one.poses)) + frames)) for one in episodes
        ]

    return change


def _between(path: np.ndarray, times: np.ndarray) -> np.ndarray:
    inside = np.clip(times, 0, len(path) - 1)
    before = np.minimum(inside.astype(int), len(path) - 2)
    share = (inside - before)[:, None, None]
    mixed = path[before] * (1 - share) + path[before + 1] * share
    left, _, right = np.linalg.svd(mixed[:, :3, :3])
    mixed[:, :3, :3] = left @ right
    return mixed


def in_convention(name: str) -> Change:
    """The poses are declared in another convention than they are written in."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del view, camera, rng
        return [replace(one, poses=read_poses([one.poses], name)[0]) for one in episodes]

    return change


def upright(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """The tool never tilts."""
    return [_seen_by_hand(one, view, camera, points, rng) for one, points in _hands(episodes, rng, turn=1.0)]


def unturned(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """The tool never turns at all."""
    return [_seen_by_hand(one, view, camera, points, rng) for one, points in _hands(episodes, rng, turn=0.0)]


def _hands(
    episodes: list[Seen], rng: np.random.Generator, *, turn: float
) -> Iterator[tuple[Seen, np.ndarray]]:
    """Each episode with a tool that points down and keeps a share of its heading; the points of its hand."""
    points = rng.uniform([-0.05, -0.05, -0.13], [0.05, 0.05, 0.01], (12, 3))
    for one in episodes:
        path = one.poses.copy()
        heading = turn * np.arctan2(path[:, 1, 0], path[:, 0, 0])
        c, s, zero = np.cos(heading), np.sin(heading), np.zeros(len(path))
        rows = np.stack([c, s, zero, s, -c, zero, zero, zero, zero - 1], -1)
        path[:, :3, :3] = rows.reshape(-1, 3, 3)
        yield replace(one, poses=path), points


def _seen_by_hand(
    one: Seen, view: str, camera: Pinhole, points: np.ndarray, rng: np.random.Generator
) -> Seen:
    """Tracks are what the hand's points would show, off by .3 px."""
    tracks = []
    for start in range(0, len(one.poses) - 20, 20):
        part = slice(start, start + 20)
        for point in points:
            pixels = camera.project(one.poses[part, :3, :3] @ point + one.poses[part, :3, 3])[0]
            tracks.append(Track(np.arange(start, start + 20), pixels + 0.3 * rng.normal(size=pixels.shape)))
    return replace(one, followed={view: replace(one.followed[view], tracks=tuple(tracks))})


def bumped(degrees: float) -> Change:
    """After two thirds of the episodes the camera is turned about its own centre."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        axis = rng.normal(size=3)
        turn = rotation_of(np.radians(degrees) * axis / np.linalg.norm(axis))
        first = 2 * len(episodes) // 3
        moved = [_tracks_changed(one, view, partial(_turned, camera, turn)) for one in episodes[first:]]
        return [*episodes[:first], *moved]

    return change


def _turned(camera: Pinhole, turn: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    rays = np.concatenate([(pixels - camera.centre) / camera.focal, np.ones((len(pixels), 1))], -1) @ turn.T
    return camera.focal * rays[:, :2] / rays[:, 2:] + camera.centre


def bent(radial: float) -> Change:
    """A lens with k1."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del rng
        return [_tracks_changed(one, view, partial(_bent, camera, radial)) for one in episodes]

    return change


def _bent(camera: Pinhole, radial: float, pixels: np.ndarray) -> np.ndarray:
    flat = (pixels - camera.centre) / camera.focal
    return camera.focal * flat * (1 + radial * (flat**2).sum(-1, keepdims=True)) + camera.centre


def squeezed(episodes: list[Seen], view: str, camera: Pinhole, aspect: float) -> tuple[list[Seen], Pinhole]:
    """Pictures squeezed towards their middle column so that fx / fy is `aspect`, and their true camera."""

    def change(pixels: np.ndarray) -> np.ndarray:
        return (pixels - camera.centre) * [aspect, 1.0] + camera.centre

    truth = replace(camera, focal=camera.focal * math.sqrt(aspect), aspect=aspect)
    return [_tracks_changed(one, view, change) for one in episodes], truth


def rolling(share: float) -> Change:
    """A rolling shutter: rows are read one after the other, in this share of the time between pictures."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        del rng
        height = 2 * camera.centre[1]
        return [_rolled(one, view, share, height) for one in episodes]

    return change


def _rolled(one: Seen, view: str, share: float, height: float) -> Seen:
    old = one.followed[view]
    tracks = [Track(track.frames, _read_late(track, share, height)) for track in old.tracks]
    return replace(one, followed={view: Followed(tuple(tracks), old.looked_at, old.motion)})


def _read_late(track: Track, share: float, height: float) -> np.ndarray:
    """Where a feature is seen when its row is read, as fast as it moves in the picture."""
    if len(track.frames) < 2:
        return track.pixels
    speed = np.gradient(track.pixels, track.frames, axis=0)
    return track.pixels + share * (track.pixels[:, 1:] / height - 0.5) * speed


def mirrored(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
    """The pictures are mirrored."""
    del rng
    width = 2 * camera.centre[0]
    flip = np.array([-1.0, 1.0])
    return [_tracks_changed(one, view, lambda pixels: pixels * flip + [width, 0.0]) for one in episodes]


def _tracks_changed(one: Seen, view: str, change: Callable[[np.ndarray], np.ndarray]) -> Seen:
    tracks = [Track(track.frames, change(track.pixels)) for track in one.followed[view].tracks]
    old = one.followed[view]
    return replace(one, followed={view: Followed(tuple(tracks), old.looked_at, old.motion)})


def both(first: Change, second: Change) -> Change:
    """Two faults at once."""

    def change(episodes: list[Seen], view: str, camera: Pinhole, rng: np.random.Generator) -> list[Seen]:
        return second(first(episodes, view, camera, rng), view, camera, rng)

    return change
