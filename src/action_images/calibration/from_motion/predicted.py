"""Predicted error of a camera where the tool is drawn, without ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from action_images.calibration.from_motion.adjust import (
    CLICK_ERROR_PX,
    Adjusted,
    Free,
    adjust,
)
from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.points import fit_points, in_world, residual_px
from action_images.calibration.from_motion.solve import BIAS_PX, SCALE_PX, Solved

TRACK_ERROR_PX = 0.5
"""The error that all observations of a track share."""
FITS_PX = 1.0
USUAL_PX = 0.6
"""Upper bound of the residual of held-out tracks on the tool if poses are exact."""
ARM = 0.1
"""Metres from the tool's origin to the points that an action image draws along its axes."""
NUM_GROUPS = 5
"""Number of groups of episodes that are left out in turn."""
MOST_TOOL_POINTS = 600
HARDLY_KNOWN = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 10.0])
"""Prior standard deviations of the parameters of an adjustment: rad, m, and so on."""


@dataclass(frozen=True)
class Predicted:
    """Standard errors of drawn tool points, the median over the workspace, px and m.

    `by_information_px` follows from how the tracks constrain the camera. `by_groups_px` follows from how the
    camera changes when groups of episodes are left out (delete-group jackknife). `by_sharing_px` is how far
    the points that episodes share have moved it. `log_focal` and `delay` (frames) are standard errors by
    groups. `misfit` is how many times worse held-out episodes fit than tracks with exact poses do.
    """

    by_information_px: float
    by_groups_px: float
    by_sharing_px: float
    metres_per_px: float
    log_focal: float
    delay: float
    misfit: float = 1.0

    @property
    def px(self) -> float:
        """The larger of two bounds; on recordings with known cameras, both are wide."""
        return max(self.by_information_px * max(1.0, self.misfit), 2 * self.by_groups_px)

    @property
    def metres(self) -> float:
        """The error in m at the tool, across the line of sight."""
        return self.px * self.metres_per_px


