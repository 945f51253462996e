"""Joint fit of camera and tool points (bundle adjustment), robust against other motion."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.points import ERROR_PX, SPREAD, in_world, residual_px

NUM_NUMBERS = 10
"""Turn (3), shift (3), log focal length, k1, log aspect, and the pictures' delay."""
FOCAL, RADIAL, ASPECT, DELAY = 6, 7, 8, 9
CLICK_ERROR_PX = 1.5
"""Accuracy of a person's click on the tool's origin."""
LEAST_GAIN = 1e-5
MOST_DAMPED = 6
"""The most steps, each shorter than the last, that are tried before the fit ends."""


@dataclass(frozen=True)
class Free:
    """The free parameters besides the camera's pose and the points."""

    focal: bool = True
    radial: bool = False
    delay: bool = False
    aspect: bool = False

    def places(self) -> np.ndarray:
        """Indices of the free ones among the `NUM_NUMBERS`."""
        chosen = [self.focal, self.radial, self.aspect, self.delay]
        return np.flatnonzero([True] * 6 + chosen)


@dataclass(frozen=True)
class Adjusted:
    """A camera, its points (m, in the tool), and the shift of the poses in frames that fits the pictures."""

    camera: Pinhole
    points: Float[np.ndarray, "point 3"]
    delay: float = 0.0


def adjust(
    start: Adjusted,
    seen: Observations,
    *,
    scale_px: float,
    free: Free = Free(),
    bias_px: float = 0.0,
    clicks: Observations | None = None,
    rounds: int = 30,
    least_gain: float = LEAST_GAIN,
) -> Adjusted:
    """Improve a camera and its points until convergence or for the given number of rounds.

    Iteratively reweighted least squares (Levenberg and Marquardt). The points are eliminated (Schur's
    complement, Triggs et al. 2000, section 6.1). An observation has Cauchy's weight at `scale_px`; a whole
    track has Geman and McClure's, since a track that does not move with the tool is wrong in all frames.
    With `bias_px` a track may have a constant offset of that standard deviation. `clicks` are observations of
    the tool's origin.
    """
    problem = _Problem(seen, scale_px, free, bias_px, clicks)
    now, damping = start, 1e-3
    residual = problem.residual(now)
    weight = problem.weights(residual)
    cost = problem.cost(now, residual, weight)
    for _ in range(rounds):
        normal = problem.normal_equations(now, residual, weight)
        better: Adjusted | None = None
        for _ in range(MOST_DAMPED):
            trial = normal.solved(now, damping)
            if trial is not None and problem.cost(trial, problem.residual(trial), weight) < cost:
                better = trial
                break
            damping = min(damping * 8, 1e6)
        if better is None:
            break
        residual = problem.residual(better)
        gain = 1 - problem.cost(better, residual, weight) / max(cost, 1e-12)
        now, damping = better, max(damping / 6, 1e-9)
        weight = problem.weights(residual)
        cost = problem.cost(now, residual, weight)
        if gain < least_gain:
            break
    return now


@dataclass(frozen=True)
class _Normal:
    """The normal equations: the camera's block, the points' blocks, and their coupling."""

    camera: np.ndarray
    points: np.ndarray
    both: np.ndarray
    camera_moment: np.ndarray
    point_moment: np.ndarray
    places: np.ndarray

    def solved(self, now: Adjusted, damping: float) -> Adjusted | None:
        """One damped step; None if the equations have no solution."""
        inverse = np.linalg.inv(self.points * (1 + damping * np.eye(3)))
        through = self.both @ inverse
        reduced = self.camera + damping * np.diag(np.diag(self.camera))
        reduced = reduced - np.tensordot(through, self.both, ((0, 2), (0, 2)))
        moment = self.camera_moment - np.einsum("jab,jb->a", through, self.point_moment)
        try:
            change = np.linalg.solve(reduced, moment)
        except np.linalg.LinAlgError:
            return None
        others = self.point_moment - np.einsum("jab,a->jb", self.both, change)
        points = now.points + np.einsum("jab,jb->ja", inverse, others)
        step = np.zeros(NUM_NUMBERS)
        step[self.places] = change
        turned = np.linalg.norm(step[:3])
        step[:3] *= min(1.0, 0.3 / max(turned, 1e-9))
        step[FOCAL] = np.clip(step[FOCAL], -0.3, 0.3)
        step[RADIAL] = np.clip(step[RADIAL], -0.1, 0.1)
        step[ASPECT] = np.clip(step[ASPECT], -0.1, 0.1)
        step[DELAY] = np.clip(step[DELAY], -0.5, 0.5)
        return Adjusted(now.camera.moved(step[:DELAY]), points, now.delay + float(step[DELAY]))


