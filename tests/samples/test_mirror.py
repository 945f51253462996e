"""A mirrored scene is a scene: its cameras see its tool where its pictures show it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.geometry import Camera, Trajectory
from action_images.samples.mirror import mirrored, mirrored_camera, mirrored_words
from action_images.samples.sample import Sample, cut
from action_images.samples.window import Window
from recorded import SIZE, blob_centre, make_cameras, make_episode

WORLD = torch.tensor([1.0, -1.0, 1.0])


def make_sample(seed: int = 0) -> Sample:
    return cut(make_episode(seed=seed), Window("task/e0", ("front", "left"), 1, 2, 5))


@given(st.integers(0, 10_000))
def test_a_mirrored_camera_sees_mirrored_points_from_the_other_side(seed):
    generator = torch.Generator().manual_seed(seed)
    camera = make_cameras()["left"]
    intrinsics = camera.intrinsics.clone()
    intrinsics[0, 1:] += torch.randn(2, generator=generator)
    camera = Camera(intrinsics, camera.world_from_camera, camera.size)
    points = 0.3 * torch.randn(20, 3, generator=generator)
    pixels, depth = camera.project(points)
    other, same_depth = mirrored_camera(camera).check().project(WORLD * points)
    torch.testing.assert_close(other[:, 0], SIZE[1] - pixels[:, 0], atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(other[:, 1], pixels[:, 1], atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(same_depth, depth)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_mirrored_tool_is_where_the_mirrored_picture_shows_it(seed):
    sample = mirrored(make_sample(seed))
    assert sample.cameras is not None
    assert sample.trajectory is not None
    sample.trajectory.check()
    for view in range(2):
        shown = blob_centre(sample.video[view])
        projected, _ = sample.cameras[view].project(sample.trajectory.world_from_tool.translation)
        assert (shown - projected).norm(dim=-1).max() < 0.75


def test_the_fingers_change_places_and_the_tool_points_the_mirrored_way():
    before, after = make_sample(), mirrored(make_sample())
    assert before.trajectory is not None
    assert after.trajectory is not None
    old, new = before.trajectory.world_from_tool.rotation, after.trajectory.world_from_tool.rotation
    torch.testing.assert_close(new[..., 2], WORLD * old[..., 2])
    torch.testing.assert_close(new[..., 1], -WORLD * old[..., 1])
    assert torch.equal(after.trajectory.opening, before.trajectory.opening)


def test_twice_mirrored_is_the_same():
    sample, twice = make_sample(), mirrored(mirrored(make_sample()))
    assert torch.equal(twice.video, sample.video)
    assert twice.instruction == sample.instruction
    assert isinstance(twice.cameras, Camera)
    assert isinstance(sample.cameras, Camera)
    torch.testing.assert_close(twice.cameras.intrinsics, sample.cameras.intrinsics)
    torch.testing.assert_close(
        twice.cameras.world_from_camera.matrix(), sample.cameras.world_from_camera.matrix()
    )
    assert isinstance(twice.trajectory, Trajectory)
    assert isinstance(sample.trajectory, Trajectory)
    torch.testing.assert_close(twice.trajectory.to_vector(), sample.trajectory.to_vector())


def test_what_is_missing_stays_missing():
    sample = mirrored(replace(make_sample(), cameras=None, trajectory=None, instruction=None))
    assert sample.cameras is sample.trajectory is sample.instruction is None


@pytest.mark.parametrize(
    ("told", "other"),
    [
        ("turn the dial 30 degrees clockwise", "turn the dial 30 degrees counterclockwise"),
        ("Turn it anti-clockwise, then right", "Turn it clockwise, then left"),
        ("turn the tap counter clockwise", "turn the tap clockwise"),
        ("take the leftmost cup", "take the rightmost cup"),
        ("Left hand up, LEFT!", "Right hand up, RIGHT!"),
        ("put it upright on the bright plate", "put it upright on the bright plate"),
        ("open_left_drawer", "open_right_drawer"),
        ("LEFT_DRAWER_2 the_leftmost_one left2", "RIGHT_DRAWER_2 the_rightmost_one left2"),
        ("turn_clockwise_slowly", "turn_counterclockwise_slowly"),
        ("counter_clockwise_turn", "clockwise_turn"),
        ("set_upright_bright_plate", "set_upright_bright_plate"),
    ],
)
def test_words_change_their_side(told, other):
    assert mirrored_words(told) == other
