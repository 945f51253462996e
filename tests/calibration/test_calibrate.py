"""Cameras of a rendered board are recovered, and what cannot be calibrated is refused with its cure."""

import math

import cv2
import numpy as np
import pytest
import torch
from board_scene import BOARD, HAND_FROM_BOARD, WORLD_FROM_BOARD, Session, fixed_session, noisy, wrist_session, write_session

from action_images.calibration import CalibrationError, Shots, calibrate, load_shots
from action_images.calibration.lens import Lens
from action_images.geometry import Pose
from action_images.geometry.rotation import from_rotation_vector

NOISE = (1e-3, math.radians(0.2))
TOOL_FROM_HAND = Pose(torch.eye(3, dtype=torch.float64), torch.tensor([0, 0, -0.1034], dtype=torch.float64))


def shots_of(session: Session, folder, world_from_tool: Pose | None = None) -> Shots:
    names = tuple(f"camera{i}" for i in range(len(session.pictures)))
    folders = write_session(folder, session, names, world_from_tool)
    return load_shots(folders, folder / "poses.csv", BOARD)


@pytest.fixture(scope="module")
def fixed(tmp_path_factory) -> Shots:
    session = fixed_session()
    return shots_of(session, tmp_path_factory.mktemp("fixed"), noisy(session.world_from_tool, *NOISE))


@pytest.fixture(scope="module")
def wrist(tmp_path_factory) -> Shots:
    session = wrist_session()
    return shots_of(session, tmp_path_factory.mktemp("wrist"), noisy(session.world_from_tool, *NOISE))


def with_poses(shots: Shots, world_from_tool: Pose) -> Shots:
    return Shots(shots.board, world_from_tool, shots.sizes, shots.sightings, shots.blind)


def check_recovered(shots: Shots, session: Session, mount, board_truth) -> None:
    result = calibrate(shots, mount)
    assert not result.outliers
    for i, camera in enumerate(result.mounted().values()):
        metres, radians = camera.world_from_camera.distance(session.truth[i].world_from_camera)
        assert metres < 5e-3
        assert math.degrees(radians) < 0.5
        # What is predicted is what is met.
        assert metres < 4 * result.refined.position_std[i]
        assert radians < 4 * result.refined.rotation_std[i]
        assert result.refined.position_std[i] < 6e-3
    assert reprojection_px(shots, session, result, board_truth) < 2.0


def reprojection_px(shots: Shots, session: Session, result, board_truth) -> float:
    """How far off (rms, px) the board's true corners are drawn, at the tool's true poses."""
    misses = []
    for sighting in shots.sightings:
        tool, index = session.world_from_tool[sighting.pose], result.names.index(sighting.camera)
        points = board_truth(tool).apply(BOARD.corners[sighting.found.ids])
        pair = (result.mounted()[sighting.camera], session.truth[index])
        found, true = (camera if result.mount == "world" else camera.moved(tool) for camera in pair)
        misses.append(found.project(points)[0] - true.project(points)[0])
    return torch.cat(misses).square().sum(-1).mean().sqrt().item()


def test_two_fixed_cameras_are_recovered_from_a_robot_that_is_off_by_1_mm(fixed):
    check_recovered(fixed, fixed_session(), "world", lambda tool: tool @ TOOL_FROM_HAND @ HAND_FROM_BOARD)


def test_a_wrist_camera_is_recovered_from_a_robot_that_is_off_by_1_mm(wrist):
    check_recovered(wrist, wrist_session(), "tool", lambda tool: WORLD_FROM_BOARD)  # noqa: ARG005


def test_rendered_corners_are_found_where_the_true_camera_projects_them(fixed):
    session, misses = fixed_session(), []
    for sighting in fixed.sightings:
        tool = session.world_from_tool[sighting.pose]
        points = (tool @ TOOL_FROM_HAND @ HAND_FROM_BOARD).apply(BOARD.corners[sighting.found.ids])
        camera = session.truth[int(sighting.camera.removeprefix("camera"))]
        misses.append(sighting.found.pixels - camera.project(points)[0])
    assert torch.cat(misses).mean(0).abs().max() < 0.1
    assert torch.cat(misses).norm(dim=-1).quantile(0.95) < 0.5


def test_given_intrinsics_are_kept(fixed):
    truth = fixed_session().truth
    result = calibrate(fixed, "world", {"camera1": truth[1]})
    assert torch.allclose(result.mounted()["camera1"].intrinsics, truth[1].intrinsics)
    assert not torch.allclose(result.mounted()["camera0"].intrinsics, truth[0].intrinsics)


def test_a_picture_with_the_wrong_pose_is_named_and_left_out_only_when_asked(fixed):
    moved = Pose(fixed.world_from_tool.rotation, fixed.world_from_tool.translation.clone())
    moved.translation[5, 0] += 0.04
    wrong = {sighting.picture for sighting in fixed.sightings if sighting.pose == 5}
    assert wrong
    kept = calibrate(with_poses(fixed, moved), "world")
    assert {residual.sighting.picture for residual in kept.outliers} == wrong
    assert not kept.dropped
    left_out = calibrate(with_poses(fixed, moved), "world", drop_outliers=True)
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


def test_poses_of_another_order_are_refused(fixed):
    shuffled = fixed.world_from_tool[torch.randperm(16)]
    with pytest.raises(CalibrationError, match="do pictures and poses belong together"):
        calibrate(with_poses(fixed, shuffled), "world")


def bent_session(session: Session, radial: tuple[float, float]) -> tuple[Session, Lens]:
    """The same pictures as a lens with distortion takes them."""
    matrix = session.truth.intrinsics[0].double()
    lens = Lens(matrix.diagonal()[:2], matrix[:2, 2], torch.tensor(radial, dtype=torch.float64))
    height, width = session.truth.size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([x, y], -1).reshape(-1, 1, 2)
    back = cv2.undistortPoints(pixels, matrix.numpy(), np.array([*radial, 0, 0]), P=matrix.numpy()).reshape(height, width, 2) - 0.5
    warp = lambda image: cv2.remap(np.ascontiguousarray(image.movedim(0, -1).numpy()), back.astype(np.float32), None, cv2.INTER_CUBIC)  # noqa: E731
    pictures = [[torch.from_numpy(warp(image)).movedim(-1, 0) for image in camera] for camera in session.pictures]
    return Session(torch.stack([torch.stack(camera) for camera in pictures]), session.world_from_tool, session.truth), lens


def test_a_lens_that_is_no_pinhole_is_refused_or_straightened(tmp_path):
    straight = fixed_session()
    bent, lens = bent_session(straight, (-0.25, 0.08))
    shots = shots_of(bent, tmp_path)
    with pytest.raises(CalibrationError, match=r"bends the picture by up to [\d.]+ px.*--straighten"):
        calibrate(shots, "world")
    result = calibrate(shots, "world", bent=True)
    everywhere = torch.tensor([[200.0, 150.0], [450.0, 350.0], [320.0, 100.0]], dtype=torch.float64)
    for i, camera in enumerate(result.mounted().values()):
        found = result.refined.unknowns.lens[i]
        assert (found.bent(everywhere) - everywhere - lens.bent(everywhere) + everywhere).norm(dim=-1).max() < 1.0
        metres, radians = camera.world_from_camera.distance(straight.truth[i].world_from_camera)
        assert metres < 5e-3
        assert math.degrees(radians) < 0.5