class _Problem:
    def __init__(
        self,
        seen: Observations,
        scale_px: float,
        free: Free,
        bias_px: float,
        clicks: Observations | None,
    ):
        self._all, self._scale, self._places, self._bias = seen, scale_px, free.places(), bias_px
        self._is_delay_free = free.delay
        self._clicks = clicks
        begins = np.r_[True, (np.diff(seen.track) != 0) | (np.diff(seen.point) != 0)]
        self._starts, self._run = np.flatnonzero(begins), np.cumsum(begins) - 1
        self._prior = 0.25 * scale_px**2 / SPREAD**2

    def _seen(self, delay: float) -> Observations:
        return self._all.at(delay)

    def residual(self, now: Adjusted) -> np.ndarray:
        return residual_px(now.camera, self._seen(now.delay), now.points)

    def weights(self, residual: np.ndarray) -> np.ndarray:
        """Weights of observations and of whole tracks."""
        if self._bias:
            residual = self._without_bias(residual, np.ones(len(residual)))
        square = (residual**2).sum(-1)
        clipped = (np.clip(residual, -50, 50) ** 2).sum(-1)
        sums = np.add.reduceat(clipped, self._starts)
        of_track = sums / np.bincount(self._run) / (1.5 * self._scale) ** 2
        return (1 + of_track[self._run]) ** -2.0 / (1 + square / self._scale**2)

    def _without_bias(self, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Values of observations minus the constant offset of each track."""
        if not self._bias:
            return values
        wide = weight.reshape(-1, *[1] * (values.ndim - 1))
        count = np.maximum(np.add.reduceat(weight, self._starts), 1e-9)
        counts = count.reshape(-1, *[1] * (values.ndim - 1))
        mean = np.add.reduceat(values * wide, self._starts, axis=0) / counts
        share = 1 - 1 / np.sqrt(1 + counts * (self._bias / ERROR_PX) ** 2)
        return values - (share * mean)[self._run]

    def cost(self, now: Adjusted, residual: np.ndarray, weight: np.ndarray) -> float:
        fit = (weight * (self._without_bias(residual, weight) ** 2).sum(-1)).sum()
        prior = self._prior * (now.points**2).sum()
        return float(fit + prior + self._click_cost(now))

    def _click_cost(self, now: Adjusted) -> float:
        if self._clicks is None:
            return 0.0
        residual = self._click_residual(now)
        return float((self._click_weight() * (residual**2).sum(-1)).sum())

    def _click_residual(self, now: Adjusted) -> np.ndarray:
        assert self._clicks is not None
        origins = np.zeros((self._clicks.num_points, 3))
        return residual_px(now.camera, self._clicks.at(now.delay), origins)

    def _click_weight(self) -> np.ndarray:
        assert self._clicks is not None
        return np.full(len(self._clicks), (ERROR_PX / CLICK_ERROR_PX) ** 2)

    def normal_equations(self, now: Adjusted, residual: np.ndarray, weight: np.ndarray) -> _Normal:
        seen = self._seen(now.delay)
        by_camera, by_point = self._derivatives(now, seen, now.points)
        by_camera = self._without_bias(by_camera, weight)
        by_point = self._without_bias(by_point, weight)
        left = self._without_bias(residual, weight)
        flat = by_camera.reshape(-1, by_camera.shape[-1])
        transposed = (flat * np.repeat(weight, 2)[:, None]).T
        camera, camera_moment = transposed @ flat, -(transposed @ left.ravel())
        weighted = by_point * weight[:, None, None]
        points = seen.summed(weighted.swapaxes(1, 2) @ by_point) + self._prior * np.eye(3)
        point_moment = -seen.summed(np.einsum("nki,nk->ni", weighted, left)) - self._prior * now.points
        both = seen.summed(by_camera.swapaxes(1, 2) @ weighted)
        if self._clicks is not None:
            clicks = self._clicks.at(now.delay)
            origins = np.zeros((clicks.num_points, 3))
            change, _ = self._derivatives(now, clicks, origins)
            by_click, off = self._click_weight()[:, None, None] * change, self._click_residual(now)
            camera = camera + np.einsum("nki,nkj->ij", by_click, change)
            camera_moment = camera_moment - np.einsum("nki,nk->i", by_click, off)
        # Keep a focal length that cannot be separated from the distance.
        for place in np.flatnonzero(self._places >= FOCAL):
            camera[place, place] += (self._scale / 8) ** 2
        return _Normal(camera, points, both, camera_moment, point_moment, self._places)

    def _derivatives(self, now: Adjusted, seen: Observations, points: np.ndarray) -> tuple:
        by_camera, by_world = now.camera.derivatives(in_world(seen, points))
        by_world = by_world @ now.camera.rotation
        columns = [by_camera]
        if self._is_delay_free:
            motion = np.einsum("nij,nj->ni", seen.turning, points[seen.point]) + seen.moving
            columns.append(by_world @ motion[:, :, None])
        everything = np.concatenate(columns, -1)
        return everything[:, :, self._places], by_world @ seen.rotation
