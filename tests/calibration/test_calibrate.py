"""Cameras of a rendered board are recovered, and what cannot be calibrated is refused with its cure."""

import math

import pytest
import torch

from action_images.calibration import CalibrationError, Shots, calibrate
from action_images.calibration.lens import Lens
from action_images.calibration.refine import Corners, Problem, Unknowns, _derivative
from action_images.geometry import Pose
from action_images.geometry.rotation import from_rotation_vector
from board_scene import BOARD, Session, bent_session, fixed_session, noisy, wrist_session

NOISE = (1e-3, math.radians(0.2))


def by_an_inexact_robot(session: Session) -> Shots:
    return session.shots(noisy(session.world_from_tool, *NOISE))


@pytest.fixture(scope="module")
def fixed() -> Shots:
    return by_an_inexact_robot(fixed_session())


@pytest.fixture(scope="module")
def few(fixed) -> Shots:
    """Its first eight poses: enough wherever it is not the accuracy that is judged."""
    sightings = tuple(sighting for sighting in fixed.sightings if sighting.pose < 8)
    return Shots(fixed.board, fixed.world_from_tool[:8], fixed.sizes, sightings, ())


@pytest.fixture(scope="module")
def wrist() -> Shots:
    """Twelve pictures: enough to see that it is no fixed camera, too few to be exact."""
    return by_an_inexact_robot(wrist_session(12))


def with_poses(shots: Shots, world_from_tool: Pose) -> Shots:
    return Shots(shots.board, world_from_tool, shots.sizes, shots.sightings, shots.blind)


def check_recovered(shots: Shots, session: Session) -> None:
    result = calibrate(shots, session.mount)
    assert not result.outliers
    for i, camera in enumerate(result.mounted().values()):
        metres, radians = camera.world_from_camera.distance(session.truth[i].world_from_camera)
        assert metres < 5e-3
        assert math.degrees(radians) < 0.5
        # What is predicted is what is met.
        assert metres < 4 * result.refined.position_std[i]
        assert radians < 4 * result.refined.rotation_std[i]
        assert result.refined.position_std[i] < 6e-3
        assert session.miss_px(i, camera) < 2.0


def test_two_fixed_cameras_are_recovered_from_a_robot_that_is_off_by_1_mm(fixed):
    check_recovered(fixed, fixed_session())


@pytest.mark.slow
def test_a_wrist_camera_is_recovered_from_a_robot_that_is_off_by_1_mm():
    check_recovered(by_an_inexact_robot(wrist_session()), wrist_session())


def test_residuals_change_as_plain_differences_say():
    generator = torch.Generator().manual_seed(0)
    random = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    poses = lambda num: Pose(from_rotation_vector(0.1 * random(num, 3)), random(num, 3))  # noqa: E731
    corners = Corners(
        torch.tensor([0, 1, 0, 1, 1]), torch.tensor([0, 0, 1, 2, 2]), random(5, 3), 500 * random(5, 2)
    )
    lens = Lens(500 + random(2, 2), 200 + random(2, 2), 0.1 * random(2, 2))
    before_the_eye = Pose(
        torch.eye(3, dtype=torch.float64).expand(2, 3, 3),
        torch.tensor([0.0, 0.0, -5.0]).double().expand(2, 3),
    )
    start = Unknowns(lens, before_the_eye, poses(1)[0], poses(3))
    for mount in ("world", "tool"):
        problem = Problem(corners, poses(3), mount, pose_std=NOISE, free=(True, True), bent=True)
        step, width = 0.05 * random(6 * (2 + 2 + 1 + 3)), 1e-6
        nudges = width * torch.eye(len(step), dtype=torch.float64)
        after, before = (
            [problem.residual_px(start.moved(step + sign * nudge)) for nudge in nudges] for sign in (1, -1)
        )
        expected = (torch.stack(after, -1) - torch.stack(before, -1)) / (2 * width)
        assert torch.allclose(_derivative(problem, start, step), expected, rtol=1e-5, atol=1e-5)


def test_rendered_corners_are_found_where_the_true_camera_projects_them(fixed):
    session, misses = fixed_session(), []
    for sighting in fixed.sightings:
        points = session.world_from_board[sighting.pose].apply(BOARD.corners[sighting.found.ids])
        camera = session.truth[int(sighting.camera.removeprefix("camera"))]
        misses.append(sighting.found.pixels - camera.project(points)[0])
    assert torch.cat(misses).mean(0).abs().max() < 0.1
    assert torch.cat(misses).norm(dim=-1).quantile(0.95) < 0.5


