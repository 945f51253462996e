"""A model's frames become control steps: on time, smoothly, and standing still where the gripper moves."""

import pytest
import torch

from action_images.control import Gripper, bridged, to_control_steps
from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import angle_between
from action_images.structs import stack
from scenes import poses


def path(opening: list[float], seed: int = 0) -> Trajectory:
    return Trajectory(poses(len(opening), seed=seed), torch.tensor(opening, dtype=torch.float64))


def sure(path: Trajectory) -> torch.Tensor:
    return torch.ones(path.num_frames)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_every_model_frame_is_passed_at_its_time(interpolation):
    asked = path([1.0] * 9)
    steps = to_control_steps(asked, sure(asked), 5.0, 20.0, interpolation=interpolation)
    assert steps.trajectory.num_frames == 32
    assert steps.frame.tolist() == [i / 4 for i in range(1, 33)]
    metres, radians = steps.trajectory[3::4].world_from_tool.distance(asked[1:].world_from_tool)
    assert metres.max() < 1e-9
    assert radians.max() < 1e-6


def test_rates_that_are_no_multiples_of_each_other_still_meet_the_frames():
    asked = path([1.0] * 4)
    steps = to_control_steps(asked, sure(asked), 8.0, 20.0)
    assert steps.trajectory.num_frames == 7  # 3 frames of 2.5 steps
    assert steps.trajectory.world_from_tool[4].distance(asked.world_from_tool[2])[0] < 1e-9


def test_turns_are_even_and_straight_moves_are_straight():
    start, stop = poses(2, seed=3)[0], poses(2, seed=3)[1]
    asked = Trajectory(stack([start, stop]), torch.ones(2, dtype=torch.float64))
    steps = to_control_steps(asked, sure(asked), 5.0, 20.0).trajectory.world_from_tool
    angles = angle_between(start.rotation.expand(4, 3, 3), steps.rotation)
    assert torch.allclose(angles, angles[-1] * torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.float64))
    assert torch.allclose(steps.translation[1], (start.translation + stop.translation) / 2)


def test_a_cubic_path_bends_smoothly_and_a_straight_one_stays_straight():
    line = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None] * torch.tensor(
        [1.0, 2.0, -1.0], dtype=torch.float64
    )
    bent = torch.stack([line[:, 0], line[:, 0] ** 2, torch.zeros(6, dtype=torch.float64)], -1)
    kinks = []
    for positions, interpolation in ((line, "cubic"), (bent, "cubic"), (bent, "linear")):
        eye = torch.eye(3, dtype=torch.float64).expand(6, 3, 3)
        asked = Trajectory(Pose(eye, positions), torch.ones(6, dtype=torch.float64))
        steps = to_control_steps(
            asked, sure(asked), 5.0, 20.0, interpolation=interpolation
        ).trajectory.world_from_tool.translation
        kinks.append(steps.diff(dim=0).diff(dim=0).norm(dim=-1).max().item())
    assert kinks[0] < 1e-9
    assert kinks[1] < 0.6 * kinks[2]


def test_a_gripper_closes_late_and_the_tool_stands_still_around_it():
    asked = path([1.0, 1.0, 0.0, 0.0])
    gripper = Gripper(wait=2, dwell=5)
    steps = to_control_steps(asked, sure(asked), 5.0, 20.0, gripper)
    openings = steps.trajectory.opening.tolist()
    # 8 steps lead to frame 2; the last of them becomes 2 with the gripper open and 5 with it closed.
    assert openings == [1.0] * 9 + [0.0] * 9
    around = steps.trajectory[7:14].world_from_tool
    metres, radians = around.distance(asked[[2] * 7].world_from_tool)
    assert metres.max() < 1e-9
    assert radians.max() < 1e-6
    assert steps.trajectory[14].world_from_tool.distance(asked[2].world_from_tool)[0] > 1e-3
    assert steps.frame[7:14].tolist() == [2.0] * 7


def test_an_opening_between_the_two_thresholds_changes_nothing():
    gripper = Gripper(close_below=0.3, open_above=0.7)
    assert (
        gripper.decide(torch.tensor([1.0, 0.5, 0.31, 0.29, 0.5, 0.69, 0.71, 0.5])).tolist()
        == [True] * 3 + [False] * 3 + [True] * 2
    )
    assert gripper.decide(torch.tensor([0.2, 0.5])).tolist() == [False, False]


def test_the_confidence_of_a_step_is_the_lesser_of_its_two_frames():
    asked = path([1.0] * 3)
    steps = to_control_steps(asked, torch.tensor([1.0, 0.5, 0.8]), 5.0, 20.0)
    assert steps.confidence.tolist() == pytest.approx([0.5] * 7 + [0.8])


def test_unknown_poses_are_laid_between_their_known_neighbours_and_the_last_known_one_is_held():
    asked = path([1.0] * 6)
    known = torch.tensor([True, False, False, True, False, False])
    spoilt = Trajectory(
        asked.world_from_tool.map(lambda t: torch.where(known.view(-1, *[1] * (t.ndim - 1)), t, torch.nan)),
        asked.opening,
    )
    filled = bridged(spoilt, known)
    third = asked[[0, 3]].at(torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)).world_from_tool
    for got, want in ((filled[1:3], third), (filled[4:], asked[[3, 3]].world_from_tool)):
        assert got.world_from_tool.distance(want)[0].max() < 1e-9
    assert (
        bridged(asked, torch.ones(6, dtype=torch.bool))
        .world_from_tool.distance(asked.world_from_tool)[0]
        .max()
        < 1e-12
    )


def test_numbers_that_are_not_finite_never_become_control_steps():
    asked = path([1.0] * 3)
    spoilt = Trajectory(asked.world_from_tool.map(lambda t: t * torch.nan), asked.opening)
    with pytest.raises(ValueError, match="not finite"):
        to_control_steps(spoilt, sure(asked), 5.0, 20.0)
    with pytest.raises(ValueError, match="must be known"):
        bridged(spoilt, torch.tensor([False, True, True]))
    with pytest.raises(ValueError, match="leads nowhere"):
        to_control_steps(asked[:1], sure(asked[:1]), 5.0, 20.0)
    with pytest.raises(ValueError, match="a gripper takes"):
        Gripper(close_below=0.8, open_above=0.2)