def tool_points(poses: Sequence[Float[np.ndarray, "frame 4 4"]]) -> Float[np.ndarray, "drawn 3"]:
    """The points (m, in the world) that action images draw: tool origins, and points along +x and -z."""
    path = np.concatenate(list(poses))
    path = path[:: max(1, len(path) // (MOST_TOOL_POINTS // 3))]
    origin, rotation = path[:, :3, 3], path[:, :3, :3]
    return np.concatenate([origin, origin + ARM * rotation[:, :, 0], origin - ARM * rotation[:, :, 2]])


def distance_px(one: Pinhole, other: Pinhole, points: Float[np.ndarray, "drawn 3"]) -> float:
    """The distance between the tool as drawn by two cameras (median)."""
    apart = one.project(points)[0] - other.project(points)[0]
    return float(np.median(np.linalg.norm(apart, axis=-1)))


def steady_axis(poses: Sequence[Float[np.ndarray, "frame 4 4"]]) -> tuple[float, Float[np.ndarray, "3"]]:
    """The rms sine of the angle by which the tool's least turning direction turns, and that direction."""
    mean = np.concatenate(list(poses))[:, :3, :3].mean(0)
    values, vectors = np.linalg.eigh(np.eye(3) - mean.T @ mean)
    return float(np.sqrt(max(values[0], 0.0))), vectors[:, 0]


def predict(
    solved: Solved,
    seen: Observations,
    poses: Sequence[Float[np.ndarray, "frame 4 4"]],
    *,
    free: Free = Free(),  # noqa: B008 (a frozen value)
    clicks: Observations | None = None,
    held_out_px: float | None = None,
) -> Predicted:
    """The standard errors of a camera that was solved from these observations.

    `held_out_px` is the median residual in episodes that the camera was not fitted to.
    """
    points = tool_points(poses)
    depth = float(np.median(solved.camera.project(points)[1]))
    by_groups_px, log_focal, delay = _by_groups(solved, points, free, clicks)
    return Predicted(
        _by_information(solved, seen, points, free, clicks),
        by_groups_px,
        distance_px(solved.camera, solved.alone, points),
        depth / solved.camera.focal,
        log_focal,
        delay,
        misfit=1.0 if held_out_px is None else held_out_px / USUAL_PX,
    )


def _by_information(
    solved: Solved,
    seen: Observations,
    points: np.ndarray,
    free: Free,
    clicks: Observations | None,
) -> float:
    """The error when each track has a point of its own, without any prior, and an error that it shares.

    If an axis of the tool never turns, all points could shift along it; the camera is then just as unknown.
    """
    camera = solved.camera
    moved = seen.at(solved.delay)
    own = fit_points(camera, moved)
    fits = moved.rms(np.clip(residual_px(camera, moved, own), -50, 50)) < FITS_PX
    if not fits.any():
        return float("inf")
    weight = fits[moved.point]
    by_camera, by_world = camera.derivatives(in_world(moved, own))
    by_point = by_world @ camera.rotation @ moved.rotation
    columns = [by_camera]
    if free.delay:
        motion = np.einsum("nij,nj->ni", moved.turning, own[moved.point]) + moved.moving
        columns.append(by_world @ camera.rotation @ motion[:, :, None])
    else:
        columns.append(np.zeros((len(moved), 2, 1)))
    by_camera = np.concatenate(columns, -1)[:, :, free.places()] * weight[:, None, None]
    camera_block = np.einsum("nki,nkj->ij", by_camera, by_camera)
    point_blocks = moved.summed(np.einsum("nki,nkj->nij", by_point, by_point))[fits]
    both = moved.summed(np.einsum("nki,nkj->nij", by_camera, by_point))[fits]
    inverse = np.linalg.inv(point_blocks + 1e-6 * np.eye(3))
    reduced = camera_block - np.einsum("jab,jbc,jdc->ad", both, inverse, both, optimize=True)
    information = reduced / (moved.counts[fits].mean() * TRACK_ERROR_PX**2)
    if clicks is not None:
        change = camera.derivatives(clicks.position)[0]
        change = np.concatenate([change, np.zeros((len(clicks), 2, 1))], -1)[:, :, free.places()]
        information = information + np.einsum("nki,nkj->ij", change, change) / CLICK_ERROR_PX**2
    covariance = np.linalg.inv(information + np.diag(HARDLY_KNOWN[free.places()] ** -2.0))
    change = camera.derivatives(points)[0]
    change = np.concatenate([change, np.zeros((len(points), 2, 1))], -1)[:, :, free.places()]
    variance = np.einsum("nki,ij,nkj->n", change, covariance, change, optimize=True)
    return float(np.median(np.sqrt(np.maximum(variance, 0))))


def _by_groups(
    solved: Solved, points: np.ndarray, free: Free, clicks: Observations | None
) -> tuple[float, float, float]:
    """The spread (px, log focal length, frames) when a fifth of the episodes is left out in turn.

    The delay is free in each fit, so that its error adds to the camera's.
    """
    fits = fits_without_groups(solved, replace(free, delay=True), clicks)
    if not fits:
        return float("inf"), float("inf"), float("inf")
    pixels = np.stack([fitted.camera.project(points)[0] for fitted in fits])
    square = (len(fits) - 1) / len(fits) * ((pixels - pixels.mean(0)) ** 2).sum(0).sum(-1)
    log_focal = by_groups([float(np.log(fitted.camera.focal)) for fitted in fits])
    delay = by_groups([fitted.delay for fitted in fits])
    return float(np.median(np.sqrt(square))), log_focal, delay


def fits_without_groups(solved: Solved, free: Free, clicks: Observations | None) -> list[Adjusted]:
    """The fit again without each of `NUM_GROUPS` groups of episodes in turn; none if there are no two."""
    episodes = np.unique(solved.shared.episode)
    num_groups = min(NUM_GROUPS, len(episodes))
    if num_groups < 2:
        return []
    fits = []
    for group in range(num_groups):
        kept = ~np.isin(solved.shared.episode, episodes[group::num_groups])
        places = solved.places[np.unique(solved.shared.point[kept])]
        start = Adjusted(solved.camera, places, solved.delay)
        options = {"free": free, "bias_px": BIAS_PX, "clicks": clicks, "rounds": 25}
        fits.append(adjust(start, solved.shared.chosen(kept), scale_px=SCALE_PX, **options))
    return fits


def by_groups(values: Sequence[float]) -> float:
    """The standard error of a number of which these are the values without each group in turn."""
    return float(np.sqrt(len(values) - 1) * np.std(values))
