"""Trajectories come from vectors, go back to them, and can be asked for any moment between."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.geometry import Pose, Trajectory
from action_images.geometry import rotation as rotations
from scenes import seeds, trajectory


@given(seed=seeds, numbers=st.sampled_from([7, 8]))
def test_vectors_there_and_back(seed, numbers):
    path = trajectory(6, seed, torch.float64)
    back = Trajectory.from_vector(path.to_vector(numbers))
    torch.testing.assert_close(
        back.world_from_tool.matrix(), path.world_from_tool.matrix(), atol=1e-12, rtol=0
    )
    assert torch.equal(back.opening, path.opening)


def test_seven_numbers_equal_the_release(golden):
    numbers = golden("encode")
    path = Trajectory.from_vector(numbers["actions"])
    torch.testing.assert_close(path.world_from_tool.rotation, numbers["rotation"], atol=1e-12, rtol=0)
    # One by one: within a path, angles go on beyond half a turn.
    alone = torch.cat([path[i : i + 1].to_vector(7) for i in range(path.num_frames)])
    torch.testing.assert_close(alone, numbers["actions"], atol=1e-12, rtol=0)


@given(seed=seeds)
def test_at_whole_frames_a_trajectory_is_itself(seed):
    path = trajectory(5, seed, torch.float64)
    again = path.at(torch.arange(5, dtype=torch.float64))
    torch.testing.assert_close(
        again.world_from_tool.matrix(), path.world_from_tool.matrix(), atol=1e-9, rtol=0
    )


def test_half_way_lies_half_the_way_and_half_the_turn():
    path = trajectory(2, 3, torch.float64)
    middle = path.at(torch.tensor([0.5], dtype=torch.float64)).world_from_tool[0]
    to_start, to_stop = (middle.distance(path.world_from_tool[i]) for i in (0, 1))
    torch.testing.assert_close(to_start, to_stop)
    assert torch.allclose(2 * to_start[1], path.world_from_tool[0].distance(path.world_from_tool[1])[1])


def test_one_frame_can_be_asked_for_and_none_beyond():
    path = trajectory(1)
    assert path.at(torch.zeros(3)).num_frames == 3
    with pytest.raises(ValueError, match="frame numbers lie in"):
        path.at(torch.tensor([0.5]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v[:, :6], "7 numbers .* or 8"),
        (lambda v: v[:0], "no frames"),
        (
            lambda v: v.index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(torch.nan)),
            r"row \[1\].*not finite",
        ),
        (
            lambda v: v.index_put((torch.tensor(1), torch.tensor(3)), torch.tensor(9.0)),
            r"row \[1\].*unit length.*x y z w",
        ),
        (
            lambda v: v.index_put((torch.tensor(0), torch.tensor(7)), torch.tensor(1.5)),
            r"opening\[0\] is 1\.5.*rescale",
        ),
    ],
)
def test_bad_vectors_are_refused_with_the_row_and_the_cure(spoil, message):
    with pytest.raises(ValueError, match=message):
        Trajectory.from_vector(spoil(trajectory(3).to_vector(8)))


@pytest.mark.parametrize("numbers", [7, 8])
def test_rows_of_a_tool_that_points_down_and_sways_are_neighbours(numbers):
    roll = math.pi + torch.tensor([0.02, 0.01, -0.01, -0.02])
    down = rotations.from_euler_xyz(torch.stack([roll, 0 * roll, 0 * roll], -1))
    rows = Trajectory(Pose(down, torch.zeros(4, 3)), torch.ones(4)).to_vector(numbers)
    assert rows.diff(dim=0).norm(dim=-1).max() < 0.021
    halfway = Trajectory.from_vector((rows[1] + rows[2])[None] / 2).world_from_tool.rotation[0]
    assert rotations.angle_between(halfway, down[1]) < 0.011
