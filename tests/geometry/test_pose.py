"""Poses compose like the transforms that they are, and bad ones are refused by name."""

import pytest
import torch
from hypothesis import given

from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from scenes import generator, poses, seeds


@given(seed=seeds)
def test_composition_is_application_in_order(seed):
    a_from_b, b_from_c = poses(3, seed=seed), poses(3, seed=seed + 7)
    points = torch.randn(3, 3, generator=generator(seed), dtype=torch.float64)
    torch.testing.assert_close((a_from_b @ b_from_c).apply(points), a_from_b.apply(b_from_c.apply(points)))
    torch.testing.assert_close((a_from_b @ b_from_c).matrix(), a_from_b.matrix() @ b_from_c.matrix())


@given(seed=seeds)
def test_a_pose_and_its_inverse_cancel(seed):
    pose = poses(seed=seed)
    metres, radians = (pose @ pose.inverse()).distance(Pose.identity(dtype=torch.float64))
    assert metres < 1e-12
    assert radians < 1e-7


def test_matrices_go_in_and_come_out():
    pose = poses(4)
    assert torch.equal(Pose.from_matrix(pose.matrix()).matrix(), pose.matrix())
    assert torch.equal(Pose.from_matrix(pose.matrix()[:, :3]).matrix(), pose.matrix())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: m.__setitem__((2, 0, 0), torch.nan), r"pose\[2\].*not finite"),
        (
            lambda m: m.__setitem__((1, slice(3), slice(3)), 2 * torch.eye(3)),
            r"pose\[1\].*not orthonormal.*nearest_rotation",
        ),
        (lambda m: m.__setitem__((0, slice(3), slice(3)), -torch.eye(3)), r"pose\[0\].*mirrored"),
    ],
)
def test_what_is_no_rigid_transform_is_refused(spoil, message):
    matrix = torch.eye(4).repeat(3, 1, 1)
    spoil(matrix)
    with pytest.raises(ValueError, match=message):
        Pose.from_matrix(matrix)


def test_poses_relative_to_the_first_equal_the_release(golden):
    numbers = golden("relative_pose")
    base_from_world = Pose.from_matrix(numbers["base"]).inverse()
    relative = base_from_world @ Pose.from_matrix(numbers["extrinsics"])
    torch.testing.assert_close(relative.matrix()[..., :3, :], numbers["relative"], atol=1e-12, rtol=0)


@pytest.mark.parametrize("junk", [9.0, float("nan"), float("inf")])
def test_a_last_row_that_is_not_0_0_0_1_is_refused(junk):
    matrix = torch.eye(4)
    matrix[3, 3] = junk
    with pytest.raises(ActionImagesError, match="last row"):
        Pose.from_matrix(matrix)
