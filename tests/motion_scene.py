"""Tracks of a hand that nobody rendered: tool paths, points on the hand, and the camera that sees them."""

import math

import numpy as np
import torch

from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.tracks import Track
from action_images.geometry import Camera
from action_images.geometry.rotation import from_euler_xyz

SIZE = (256, 256)


def truth(size: tuple[int, int] = SIZE, azimuth: float = 0.7, fov_deg: float = 44.0) -> Pinhole:
    """A camera a metre from the middle of the workspace."""
    target = torch.tensor([0.45, 0.0, 0.15], dtype=torch.float64)
    towards = torch.tensor([math.cos(azimuth) * 0.85, math.sin(azimuth) * 0.85, 0.5], dtype=torch.float64)
    return Pinhole.of(Camera.look_at(target + towards, target, math.radians(fov_deg), size))


def paths(
    num_episodes: int, *, seed: int = 0, num_frames: int = 40, tilt: float = 0.35, turn: float = 0.8
) -> list[np.ndarray]:
    """Smooth tool poses (frame 4 4) above a table, the hand pointing down, tilted and turned (rad) by so
    much."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(num_episodes):
        knots = rng.normal(size=(6, 6))
        times = np.linspace(0, 5, num_frames)
        values = np.stack([np.interp(times, np.arange(6), smooth(column)) for column in knots.T], -1)
        kernel = np.hanning(9) / np.hanning(9).sum()
        smoothed = [np.convolve(np.pad(column, 4, mode="edge"), kernel, "valid") for column in values.T]
        values = np.stack(smoothed, -1)
        place = np.array([0.45, 0.0, 0.18]) + values[:, :3] * [0.09, 0.12, 0.07]
        angles = np.stack([math.pi + tilt * values[:, 3], tilt * values[:, 4], turn * values[:, 5]], -1)
        path = np.tile(np.eye(4), (num_frames, 1, 1))
        path[:, :3, :3] = from_euler_xyz(torch.from_numpy(angles)).numpy()
        path[:, :3, 3] = place
        found.append(path)
    return found


def smooth(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -1.5, 1.5)


def hand(num_points: int = 12, seed: int = 0) -> np.ndarray:
    """Points on a hand (m, in the tool), behind the finger tips."""
    rng = np.random.default_rng(1000 + seed)
    return rng.uniform([-0.05, -0.05, -0.13], [0.05, 0.05, 0.01], (num_points, 3))


def tracks(
    camera: Pinhole,
    poses: list[np.ndarray],
    points: np.ndarray,
    *,
    noise_px: float = 0.0,
    wrong: float = 0.0,
    late: float = 0.0,
    mirrored: bool = False,
    seed: int = 0,
    size: tuple[int, int] = SIZE,
) -> list[list[Track]]:
    """What a perfect follower would see, each point in two pieces; a share of the tracks follows something
    else.

    `late`: the pictures show the poses of so many frames before.
    """
    rng = np.random.default_rng(seed)
    seen = []
    for path in poses:
        count = len(path)
        source = np.clip(np.arange(count) - late, 0, count - 1)
        before = np.minimum(source.astype(int), count - 2)
        share = (source - before)[:, None, None]
        shown = path[before] * (1 - share) + path[before + 1] * share
        mine = []
        for point in points:
            for half in (slice(0, count // 2), slice(count // 2, count)):
                world = shown[half, :3, :3] @ point + shown[half, :3, 3]
                if rng.uniform() < wrong:
                    drift = rng.normal(size=3) * 0.1
                    world = world[0] + np.linspace(0, 1, len(world))[:, None] * drift
                pixels = camera.project(world)[0] + noise_px * rng.normal(size=(len(world), 2))
                if mirrored:
                    pixels[:, 0] = size[1] - pixels[:, 0]
                mine.append(Track(np.arange(count)[half], pixels))
        seen.append(mine)
    return seen
