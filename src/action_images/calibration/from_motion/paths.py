"""Errors in tool poses alone: repeated poses and jitter."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.points import fit_points, in_world, residual_px

STILL = 1e-7
"""A pose that differs by less (m, and entries of the rotation) from the previous one is a repeat."""
MOVES = 5e-4
"""Motion per frame (m) before and after a repeated pose that shows that the tool did not stop."""
FITS_PX = 2.0


def repeated(poses: Sequence[Float[np.ndarray, "frame 4 4"]]) -> float:
    """The share of frames in motion whose pose repeats the previous one."""
    num_repeated, num_moving = 0, 0
    for path in poses:
        same = np.abs(np.diff(path, axis=0)).max((1, 2)) < STILL
        step = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1)
        around = np.minimum(step[:-2], step[2:]) > MOVES
        num_repeated += int((same[1:-1] & around).sum())
        num_moving += int((step > MOVES).sum())
    return num_repeated / max(num_moving + num_repeated, 1)


def jitter(camera: Pinhole, seen: Observations, step: int) -> float:
    """Jitter of poses from frame to frame (m, standard deviation along each axis).

    Third differences of projected points are compared with those of the pixels: real motion has the same in
    both, whatever its rate. `step` is the number of frames between observations of a track.
    """
    points = fit_points(camera, seen)
    residual = residual_px(camera, seen, points)
    good = seen.rms(np.clip(residual, -50, 50)) < FITS_PX
    pixels, depth = camera.project(in_world(seen, points))
    rows = np.flatnonzero(good[seen.point])
    if len(rows) < 8:
        return 0.0
    point, frame = seen.point[rows], seen.frame[rows]
    whole = (point[3:] == point[:-3]) & (frame[3:] - frame[:-3] == 3 * step)
    if whole.sum() < 8:
        return 0.0
    shown = _third(seen.pixels[rows])[whole]
    said = _third(pixels[rows])[whole]
    excess = np.median(said**2) - np.median(shown**2)
    # The median of a squared normal variable is 0.455 of its variance; third differences have 20 times it.
    noise_px = np.sqrt(max(float(excess), 0.0) / 0.455 / 20)
    return noise_px * float(np.median(depth)) / camera.focal


def _third(values: np.ndarray) -> np.ndarray:
    return values[3:] - 3 * values[2:-1] + 3 * values[1:-2] - values[:-3]
