"""A camera that was bumped is told by the first episode after it; one that stands still never is."""

import math
from dataclasses import replace

import numpy as np
import pytest

from action_images.calibration.from_motion.bump import Bump, find_bump
from action_images.calibration.from_motion.compare import compare_gathered
from action_images.calibration.from_motion.gather import Gathered
from action_images.calibration.from_motion.judge import MOVED_CAMERA, judge
from action_images.calibration.from_motion.kept import Seen
from action_images.calibration.from_motion.observations import Observations, observe
from action_images.calibration.from_motion.pinhole import Pinhole, rotation_of
from action_images.calibration.from_motion.search import calibrate_from_motion
from action_images.calibration.from_motion.tracks import Followed, Track
from action_images.calibration.from_motion.view import Asked
from motion_scene import SIZE, hand, paths, tracks, truth

CAMERA = truth()
POSES = paths(10, num_frames=24)
IDS = [f"e{number}" for number in range(len(POSES))]


def turned(degrees: float, about: tuple[float, float, float]) -> Pinhole:
    """The camera turned about its own centre."""
    turn = rotation_of(np.radians(degrees) * np.array(about) / np.linalg.norm(about))
    return replace(CAMERA, rotation=turn @ CAMERA.rotation, translation=turn @ CAMERA.translation)


def followed(after: Pinhole, first: int, seed: int = 0) -> list[list[Track]]:
    """Tracks of all episodes; from the `first` on the camera is another."""
    points = hand(10)
    before = tracks(CAMERA, POSES[:first], points, noise_px=0.2, wrong=0.2, seed=seed)
    return before + tracks(after, POSES[first:], points, noise_px=0.2, wrong=0.2, seed=seed + 1)


def seen(after: Pinhole, first: int, seed: int = 0) -> Observations:
    return observe(followed(after, first, seed), POSES)


def bump(after: Pinhole, first: int, seed: int = 0) -> Bump | None:
    return find_bump(CAMERA, seen(after, first, seed), IDS)


@pytest.mark.parametrize("seed", range(3))
def test_a_still_camera_is_not_bumped(seed):
    assert bump(CAMERA, 6, seed) is None


@pytest.mark.parametrize("about", [(1.0, 0.0, 0.0), (0.3, -1.0, 0.1), (0.5, 0.5, 1.0)])
@pytest.mark.parametrize(("degrees", "first"), [(0.5, 5), (1.0, 7), (3.0, 4)])
def test_a_bump_is_told_by_its_episode_and_its_size(degrees, first, about):
    after = turned(degrees, about)
    found = bump(after, first)
    assert found is not None
    assert found.episode == f"e{first}"
    places = np.concatenate([path[:, :3, 3] for path in POSES])
    shift = np.median(after.project(places)[0] - CAMERA.project(places)[0], axis=0)
    assert math.dist(found.shift_px, shift) < 0.3 * np.linalg.norm(shift) + 0.3
    assert found.num_moved > 2 * found.num_still


def test_few_tracks_tell_no_bump():
    few = seen(turned(1.0, (1.0, 0.0, 0.0)), 6)
    assert find_bump(CAMERA, few.in_episodes([0, 1, 2, 8]), IDS) is None
    assert find_bump(CAMERA, few.of_points(np.arange(4)), IDS) is None


def gathered(after: Pinhole, first: int) -> Gathered:
    episodes = []
    for name, path, mine in zip(IDS, POSES, followed(after, first), strict=True):
        speed = np.linalg.norm(np.diff(path[:, :3, 3], axis=0, prepend=path[:1, :3, 3]), axis=1)
        view = Followed(tuple(mine), np.arange(len(path)), speed)
        episodes.append(Seen(name, 20.0, path, {"left": SIZE}, {"left": view}))
    return Gathered(episodes, num_episodes=len(episodes))


def test_check_and_calibration_name_the_episode_and_a_cure():
    moved = gathered(turned(1.0, (1.0, 0.2, 0.0)), 7)
    (found,) = compare_gathered(moved, {"left": CAMERA.camera(SIZE)}, num_workers=0)
    assert found.is_off
    assert found.sentence().startswith("left: from e7 on the tool is seen ")
    assert "Split the set there" in found.cure()
    result = calibrate_from_motion(moved, {"left": Asked(start=CAMERA)}, search=False)
    message = next(one.message for one in judge(result) if one.kind == MOVED_CAMERA)
    assert message.startswith("from e7 on the tool is seen ")
    assert "has the camera been moved?" in message
    (right,) = compare_gathered(gathered(CAMERA, 7), {"left": CAMERA.camera(SIZE)}, num_workers=0)
    assert right.bump is None
    assert not right.is_off
    assert replace(right, bump=found.bump).is_off
