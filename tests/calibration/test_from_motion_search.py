"""How a set is read is found by its pictures, said with its margin, and refused where it is not declared."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from action_images.calibration.from_motion import trial
from action_images.calibration.from_motion.apply import apply
from action_images.calibration.from_motion.conventions import (
    DECLARED,
    REDECLARED,
    TRIED,
    read_poses,
    readings,
)
from action_images.calibration.from_motion.delay import likely_delays
from action_images.calibration.from_motion.gather import Gathered
from action_images.calibration.from_motion.judge import CONVENTION, FEW_POINTS, MIRRORED, judge
from action_images.calibration.from_motion.kept import Seen
from action_images.calibration.from_motion.observations import EVERY, observe
from action_images.calibration.from_motion.paths import jitter, repeated
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.predicted import distance_px, tool_points
from action_images.calibration.from_motion.report import usable_cameras
from action_images.calibration.from_motion.search import SetResult, calibrate_from_motion, common_focals
from action_images.calibration.from_motion.tracks import Followed
from action_images.calibration.from_motion.view import Asked
from motion_scene import SIZE, hand, paths, tracks, truth

CAMERA = truth()
HAND = hand(8)


@pytest.fixture(autouse=True)
def _few_guesses(monkeypatch):
    """Tracks that nobody had to follow are easy: a third of the guesses is enough."""
    monkeypatch.setattr(trial, "NUM_GUESSES", 70)


def gathered(
    poses: list[np.ndarray],
    declared: list[np.ndarray] | None = None,
    points: np.ndarray = HAND,
    camera: Pinhole = CAMERA,
    **scene,
) -> Gathered:
    """What would be followed of these poses, in a set that declares others; the hand's motion fills the
    picture."""
    followed = tracks(camera, poses, points, noise_px=0.2, wrong=0.2, **scene)
    late = round(scene.get("late", 0))
    episodes = []
    for number, (path, mine) in enumerate(zip(poses, followed, strict=True)):
        speed = np.linalg.norm(np.diff(path[:, :3, 3], axis=0, prepend=path[:1, :3, 3]), axis=1)
        seen = Followed(tuple(mine), np.arange(len(path)), np.roll(speed, late))
        said = path if declared is None else declared[number]
        episodes.append(Seen(f"e{number}", 20.0, said, {"left": SIZE}, {"left": seen}))
    return Gathered(episodes, num_episodes=len(episodes))


def kinds(result: SetResult, level: str) -> set[str]:
    return {finding.kind for finding in judge(result) if finding.level == level}


def test_few_points_of_a_tool_that_never_tilts_ask_for_larger_pictures():
    for tilt, asked in ((0.0, "pictures of twice the size"), (0.35, "give more episodes")):
        result = calibrate_from_motion(gathered(paths(4, tilt=tilt), points=hand(3)), search=False)
        (few,) = (one for one in judge(result) if one.kind == FEW_POINTS)
        assert asked in few.message


def test_all_conventions_can_be_undone_and_those_that_are_declared_have_words():
    assert set(REDECLARED) <= set(TRIED)
    poses = paths(2)
    for there, back in (("quaternion wxyz", "quaternion xyzw"), ("inverse rotation", "inverse rotation")):
        again = read_poses(read_poses(poses, there), back)
        assert np.allclose(again, poses, atol=1e-6)


def test_conventions_that_say_the_same_are_tried_once():
    still = [np.tile(np.eye(4), (10, 1, 1))]
    assert {reading.convention for reading in readings(still)} == {DECLARED}
    tried = readings(paths(3))
    # An axis that is reversed always is another point of the tool: no motion tells it.
    assert {reading.convention for reading in tried} == {DECLARED, *TRIED} - {"z axis reversed"}
    assert sum(reading.mirrored for reading in tried) == len(tried) / 2


@pytest.mark.parametrize("late", [-5, 0, 8])
def test_a_delay_is_guessed_by_how_much_pictures_and_tool_move(late):
    set_up = gathered(paths(4), late=late)
    followed = [one.followed["left"] for one in set_up.episodes]
    assert likely_delays(followed, [one.poses for one in set_up.episodes])[0] == late


@pytest.mark.parametrize("num_frames", [4, 9, 16])
def test_episodes_shorter_than_the_longest_delay_say_nothing_of_it(num_frames):
    short = gathered([*paths(4), paths(1, seed=1)[0][:num_frames]], late=3)
    followed = [one.followed["left"] for one in short.episodes]
    assert likely_delays(followed, [one.poses for one in short.episodes])[0] == 3


def test_a_set_that_is_read_right_is_good():
    poses = paths(8, num_frames=24)
    result = calibrate_from_motion(gathered(poses), conventions=["inverse rotation"])
    assert result.convention == DECLARED
    assert not result.ties
    assert kinds(result, "refused") == kinds(result, "warning") == set()
    (view,) = result.views
    assert view.shift == 0
    assert view.held_out_px < 0.6
    assert all(episode.fits for episode in view.episodes)
    assert sum(episode.held_out for episode in view.episodes) == 2
    cameras = usable_cameras(result, judge(result))
    assert cameras["left"].size == SIZE
    assert distance_px(view.camera, CAMERA, tool_points(poses)) < 3 * view.predicted.px


def test_quaternions_in_another_order_mirrored_and_late_are_named_and_not_used(tmp_path):
    poses = paths(6, num_frames=24)
    declared = read_poses(poses, "quaternion xyzw")
    hidden = gathered(poses, declared, mirrored=True, late=2)
    result = calibrate_from_motion(hidden, conventions=["quaternion wxyz"])
    assert result.convention == "quaternion wxyz"
    (view,) = result.views
    assert view.reading.mirrored
    assert view.shift == pytest.approx(2, abs=0.1)
    assert {"convention", "mirrored"} <= kinds(result, "refused")
    assert "delay" in kinds(result, "warning")
    assert usable_cameras(result, judge(result)) == {}
    assert usable_cameras(result, judge(result), declared=[CONVENTION]) == {}  # for it is mirrored
    assert list(usable_cameras(result, judge(result), declared=[CONVENTION, MIRRORED])) == ["left"]
    assert distance_px(view.camera, CAMERA, tool_points(poses)) < 1.0
    check_applied(tmp_path, result)


def check_applied(root: Path, result: SetResult) -> None:
    """All of it is declared where that is asked; a second run on the set so read adds to it."""
    (root / "meta").mkdir()
    (root / "meta/info.json").write_text("{}")
    path = root / "calibration.json"
    path.write_text(json.dumps({"tool": {"rotation": "quaternion_xyzw"}}))
    cameras = usable_cameras(result, judge(result), declared=[CONVENTION, MIRRORED])
    apply(root, result, cameras)
    declared = json.loads(path.read_text())
    assert declared["tool"] == {"rotation": "quaternion_wxyz"}
    assert (declared["views"]["left"]["shift"], declared["views"]["left"]["mirrored"]) == (2, True)
    path.write_text(json.dumps(declared | {"tool": {"rotation": "quaternion_xyzw"}}))
    apply(root, result, cameras)
    again = json.loads(path.read_text())["views"]["left"]
    assert (again["shift"], again.get("mirrored", False)) == (4, False)


def test_a_rough_camera_is_refined_and_its_focal_length_kept_where_that_is_asked():
    poses = paths(5)
    rough = CAMERA.moved(np.array([0.03, -0.03, 0.02, 0.03, 0.02, -0.04, 0.0, 0.0, 0.0]))
    kept = 1.004 * CAMERA.focal
    asked = {"left": Asked(start=rough, focal=kept)}
    (view,) = calibrate_from_motion(gathered(poses), asked, search=False).views
    assert view.camera.focal == kept
    assert distance_px(rough, CAMERA, tool_points(poses)) > 5
    assert distance_px(view.camera, CAMERA, tool_points(poses)) < 0.5


def test_squeezed_pictures_are_refused_unless_their_aspect_is_given():
    poses = paths(6, num_frames=24)
    narrow = gathered(poses, points=hand(), camera=replace(CAMERA, aspect=0.9))
    taken_for_square = calibrate_from_motion(narrow, search=False)
    assert "pixel shape" in kinds(taken_for_square, "refused")
    assert any("--aspect" in finding.message for finding in judge(taken_for_square))
    told = calibrate_from_motion(narrow, {"left": Asked(known_aspect=0.9)}, search=False)
    assert "pixel shape" not in kinds(told, "refused")
    (view,) = told.views
    assert distance_px(view.camera, replace(CAMERA, aspect=0.9), tool_points(poses)) < 1.0


def test_views_of_one_lens_get_the_focal_length_that_is_known_best():
    (left,) = calibrate_from_motion(gathered(paths(4, num_frames=24)), search=False).views
    worse = replace(left.predicted, log_focal=10 * left.predicted.log_focal)
    moved = replace(left.solved, camera=left.camera.moved(np.array([0, 0, 0, 0, 0, 0, 0.2, 0, 0])))
    right = replace(left, predicted=worse, solved=moved)
    first, second = common_focals([left, right])
    assert first == second
    assert left.camera.focal < first < 1.01 * left.camera.focal


def test_a_camera_that_was_moved_is_told_by_the_episodes_that_do_not_fit():
    poses = paths(9)
    first, last = gathered(poses[:6], points=hand()), poses[6:]
    moved = CAMERA.moved(np.array([0, 0.04, 0.02, 0, 0, 0, 0, 0, 0]))
    after = tracks(moved, last, hand(), noise_px=0.2)
    for number, (path, mine) in enumerate(zip(last, after, strict=True)):
        seen = Followed(tuple(mine), np.arange(len(path)), np.zeros(len(path)))
        first.episodes.append(Seen(f"late{number}", 20.0, path, {"left": SIZE}, {"left": seen}))
    result = calibrate_from_motion(first, search=False)
    (view,) = result.views
    assert [episode.id for episode in view.moved] == ["late0", "late1", "late2"]
    assert "moved camera" in kinds(result, "warning")
    assert distance_px(view.camera, CAMERA, tool_points(poses)) < 1.0


def test_a_tool_that_never_tilts_is_refused_and_clicks_are_asked_for():
    poses = paths(5, num_frames=24, tilt=0.0)
    upright = calibrate_from_motion(gathered(poses), search=False)
    assert {"steady axis", "predicted error"} <= kinds(upright, "refused")
    assert any("3 to 6 clicks" in finding.message for finding in judge(upright))


def test_poses_that_repeat_and_poses_that_jitter_are_refused():
    poses = paths(5)
    stale = [path.copy() for path in poses]
    for path in stale:
        path[3::4] = path[2::4]
    assert repeated(poses) == 0
    assert repeated(stale) == pytest.approx(0.25, abs=0.05)
    rng = np.random.default_rng(0)
    shaken = [path.copy() for path in poses]
    for path in shaken:
        path[:, :3, 3] += 3e-3 * rng.normal(size=(len(path), 3))
    seen = observe([one.followed["left"].tracks for one in gathered(poses, shaken).episodes], shaken)
    assert jitter(CAMERA, seen, EVERY) == pytest.approx(3e-3, rel=0.4)
    still = observe([one.followed["left"].tracks for one in gathered(poses).episodes], poses)
    assert jitter(CAMERA, still, EVERY) < 0.3e-3
    result = calibrate_from_motion(gathered(poses, stale), search=False)
    assert "repeated poses" in kinds(result, "refused")


def test_poses_of_other_episodes_give_no_camera():
    nothing = gathered(paths(4, num_frames=24), paths(4, num_frames=24, seed=5))
    result = calibrate_from_motion(nothing, search=False)
    assert usable_cameras(result, judge(result)) == {}
