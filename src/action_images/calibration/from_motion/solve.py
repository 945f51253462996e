"""One camera from the tracks of its view: start, adjustment, points shared by episodes, adjustment again."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from action_images.calibration.from_motion.adjust import Adjusted, Free, adjust
from action_images.calibration.from_motion.observations import Observations, nothing_seen
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.points import fit_points, residual_px, triangulate
from action_images.calibration.from_motion.shared import assign, cluster, enough
from action_images.calibration.from_motion.start import first_cameras

NUM_TRACKS = 700
"""Number of randomly drawn tracks that are adjusted before points are shared."""
ROUNDS = ((0.012, 2.5), (0.012, 2.0), (0.010, 1.7), (0.010, 1.5))
"""Distance (m) within which points are merged, and largest rms error (px) of a track on its point, by
round."""
BIAS_PX = 0.5
"""The constant error of a whole track: features drift where they begin."""
SCALE_PX = 0.7
LEAST_SHARED = 4
"""Fewer shared points are not used."""
FITS_PX = 1.0


@dataclass(frozen=True)
class Solved:
    """A camera, the tracks of shared points (merged), the points' positions in the tool, and the delay.

    `alone` is the camera found from tracks with a point each; `delay` is the shift of the poses in frames
    that fits the pictures (negative: the pictures are late).
    """

    camera: Pinhole
    alone: Pinhole
    shared: Observations
    places: Float[np.ndarray, "shared 3"]
    delay: float = 0.0

    @property
    def num_shared(self) -> int:
        """Number of points of the tool that several episodes show."""
        return len(self.places)


def solve(
    seen: Observations,
    size: tuple[int, int],
    *,
    seed: int = 0,
    start: Pinhole | None = None,
    free: Free = Free(),  # noqa: B008 (a frozen value)
    clicks: Observations | None = None,
    focal: float | None = None,
    aspect: float = 1.0,
    is_near: bool = False,
    num_guesses: int = 280,
) -> Solved | None:
    """The camera of a view; None if no guess fits anything.

    `start` is the first camera. Without it many are tried, with the focal length `focal` (px) if given, and
    with fx / fy = `aspect`. The focal length is kept if `free.focal` is False. `is_near`: the view was
    already solved from nearly the same tracks, so fewer rounds are enough.
    """
    rng = np.random.default_rng(seed)
    if start is None:
        lens = {"focal": focal, "aspect": aspect}
        found = first_cameras(seen, size, seed=seed, clicks=clicks, num_guesses=num_guesses, **lens)
    else:
        found = [start]
    if not found:
        return None
    some = seen.of_points(
        np.sort(rng.choice(seen.num_points, min(NUM_TRACKS, seen.num_points), replace=False))
    )
    now = Adjusted(found[0], triangulate(found[0], some))
    for scale_px in (1.0, SCALE_PX) if is_near else (4.0, 2.0, 1.0, SCALE_PX):
        # Far from the truth a delay or another aspect would compensate for the camera's error.
        is_close = scale_px <= 2
        freed = Free(focal=free.focal, delay=free.delay and is_close, aspect=free.aspect and is_close)
        now = adjust(now, some, scale_px=scale_px, free=freed, clicks=clicks, rounds=15, least_gain=1e-3)
    camera, delay = now.camera, now.delay
    alone, shared, places = camera, nothing_seen(), np.zeros((0, 3))
    for radius, farthest_px in ROUNDS[2:] if is_near else ROUNDS:
        moved = seen.at(delay)
        centres = cluster(camera, moved, radius=radius, rng=rng)
        if len(centres) < LEAST_SHARED:
            break
        label = assign(camera, moved, centres, farthest_px=farthest_px)
        own = fit_points(camera, moved)
        badly = moved.rms(np.clip(residual_px(camera, moved, own), -50, 50)) >= FITS_PX
        label[badly] = -1
        label = enough(label)
        if len(np.unique(label[label >= 0])) < LEAST_SHARED:
            break
        shared = seen.joined(label)
        first = Adjusted(camera, triangulate(camera, shared.at(delay)), delay)
        now = adjust(first, shared, scale_px=SCALE_PX, free=free, bias_px=BIAS_PX, clicks=clicks, rounds=25)
        camera, places, delay = now.camera, now.points, now.delay
    return Solved(camera, alone, shared, places, delay)
