"""Rotations in numbers that are near each other wherever the rotations are."""

import math

import pytest
import torch

from action_images.geometry import rotation as rotations
from action_images.geometry.neighbours import steady_euler_xyz, steady_quaternions


def winding(num_frames: int = 200, seed: int = 0) -> torch.Tensor:
    """A path of rotations (frame, 3, 3) that turns over and over, 4 degrees a frame at most, in float64."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(num_frames, 3, generator=generator, dtype=torch.float64)
    # Neighbouring steps turn about nearly the same axis, so that the path goes far.
    steps = steps.cumsum(0)
    steps = 0.07 * steps / steps.norm(dim=-1, keepdim=True)
    path = [torch.eye(3, dtype=torch.float64)]
    for turn in rotations.from_rotation_vector(steps):
        path.append(turn @ path[-1])
    return torch.stack(path)


@pytest.mark.parametrize("seed", range(5))
def test_steady_numbers_are_the_same_rotations(seed: int):
    path = winding(seed=seed)
    quaternions = steady_quaternions(rotations.to_quaternion_xyzw(path))
    angles = steady_euler_xyz(rotations.to_euler_xyz(path))
    assert torch.allclose(rotations.from_quaternion_xyzw(quaternions), path, atol=1e-9)
    assert torch.allclose(rotations.from_euler_xyz(angles), path, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_neighbouring_quaternions_are_near_each_other(seed: int):
    plain = rotations.to_quaternion_xyzw(winding(seed=seed))
    steady = steady_quaternions(plain)
    assert torch.equal(steady[0], plain[0])
    # A turn by an angle moves a unit quaternion by half of it.
    assert steady.diff(dim=0).norm(dim=-1).max() < 0.04


def test_a_tool_that_points_down_and_sways_does_not_jump():
    roll = math.pi + torch.tensor([0.02, 0.01, -0.01, -0.02])
    path = rotations.from_euler_xyz(torch.stack([roll, 0 * roll, 0 * roll], -1))
    plain = rotations.to_euler_xyz(path)
    assert plain.diff(dim=0).abs().max() > 6
    assert steady_euler_xyz(plain).diff(dim=0).abs().max() < 0.021
    halfway = steady_quaternions(rotations.to_quaternion_xyzw(path))[1:3].mean(0)
    turn = rotations.angle_between(rotations.from_quaternion_xyzw(halfway), path[1])
    assert turn < 0.011


def test_a_pitch_that_passes_a_quarter_turn_goes_on():
    pitch = torch.linspace(1.4, 1.8, 9, dtype=torch.float64)
    path = rotations.from_euler_xyz(torch.stack([0 * pitch, pitch, 0 * pitch], -1))
    steady = steady_euler_xyz(rotations.to_euler_xyz(path))
    assert torch.allclose(steady[:, 1], pitch, atol=1e-9)


def test_a_single_row_stays_as_it_is():
    angles, quaternion = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.0, 0.0, 0.6, 0.8]])
    assert torch.equal(steady_euler_xyz(angles), angles)
    assert torch.equal(steady_quaternions(quaternion), quaternion)
