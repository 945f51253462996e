"""Whether pixels have the shape that the fit took for granted."""

from dataclasses import dataclass, replace

import numpy as np

from action_images.calibration.from_motion.adjust import Free
from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.predicted import by_groups, fits_without_groups
from action_images.calibration.from_motion.solve import LEAST_SHARED, Solved, solve

CLEAR = 3.0
"""Standard errors by which fx / fy must differ from the one assumed."""
LEAST = 0.03
"""Smaller differences (log) come from tracks that drift and from lenses that bend the picture."""
SURELY = 0.1
"""If larger differences would not be told, nothing is known of the pixels' shape."""


@dataclass(frozen=True)
class PixelShape:
    """fx / fy of the camera that was fitted, and of one that was fitted with this ratio free.

    `error` is the standard error of the free one's logarithm when groups of episodes are left out.
    """

    assumed: float
    found: float
    error: float

    @property
    def limit(self) -> float:
        """The least difference of logarithms that would be told."""
        return max(CLEAR * self.error, LEAST)

    @property
    def is_wrong(self) -> bool:
        """Whether the tracks contradict the ratio assumed."""
        return abs(float(np.log(self.found / self.assumed))) > self.limit

    @property
    def is_right(self) -> bool:
        """Whether the tracks confirm the ratio assumed."""
        return not self.is_wrong and self.limit <= SURELY


def pixel_shape(
    solved: Solved,
    seen: Observations,
    size: tuple[int, int],
    *,
    free: Free,
    clicks: Observations | None = None,
    seed: int = 0,
) -> PixelShape | None:
    """Fit a solved camera again with fx / fy free; None if too few points are shared then."""
    with_aspect = replace(free, aspect=True)
    options = {"start": solved.camera, "free": with_aspect, "clicks": clicks, "is_near": True}
    found = solve(seen, size, seed=seed, **options)
    if found is None or found.num_shared < LEAST_SHARED:
        return None
    fits = fits_without_groups(found, with_aspect, clicks)
    if not fits:
        return None
    error = by_groups([float(np.log(one.camera.aspect)) for one in fits])
    return PixelShape(solved.camera.aspect, found.camera.aspect, error)
