"""Rotations survive every notation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from action_images.geometry import rotation as r
from scenes import generator, rotations, seeds

NOTATIONS = {
    "euler": (r.to_euler_xyz, r.from_euler_xyz),
    "quaternion": (r.to_quaternion_xyzw, r.from_quaternion_xyzw),
    "six numbers": (r.to_six_numbers, r.from_six_numbers),
    "rotation vector": (r.to_rotation_vector, r.from_rotation_vector),
}


@pytest.mark.parametrize("name", NOTATIONS)
@given(seed=seeds)
def test_there_and_back_is_the_identity(name, seed):
    there, back = NOTATIONS[name]
    matrix = rotations(7, seed=seed)
    torch.testing.assert_close(back(there(matrix)), matrix, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", NOTATIONS)
def test_half_turns_and_gimbal_lock_survive(name):
    there, back = NOTATIONS[name]
    signs = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    quarter = r.from_euler_xyz(
        torch.tensor([[0.3, torch.pi / 2, 0.0], [-0.7, -torch.pi / 2, 0.0]], dtype=torch.float64)
    )
    matrix = torch.cat([torch.diag_embed(signs), quarter])
    torch.testing.assert_close(back(there(matrix)), matrix, atol=1e-7, rtol=0)


def test_notations_agree_with_scipy():
    matrix = rotations(50)
    scipy = Rotation.from_matrix(matrix.numpy())
    torch.testing.assert_close(r.to_euler_xyz(matrix), torch.from_numpy(scipy.as_euler("xyz")))
    torch.testing.assert_close(r.to_quaternion_xyzw(matrix), torch.from_numpy(scipy.as_quat(canonical=True)))
    torch.testing.assert_close(r.to_rotation_vector(matrix), torch.from_numpy(scipy.as_rotvec()))


def test_notations_equal_the_release(golden):
    numbers = golden("encode")
    torch.testing.assert_close(
        r.from_euler_xyz(numbers["actions"][:, 3:6]), numbers["rotation"], atol=1e-12, rtol=0
    )
    torch.testing.assert_close(
        r.from_quaternion_xyzw(numbers["quat_xyzw"]), numbers["rotation"], atol=1e-12, rtol=0
    )


@given(seed=seeds, angle=st.floats(1e-9, 3.1))
def test_the_angle_between_two_rotations_is_the_turn_that_separates_them(seed, angle):
    axis = torch.randn(3, generator=generator(seed), dtype=torch.float64)
    turn = r.from_rotation_vector(axis / axis.norm() * angle)
    start = rotations(seed=seed)
    torch.testing.assert_close(
        r.angle_between(start, start @ turn), torch.tensor(angle, dtype=torch.float64), atol=1e-12, rtol=1e-6
    )


@given(seed=seeds)
def test_the_nearest_rotation_of_a_rotation_is_itself_and_of_anything_is_proper(seed):
    matrix = rotations(4, seed=seed)
    torch.testing.assert_close(r.nearest_rotation(matrix), matrix, atol=1e-12, rtol=0)
    rough = r.nearest_rotation(torch.randn(9, 3, 3, generator=generator(seed), dtype=torch.float64))
    torch.testing.assert_close(
        rough @ rough.mT, torch.eye(3, dtype=torch.float64).expand(9, 3, 3), atol=1e-10, rtol=0
    )
    assert (torch.linalg.det(rough) > 0).all()