def test_given_intrinsics_are_kept(few):
    truth = fixed_session().truth
    result = calibrate(few, "world", {"camera1": truth[1]})
    assert torch.allclose(result.mounted()["camera1"].intrinsics, truth[1].intrinsics)
    assert not torch.allclose(result.mounted()["camera0"].intrinsics, truth[0].intrinsics)


def test_a_picture_with_the_wrong_pose_is_named_and_left_out_only_when_asked(few):
    moved = Pose(few.world_from_tool.rotation, few.world_from_tool.translation.clone())
    moved.translation[5, 0] += 0.04
    wrong = {sighting.picture for sighting in few.sightings if sighting.pose == 5}
    assert wrong
    kept = calibrate(with_poses(few, moved), "world")
    assert {residual.sighting.picture for residual in kept.outliers} == wrong
    assert not kept.dropped
    left_out = calibrate(with_poses(few, moved), "world", drop_outliers=True)
    assert {residual.sighting.picture for residual in left_out.dropped} == wrong
    assert not wrong & {residual.sighting.picture for residual in left_out.residuals}


def test_poses_that_do_not_turn_are_refused(fixed):
    still = Pose(fixed.world_from_tool.rotation[:1].expand(16, 3, 3), fixed.world_from_tool.translation)
    with pytest.raises(CalibrationError, match=r"hardly turns.*20 degrees or more about at least two axes"):
        calibrate(with_poses(fixed, still), "world")


def test_poses_that_turn_about_one_axis_are_refused(fixed):
    angles = torch.linspace(-0.5, 0.5, 16, dtype=torch.float64)[:, None]
    turns = from_rotation_vector(angles * torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    with pytest.raises(CalibrationError, match="about one axis only"):
        calibrate(with_poses(fixed, Pose(turns, fixed.world_from_tool.translation)), "world")


def test_too_few_pictures_are_refused_and_the_blind_ones_named(fixed):
    gone = [sighting.picture for sighting in fixed.sightings if sighting.camera == "camera0"][4:]
    few = fixed.without(set(gone))
    with pytest.raises(CalibrationError, match=rf"camera0: the board is seen in 4 pictures.*{gone[0].name}"):
        calibrate(Shots(few.board, few.world_from_tool, few.sizes, few.sightings, tuple(gone)), "world")


def test_the_wrong_setting_is_refused_and_the_right_one_named(fixed, wrist):
    with pytest.raises(CalibrationError, match="use 'calibrate wrist'"):
        calibrate(wrist, "world")
    with pytest.raises(CalibrationError, match="use 'calibrate fixed'"):
        calibrate(fixed, "tool")


def test_poses_of_another_order_are_refused(few):
    with pytest.raises(CalibrationError, match="do pictures and poses belong together"):
        calibrate(with_poses(few, few.world_from_tool[torch.arange(7, -1, -1)]), "world")


def test_a_lens_that_is_no_pinhole_is_refused_or_straightened():
    straight = fixed_session().camera(0).first(12)
    bent, lens = bent_session(straight, (-0.25, 0.08))
    with pytest.raises(CalibrationError, match=r"bends the picture by up to [\d.]+ px.*--straighten"):
        calibrate(bent.shots(), "world")
    result = calibrate(bent.shots(), "world", bent=True)
    everywhere = torch.tensor([[200.0, 150.0], [450.0, 350.0], [320.0, 100.0]], dtype=torch.float64)
    found = result.refined.unknowns.lens[0]
    assert (found.bent(everywhere) - everywhere - lens.bent(everywhere) + everywhere).norm(dim=-1).max() < 1.0
    metres, radians = result.mounted()["camera0"].world_from_camera.distance(
        straight.truth[0].world_from_camera
    )
    assert metres < 5e-3
    assert math.degrees(radians) < 0.5
    # A given focal length says nothing of how the lens bends.
    given = {"camera0": straight.truth[0]}
    with pytest.raises(CalibrationError, match="bends the picture by up to"):
        calibrate(bent.shots(), "world", given)
    result = calibrate(bent.shots(), "world", given, bent=True)
    assert torch.allclose(result.mounted()["camera0"].intrinsics, given["camera0"].intrinsics)
    metres, _ = result.mounted()["camera0"].world_from_camera.distance(given["camera0"].world_from_camera)
    assert metres < 5e-3
    other = {"camera0": straight.truth[0].resize(720, 1280)}
    with pytest.raises(CalibrationError, match="given for pictures of"):
        calibrate(bent.shots(), "world", other)


def test_a_camera_whose_place_is_left_uncertain_is_refused():
    with pytest.raises(CalibrationError, match="leave its position uncertain by"):
        calibrate(fixed_session().first(8).shots(), "world", pose_std=(0.1, math.radians(10)))
