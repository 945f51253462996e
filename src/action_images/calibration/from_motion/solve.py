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
"""Tracks, drawn by chance, that are adjusted before points are shared."""
ROUNDS = ((0.012, 2.5), (0.012, 2.0), (0.010, 1.7), (0.010, 1.5))
"""How far apart (m) points may be found to be one, and how badly (px, rms) a track may fit it, round by
round."""
BIAS_PX = 0.5
"""The constant by which a whole track may be off: features creep where they begin."""
SCALE_PX = 0.7
LEAST_SHARED = 4
"""Fewer shared points are none."""
FITS_PX = 1.0


@dataclass(frozen=True)
class Solved:
    """A camera, the tracks that show shared points (joined), where those lie in the tool, and the delay.

    `alone` is the camera that followed from tracks with a point each; `delay` is by how many frames the poses
    were moved to fit the pictures (negative: the pictures are late).
    """

    camera: Pinhole
    alone: Pinhole
    shared: Observations
    places: Float[np.ndarray, "shared 3"]
    delay: float = 0.0

    @property
    def num_shared(self) -> int:
        """How many points of the tool several episodes show."""
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
    is_near: bool = False,
    num_guesses: int = 280,
) -> Solved | None:
    """The camera of a view; None where no guess fits anything.

    `start` is taken for the first camera; without it many are tried, of the focal length `focal` (px) where
    that is given. It is kept where `free.focal` is False. `is_near` says that it was solved already, from
    nearly the same tracks: then fewer rounds do.
    """
    rng = np.random.default_rng(seed)
    if start is None:
        found = first_cameras(seen, size, seed=seed, focal=focal, clicks=clicks, num_guesses=num_guesses)
    else:
        found = [start]
    if not found:
        return None
    some = seen.of_points(
        np.sort(rng.choice(seen.num_points, min(NUM_TRACKS, seen.num_points), replace=False))
    )
    now = Adjusted(found[0], triangulate(found[0], some))
    for scale_px in (1.0, SCALE_PX) if is_near else (4.0, 2.0, 1.0, SCALE_PX):
        # Far from the truth a delay would make good for the camera's error.
        freed = Free(focal=free.focal, delay=free.delay and scale_px <= 2)
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
