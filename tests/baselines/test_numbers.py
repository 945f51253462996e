"""A path in numbers: there and back, the same in any world frame, and at rest where nothing moves."""

import torch

from action_images.baselines.numbers import from_numbers, reference, to_numbers, tool_now
from action_images.geometry import Pose
from action_images.geometry.rotation import from_euler_xyz
from small_scenes import scenes


def test_numbers_and_back_is_the_same_path():
    sample = scenes(3)
    path, first = sample.trajectory, reference(sample.cameras)
    back = from_numbers(to_numbers(path, first), path[:, :1], first)
    metres, radians = back.world_from_tool.distance(path.world_from_tool)
    assert metres.max() < 1e-5
    assert radians.max() < 1e-3
    assert torch.equal(back.opening, path.opening)


def test_the_numbers_do_not_know_how_the_world_lies():
    sample = scenes(2)
    other = Pose(from_euler_xyz(torch.tensor([0.3, -0.2, 2.0])), torch.tensor([1.0, -3.0, 0.5]))
    moved = sample.moved(other.expand(2))
    plain, turned = ((one.trajectory, reference(one.cameras)) for one in (sample, moved))
    torch.testing.assert_close(to_numbers(*turned), to_numbers(*plain), atol=1e-5, rtol=0)
    torch.testing.assert_close(tool_now(*turned), tool_now(*plain), atol=1e-5, rtol=0)


def test_a_tool_at_rest_is_no_move_and_no_turn():
    sample = scenes(2)
    still = sample.trajectory[:, [0] * 4]
    numbers = to_numbers(still, reference(sample.cameras))
    torch.testing.assert_close(
        numbers[..., :9], torch.tensor([0.0, 0, 0, 1, 0, 0, 0, 1, 0]).expand(2, 4, 9), atol=1e-5, rtol=0
    )


def test_a_move_along_the_cameras_view_is_along_its_third_axis():
    sample = scenes(1)
    first = reference(sample.cameras)
    path = sample.trajectory[:, [0, 0]]
    ahead = path.world_from_tool.translation.clone()
    ahead[:, 1] += 0.25 * first.rotation[..., 2]
    moved = to_numbers(type(path)(Pose(path.world_from_tool.rotation, ahead), path.opening), first)
    torch.testing.assert_close(moved[0, 1, :3], torch.tensor([0.0, 0.0, 0.25]), atol=1e-5, rtol=0)
