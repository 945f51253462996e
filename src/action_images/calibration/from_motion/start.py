"""A first camera without a start: guesses from few tracks, judged by all."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from action_images.calibration.from_motion.adjust import Adjusted, Free, adjust
from action_images.calibration.from_motion.observations import Observations
from action_images.calibration.from_motion.pinhole import Pinhole, rotation_of
from action_images.calibration.from_motion.points import residual_px, triangulate
from action_images.calibration.opencv import opencv

FOCAL_LENGTHS = (0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0)
"""In heights of the picture: fields of view from 80 to 19 degrees."""
NEAREST, FARTHEST = 0.2, 6.0
"""Range of distances in m between the camera and the robot's base."""
NUM_JUDGES = 150
"""Number of tracks that judge the guesses."""
WORST_PX = 8.0
"""Cap on the error of a track."""


def first_cameras(
    seen: Observations,
    size: tuple[int, int],
    *,
    seed: int,
    focal: float | None = None,
    aspect: float = 1.0,
    clicks: Observations | None = None,
    num_guesses: int = 500,
    keep: int = 4,
) -> list[Pinhole]:
    """The best cameras among many guesses, the best first; none if nothing fits at all.

    A guess takes 5 to 8 tracks for the tool's origin and solves for the camera's pose (SQPnP, Terzakis and
    Lourakis 2020) at one of a few focal lengths. Its error is about the hand's size, which is near enough to
    triangulate every track's point; the remaining residual judges the guess. `aspect` is fx / fy. Same seed,
    same cameras.
    """
    rng = np.random.default_rng(seed)
    count = seen.num_points
    judges = seen.of_points(np.sort(rng.choice(count, min(NUM_JUDGES, count), replace=False)))
    height, width = size
    # The focal length of a camera is the mean of fx and fy; shares of the height give fy.
    guessed = [share * height * float(np.sqrt(aspect)) for share in FOCAL_LENGTHS]
    focals = [focal] if focal is not None else guessed
    nowhere = Pinhole(1.0, np.eye(3), np.zeros(3), np.array([width / 2, height / 2]), aspect=aspect)
    ends = _ends_by_episode(judges)
    guesses = []
    for number in range(num_guesses):
        rows = _some_tracks(ends, rng)
        lens = replace(nowhere, focal=focals[number % len(focals)])
        camera = _guess(judges, rows, lens, clicks)
        if camera is not None:
            guesses.append((_badness(camera, judges, WORST_PX), number, camera))
    refined = []
    for _, number, camera in sorted(guesses, key=_by_badness)[:keep]:
        now = Adjusted(camera, triangulate(camera, judges))
        for scale_px in (8.0, 4.0, 2.0):
            free = Free(focal=focal is None)
            now = adjust(now, judges, scale_px=scale_px, free=free, clicks=clicks, rounds=12, least_gain=1e-3)
        refined.append((_badness(now.camera, judges, 3.0), number, now.camera))
    return [camera for _, _, camera in sorted(refined, key=_by_badness)]


def _by_badness(one: tuple[float, int, Pinhole]) -> tuple[float, int]:
    return one[:2]


def _badness(camera: Pinhole, seen: Observations, worst_px: float) -> float:
    residual = residual_px(camera, seen, triangulate(camera, seen))
    return float(np.minimum(seen.rms(np.clip(residual, -50, 50)), worst_px).mean())


def _ends_by_episode(seen: Observations) -> list[np.ndarray]:
    """The rows (track 2) of each episode at which its tracks begin and end."""
    of_point, points = seen.episode_of_point, np.arange(seen.num_points)
    first = np.searchsorted(seen.point, points)
    last = np.searchsorted(seen.point, points, side="right") - 1
    ends = np.stack([first, last], -1)
    return [ends[of_point == episode] for episode in np.unique(of_point)]


def _some_tracks(ends: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """The first and last observations of a few tracks of different episodes, if there are so many."""
    number = int(rng.integers(5, 9))
    drawn = rng.choice(len(ends), number, replace=len(ends) < number)
    return np.concatenate([ends[one][rng.integers(len(ends[one]))] for one in drawn])


def _guess(
    seen: Observations,
    rows: np.ndarray,
    lens: Pinhole,
    clicks: Observations | None,
) -> Pinhole | None:
    """The camera of this lens that sees these observations; None if there is none near the robot."""
    cv2 = opencv()
    world, pixels = seen.position[rows], seen.pixels[rows]
    if clicks is not None:
        world, pixels = np.concatenate([world, clicks.position]), np.concatenate([pixels, clicks.pixels])
    (across, down), (x, y) = lens.focals, lens.centre
    matrix = np.array([[across, 0, x], [0, down, y], [0, 0, 1]])
    try:
        found, turn, shift = cv2.solvePnP(world, pixels, matrix, None, flags=cv2.SOLVEPNP_SQPNP)
    except cv2.error:
        return None
    if not found or not NEAREST < np.linalg.norm(shift) < FARTHEST:
        return None
    return replace(lens, rotation=rotation_of(turn.ravel()), translation=shift.ravel())
