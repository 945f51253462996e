"""Latency of plans: the time that a plan takes to arrive while the arm moves on."""

import math
from dataclasses import dataclass

import numpy as np

from action_images.errors import ActionImagesError

LATENCY_STREAM = 0x1A7E
"""Separates the random numbers of latencies from all others of a trial's seed."""


@dataclass(frozen=True)
class Latency:
    """A plan arrives `ms` after its observation, plus or minus up to `jitter_ms` (uniformly drawn).

    A share `lost` of the plans, in [0, 1), never arrives; this is noticed at the time of arrival. Meanwhile
    the arm follows the previous plan, or stands still without one. All 0: the world waits for each plan.
    """

    ms: float = 0.0
    jitter_ms: float = 0.0
    lost: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.ms <= 60_000 or not 0 <= self.jitter_ms <= self.ms or not 0 <= self.lost < 1:
            raise ActionImagesError(
                "a latency needs ms from 0 to 60000, jitter_ms from 0 to ms and lost from 0 to below 1, got "
                f"{self}"
            )

    def arrivals(self, control_hz: float, seed: int) -> "Arrivals":
        """The arrivals of the plans of one trial."""
        return Arrivals(self, control_hz, np.random.default_rng([seed, LATENCY_STREAM]))


@dataclass(frozen=True)
class Arrivals:
    """The latencies of one trial, drawn in order."""

    latency: Latency
    control_hz: float
    rng: np.random.Generator

    def num_steps(self) -> int:
        """The number of control steps before the next plan can be followed."""
        jitter_ms = self.latency.jitter_ms
        drawn_ms = self.latency.ms + self.rng.uniform(-jitter_ms, jitter_ms)
        return math.ceil(drawn_ms / 1e3 * self.control_hz - 1e-9)

    def is_lost(self) -> bool:
        """Whether the next plan never arrives."""
        return bool(self.rng.random() < self.latency.lost)
