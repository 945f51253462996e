"""Positions of tracked features in the tool for an assumed camera."""

import numpy as np
from jaxtyping import Float

from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import LEAST_DEPTH, NOWHERE_PX, Pinhole

SPREAD = 0.3
"""Expected distance of points from the tool's origin (standard deviation, m): a weak prior."""
ERROR_PX = 0.35
"""Accuracy of a single feature location."""
SOFT_PX = 0.7
"""Larger residuals count less (Cauchy)."""


def triangulate(
    camera: Pinhole,
    seen: Observations,
    weight: Float[np.ndarray, "seen"] | None = None,
    *,
    error_px: float = 2.0,
) -> Float[np.ndarray, "point 3"]:
    """Each point (m, in the tool) by linear least squares, with `SPREAD` as the prior."""
    in_camera = camera.rotation @ seen.rotation
    origin = seen.position @ camera.rotation.T + camera.translation
    ray = (seen.pixels - camera.centre) / camera.focals
    ray = ray / (1 + camera.radial * (ray**2).sum(-1, keepdims=True))
    scale = camera.focals / np.maximum(np.abs(origin[:, 2:3]), LEAST_DEPTH)
    left = (in_camera[:, :2] - ray[:, :, None] * in_camera[:, 2:3]) * scale[:, :, None]
    right = -(origin[:, :2] - ray * origin[:, 2:3]) * scale
    if weight is not None:
        left, right = left * weight[:, None, None], right * weight[:, None]
    prior = np.eye(3) * (error_px / SPREAD) ** 2
    normal = seen.summed(np.einsum("nki,nkj->nij", left, left)) + prior
    moment = seen.summed(np.einsum("nki,nk->ni", left, right))
    return np.linalg.solve(normal, moment[..., None])[..., 0]


def fit_points(camera: Pinhole, seen: Observations, rounds: int = 3) -> Float[np.ndarray, "point 3"]:
    """Each point, with less weight on observations that fit badly."""
    points = triangulate(camera, seen)
    for _ in range(rounds):
        residual = residual_px(camera, seen, points)
        weight = (1 + (residual**2).sum(-1) / SOFT_PX**2) ** -0.5
        points = triangulate(camera, seen, weight)
    return points


def residual_px(
    camera: Pinhole, seen: Observations, points: Float[np.ndarray, "point 3"]
) -> Float[np.ndarray, "seen 2"]:
    """Projected minus seen; `NOWHERE_PX` for points that would lie behind the camera."""
    pixels, depth = camera.project(in_world(seen, points))
    residual = pixels - seen.pixels
    residual[depth < LEAST_DEPTH] = NOWHERE_PX
    return residual


def in_world(seen: Observations, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "seen 3"]:
    """The world position (m) of each observation's point."""
    return np.einsum("nij,nj->ni", seen.rotation, points[seen.point]) + seen.position


def point_errors(
    camera: Pinhole, seen: Observations, points: Float[np.ndarray, "point 3"]
) -> Float[np.ndarray, "point"]:
    """The standard deviation (m) of each point along its worst direction, given an exact camera."""
    _, by_point = camera.derivatives(in_world(seen, points))
    change = by_point @ camera.rotation @ seen.rotation
    information = seen.summed(np.einsum("nki,nkj->nij", change, change)) / ERROR_PX**2
    return np.linalg.eigvalsh(np.linalg.inv(information + np.eye(3)))[:, -1] ** 0.5
