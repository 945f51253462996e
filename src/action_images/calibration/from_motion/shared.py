"""Points of the tool that several episodes show, which are on the hand for certain."""

import numpy as np
from jaxtyping import Float, Int

from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.points import fit_points, point_errors, residual_px

LEAST_TRACKS = 5
LEAST_EPISODES = 3
"""A shared point has at least this many tracks in this many episodes."""
MOST_POINTS = 60
FITS_PX = 0.8
"""Largest rms error of tracks that are clustered, each fitted by a point of its own."""
LEAST_SURE = 0.006
"""Largest uncertainty in m of a clustered point."""
FARTHEST = 0.3
"""Distance in m from the tool's origin within which points are on the hand."""
MOST_CLUSTERED = 3000


def cluster(
    camera: Pinhole, seen: Observations, *, radius: float, rng: np.random.Generator
) -> Float[np.ndarray, "shared 3"]:
    """The positions (m, in the tool) at which tracks of several episodes agree within `radius` (m)."""
    from scipy.spatial import KDTree

    points = fit_points(camera, seen)
    rms = seen.rms(np.clip(residual_px(camera, seen, points), -50, 50))
    good = (rms < FITS_PX) & (np.linalg.norm(points, axis=1) < FARTHEST)
    good &= point_errors(camera, seen, points) < LEAST_SURE
    chosen = np.flatnonzero(good)
    if len(chosen) > MOST_CLUSTERED:
        chosen = np.sort(rng.choice(chosen, MOST_CLUSTERED, replace=False))
    places, episodes = points[chosen], seen.episode_of_point[chosen]
    if len(places) < LEAST_TRACKS:
        return np.zeros((0, 3))
    near = KDTree(places).sparse_distance_matrix(KDTree(places), radius, output_type="coo_matrix")
    pairs = near.tocsr()
    pairs.data[:] = 1
    pairs.setdiag(1)
    free = np.ones(len(places))
    found: list[np.ndarray] = []
    while len(found) < MOST_POINTS:
        counts = (pairs @ free) * free
        best = int(counts.argmax())
        if counts[best] < LEAST_TRACKS:
            break
        members = pairs[best].indices[free[pairs[best].indices] > 0]
        centre = places[members].mean(0)
        members = np.flatnonzero((np.linalg.norm(places - centre, axis=1) < radius) & (free > 0))
        if len(np.unique(episodes[members])) >= LEAST_EPISODES:
            found.append(places[members].mean(0))
        free[members] = 0
        free[best] = 0
    return np.array(found).reshape(-1, 3)


def assign(
    camera: Pinhole, seen: Observations, places: Float[np.ndarray, "shared 3"], *, farthest_px: float
) -> Int[np.ndarray, "point"]:
    """For each track its best-fitting shared point, if it fits closely enough; else -1."""
    best = np.full(seen.num_points, farthest_px)
    label = np.full(seen.num_points, -1)
    for number, place in enumerate(places):
        everywhere = np.broadcast_to(place, (seen.num_points, 3))
        rms = seen.rms(np.clip(residual_px(camera, seen, everywhere), -20, 20))
        label[rms < best] = number
        best = np.minimum(best, rms)
    return label


def enough(label: Int[np.ndarray, "point"], least: int = 4) -> Int[np.ndarray, "point"]:
    """Labels with few tracks become -1."""
    used, counts = np.unique(label[label >= 0], return_counts=True)
    return np.where(np.isin(label, used[counts >= least]), label, -1)
