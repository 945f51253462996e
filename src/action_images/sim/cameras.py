"""Camera rigs: the fixed, sampled or moving cameras of a trial."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Camera
from action_images.structs import stack

Range = tuple[float, float]


@dataclass(frozen=True)
class Rig:
    """Ranges from which each trial draws its cameras.

    `azimuth_deg` holds one or more sectors, 0 in front of the arm (+x) and growing to its left (+y). Views
    take the sectors in turn, in an order drawn for each trial, at least `min_gap_deg` apart. All look at
    `target` (m, moved by up to `aim`). A moving view swings by `sway_deg` around the target, with the period
    `sway_period` (s).
    """

    azimuth_deg: tuple[Range, ...]
    elevation_deg: Range
    distance: Range
    fov_deg: Range
    target: tuple[float, float, float] = (0.46, 0.0, 0.16)
    aim: float = 0.0
    min_gap_deg: float = 25.0
    sway_deg: Range = (0.0, 0.0)
    sway_period: float = 4.0

    def draw(self, rng: np.random.Generator, num_views: int, size: tuple[int, int]) -> "Cameras":
        """The cameras of one trial; `size` is (height, width) in px.

        Raises ValueError if `num_views` views cannot be `min_gap_deg` apart.
        """
        azimuth_deg = self._azimuths(rng, num_views)
        draw = lambda span: rng.uniform(span[0], span[1], num_views)  # noqa: E731
        target = np.array(self.target) + rng.uniform(-self.aim, self.aim, (num_views, 3))
        return Cameras(
            azimuth_deg,
            draw(self.elevation_deg),
            draw(self.distance),
            draw(self.fov_deg),
            target,
            draw(self.sway_deg),
            self,
            size,
        )

    def _azimuths(self, rng: np.random.Generator, num_views: int) -> np.ndarray:
        if all(low == high for low, high in self.azimuth_deg):
            if num_views > len(self.azimuth_deg):
                raise ActionImagesError(
                    f"this rig has {len(self.azimuth_deg)} fixed views, {num_views} were asked for; "
                    "choose another rig"
                )
            return np.array([low for low, _ in self.azimuth_deg[:num_views]])
        for _ in range(20_000):
            sectors = np.resize(rng.permutation(len(self.azimuth_deg)), num_views)
            azimuth_deg = np.array([rng.uniform(*self.azimuth_deg[sector]) for sector in sectors])
            if num_views == 1 or np.diff(np.sort(azimuth_deg)).min() >= self.min_gap_deg:
                return azimuth_deg
        raise ActionImagesError(
            f"{num_views} views do not fit {self.min_gap_deg:g} degrees apart into this rig's sectors; "
            "ask for fewer views"
        )


@dataclass(frozen=True)
class Cameras:
    """The cameras of one trial at any instant."""

    azimuth_deg: np.ndarray
    elevation_deg: np.ndarray
    distance: np.ndarray
    fov_deg: np.ndarray
    target: np.ndarray
    sway_deg: np.ndarray
    rig: Rig
    size: tuple[int, int]

    @property
    def moving(self) -> bool:
        """Whether any view moves."""
        return bool((self.sway_deg != 0).any())

    def at(self, seconds: float) -> Camera:
        """All views (axis: view) `seconds` after the trial's start."""
        phase = math.sin(2 * math.pi * seconds / self.rig.sway_period)
        azimuth, elevation = (
            np.radians(self.azimuth_deg + phase * self.sway_deg),
            np.radians(self.elevation_deg),
        )
        towards = np.stack(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1
        )
        eye = torch.from_numpy(self.target + self.distance[:, None] * towards).float()
        target = torch.from_numpy(self.target).float()
        views = [
            Camera.look_at(eye[i], target[i], math.radians(fov), self.size)
            for i, fov in enumerate(self.fov_deg)
        ]
        return stack(views)


TRAIN_SECTORS = ((-60.0, -25.0), (25.0, 60.0))
SHOULDER_SECTORS = ((-125.0, -92.0), (92.0, 125.0))
HELD_OUT_SECTORS = ((-88.0, -64.0), (-21.0, 21.0), (64.0, 88.0))

RIGS = {
    "fixed": Rig(((-40, -40), (40, 40), (0, 0)), (35, 35), (1.05, 1.05), (42, 42)),
    "sampled": Rig(TRAIN_SECTORS, (25, 50), (0.95, 1.1), (40, 46), aim=0.02),
    "around": Rig((*TRAIN_SECTORS, *SHOULDER_SECTORS), (25, 50), (0.95, 1.1), (40, 46), aim=0.02),
    "held_out": Rig(HELD_OUT_SECTORS, (25, 50), (0.95, 1.1), (40, 46), aim=0.02),
    "moving": Rig(TRAIN_SECTORS, (25, 50), (0.95, 1.1), (40, 46), aim=0.02, sway_deg=(4, 12)),
}
"""Named rigs.

"sampled" has the training ranges. "around" also has views over the arm's shoulders, and two views may be
opposite each other. "held_out" shares no azimuth with either.
"""
