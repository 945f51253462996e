"""Arrays, lists and dicts in place of tensors and rigs: the same numbers, or one sentence with the cure."""

import numpy as np
import pytest
import torch

from action_images.codec import draw, draw_uint8, read
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.given import rig_of
from scenes import rig, trajectory


@pytest.fixture(autouse=True)
def _as_users_run_it(monkeypatch):
    """Without the tests' checks of shapes, which refuse arrays before a constructor makes tensors of them."""
    for struct in (Camera, Pose, Trajectory):
        as_written = getattr(struct.__init__, "__wrapped__", struct.__init__)
        monkeypatch.setattr(struct, "__init__", as_written)


def as_arrays(value: Trajectory) -> Trajectory:
    """The same, given as NumPy arrays."""
    pose = value.world_from_tool
    return Trajectory(Pose(pose.rotation.numpy(), pose.translation.numpy()), value.opening.numpy())


def same(one: Trajectory, other: Trajectory) -> bool:
    return torch.equal(one.to_vector(), other.to_vector())


def test_arrays_are_drawn_and_read_as_tensors_are():
    path, cameras = trajectory(), rig()
    given = Camera(
        cameras.intrinsics.numpy(),
        Pose.from_matrix(cameras.world_from_camera.matrix().numpy()),
        cameras.size,
    )
    images = draw_uint8(as_arrays(path), given)
    assert torch.equal(images, draw_uint8(path, cameras))
    assert same(read(images.numpy(), given).trajectory, read(images, cameras).trajectory)


def test_rows_of_numbers_may_be_an_array():
    path = trajectory()
    assert same(Trajectory.from_vector(path.to_vector().numpy()), Trajectory.from_vector(path.to_vector()))


def test_arrays_are_copied():
    place = np.zeros(3)
    pose = Pose(np.eye(3), place)
    place += 1
    assert pose.translation.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("translation", "dtype"),
    [
        ([0, 0, 1], torch.float64),
        (np.array([0, 0, 1], np.float32), torch.float64),
        (np.array([0, 0, 1]), torch.float64),
    ],
)
def test_all_numbers_of_a_value_share_one_dtype(translation, dtype):
    pose = Pose(np.eye(3), translation)
    assert pose.rotation.dtype == pose.translation.dtype == dtype
    assert Pose(torch.eye(3), translation).translation.dtype == torch.float32


def test_lists_alone_are_float32():
    assert Pose([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 0, 1]).dtype == torch.float32


def test_openings_may_be_decisions():
    pose = Pose(np.broadcast_to(np.eye(3), (2, 3, 3)), np.zeros((2, 3)))
    for opening in (np.array([True, False]), torch.tensor([True, False])):
        assert Trajectory(pose, opening).opening.tolist() == [1.0, 0.0]
        assert Trajectory(pose, opening).opening.dtype == pose.dtype


def test_cameras_may_be_a_list_or_a_dict():
    path, cameras = trajectory(), rig()
    listed = [cameras[0], cameras[1]]
    named = {"left": cameras[0], "right": cameras[1]}
    images = draw_uint8(path, cameras)
    for given in (listed, tuple(listed), named):
        assert torch.equal(draw_uint8(path, given), images)
        assert same(read(images, given).trajectory, read(images, cameras).trajectory)


def test_a_still_camera_beside_a_moving_one_stands_still():
    cameras = rig()
    joined = rig_of([cameras[0], cameras[1].expand(5)])
    assert tuple(joined.batch_shape) == (2, 5)
    path = trajectory(5)
    assert torch.equal(draw(path, joined), draw(path, cameras))


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ("cameras.json", r"load_cameras\(path\)"),
        ([], "a Camera for each view"),
        ([np.eye(3)], "a Camera for each view"),
        ([rig()[0], rig()[1].resize(48, 48)], "geometry.framing"),
        ([rig()[0].expand(4), rig()[1].expand(5)], "as many frames"),
    ],
)
def test_what_is_no_rig_is_refused_with_a_cure(given, cure):
    with pytest.raises(ActionImagesError, match=cure):
        rig_of(given)


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda: Pose(np.zeros(4), np.zeros(3)).check(), "from_quaternion_xyzw"),
        (lambda: Pose(np.eye(3), np.zeros(4)).check(), r"give \(\*batch 3\)"),
        (lambda: Pose(["a", "b"], np.zeros(3)), "rows of numbers of one length"),
        (lambda: Pose([[1, 0], [0]], np.zeros(3)), "rows of numbers of one length"),
        (lambda: Pose.from_matrix(np.zeros((2, 4))), "3 x 4 or 4 x 4"),
        (lambda: Trajectory.from_vector(np.zeros((4, 6))), r"\(4, 6\)"),
    ],
)
def test_what_is_no_pose_is_refused_with_a_cure(make, cure):
    with pytest.raises(ActionImagesError, match=cure):
        make()


def test_pictures_with_colours_last_are_refused_with_the_line_that_turns_them():
    cameras, path = rig(), trajectory()
    images = draw_uint8(path, cameras).numpy()
    turned = np.moveaxis(images, -3, -1)
    with pytest.raises(ActionImagesError, match=r"numpy.moveaxis\(images, -1, -3\)"):
        getattr(read, "__wrapped__", read)(turned, cameras)
    assert same(read(np.moveaxis(turned, -1, -3), cameras).trajectory, read(images, cameras).trajectory)
