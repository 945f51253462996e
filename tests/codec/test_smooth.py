"""Smoothed rotations: what is right stays, errors shrink, and the known frame pulls its neighbours."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.codec.smooth import RotationSmoother
from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import angle_between, from_rotation_vector

NUM_FRAMES = 9


def turned(vectors: torch.Tensor) -> Trajectory:
    """A path at rest whose tool is turned by these rotation vectors (frame 3)."""
    return Trajectory(
        Pose(from_rotation_vector(vectors), torch.rand(len(vectors), 3)), torch.rand(len(vectors))
    )


def certain(path: Trajectory) -> torch.Tensor:
    return torch.full(path.opening.shape, 1e-3)


@given(st.integers(0, 1000))
def test_a_tool_that_does_not_turn_is_left_as_it_is(seed):
    generator = torch.Generator().manual_seed(seed)
    path = turned(torch.randn(3, generator=generator).expand(NUM_FRAMES, 3))
    smooth = RotationSmoother()(path, certain(path))
    assert angle_between(smooth.world_from_tool.rotation, path.world_from_tool.rotation).max() < 1e-3
    assert torch.equal(smooth.world_from_tool.translation, path.world_from_tool.translation)
    assert torch.equal(smooth.opening, path.opening)


@given(st.integers(0, 1000))
def test_where_the_world_is_turned_so_is_the_answer(seed):
    generator = torch.Generator().manual_seed(seed)
    path = turned(0.3 * torch.randn(NUM_FRAMES, 3, generator=generator))
    turn = from_rotation_vector(torch.randn(3, generator=generator))
    other = Trajectory(
        Pose(turn @ path.world_from_tool.rotation, path.world_from_tool.translation), path.opening
    )
    expected = turn @ RotationSmoother()(path, certain(path)).world_from_tool.rotation
    assert (
        angle_between(RotationSmoother()(other, certain(path)).world_from_tool.rotation, expected).max()
        < 1e-3
    )


def test_errors_shrink_and_those_next_to_the_known_frame_most():
    generator = torch.Generator().manual_seed(0)
    before, after = [], []
    for _ in range(100):
        path = turned(
            torch.cat([torch.zeros(1, 3), 0.1 * torch.randn(NUM_FRAMES - 1, 3, generator=generator)])
        )
        rotation = RotationSmoother()(path, certain(path)).world_from_tool.rotation
        before.append(angle_between(path.world_from_tool.rotation, torch.eye(3).expand(NUM_FRAMES, 3, 3)))
        after.append(angle_between(rotation, torch.eye(3).expand(NUM_FRAMES, 3, 3)))
    before, after = torch.stack(before).mean(0), torch.stack(after).mean(0)
    assert (after[1:] < 0.6 * before[1:]).all()
    assert after[1] < 0.5 * after[-1]


def test_a_steady_turn_lags_by_little():
    """After 1.6 s of a turn of 40 degrees the end is held back by less than 8, the middle by less than 3."""
    angles = torch.linspace(0, math.radians(40), NUM_FRAMES)
    path = turned(torch.stack([torch.zeros(NUM_FRAMES), torch.zeros(NUM_FRAMES), angles], 1))
    rotation = RotationSmoother()(path, certain(path)).world_from_tool.rotation
    lag = angle_between(rotation, path.world_from_tool.rotation).rad2deg()
    assert lag[-1] < 8
    assert lag[4] < 3


def test_frames_that_are_not_known_count_nothing_and_stay():
    path = turned(torch.zeros(NUM_FRAMES, 3))
    rotation = path.world_from_tool.rotation.clone()
    rotation[3] = torch.nan
    rotation[5] = from_rotation_vector(torch.tensor([0.0, 0.0, 2.0]))
    path = Trajectory(Pose(rotation, path.world_from_tool.translation), path.opening)
    std = certain(path)
    std[[3, 5]] = torch.inf
    smooth = RotationSmoother()(path, std).world_from_tool.rotation
    assert smooth[3].isnan().all()
    assert torch.equal(smooth[5], rotation[5])
    others = [0, 1, 2, 4, 6, 7, 8]
    assert angle_between(smooth[others], torch.eye(3).expand(7, 3, 3)).max() < 1e-3
    nothing = RotationSmoother()(path, torch.full((NUM_FRAMES,), torch.inf)).world_from_tool.rotation
    assert torch.equal(nothing[others], rotation[others])


@pytest.mark.parametrize("values", [{"width": 0.0}, {"first": -1.0}, {"width": float("nan")}])
def test_a_width_that_means_nothing_is_refused(values):
    with pytest.raises(ValueError, match="greater than 0"):
        RotationSmoother(**values)
