"""Action images are exactly the formula's, wherever the points lie."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.codec import RELEASED, ActionImageFormat, draw, draw_uint8
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_rotation_vector
from scenes import rig, seeds, trajectory


def plain(path: Trajectory, cameras: Camera, format: ActionImageFormat) -> torch.Tensor:
    """The formula pixel by pixel, for (frame) and (view): the oracle of `draw`."""
    height, width = cameras.size
    lines = (torch.arange(size, dtype=path.dtype) + format.pixel_centre for size in (height, width))
    y, x = torch.meshgrid(*lines, indexing="ij")
    images = torch.zeros(*cameras.batch_shape, path.num_frames, 3, height, width, dtype=path.dtype)
    for view in range(len(images)):
        for frame in range(path.num_frames):
            pixels, depth = cameras[view].project(format.points(path.world_from_tool[frame]))
            for channel, ((u, v), z) in enumerate(zip(pixels, depth, strict=True)):
                if z > 0:
                    spot = -((x - u) ** 2 + (y - v) ** 2) / (2 * format.sigma_px(cameras.size) ** 2)
                    images[view, frame, channel] = spot.exp()
            blue = images[view, frame, 2]
            blue[blue <= format.gripper_level] = format.level(path.opening[frame])
    return images


def test_images_equal_the_release(golden):
    numbers = golden("encode")
    cameras = Camera(numbers["intrinsics"], Pose.from_matrix(numbers["extrinsics"]), (64, 64))
    path = Trajectory.from_vector(numbers["actions"])
    for dtype in (torch.float64, torch.float32):
        images = draw(path.to(dtype), cameras.to(dtype), format=RELEASED)
        torch.testing.assert_close(images.movedim(-3, -1).float(), numbers["image"], atol=1e-6, rtol=0)


@given(
    seed=seeds, size=st.sampled_from([(32, 32), (40, 64), (65, 33)]), spread=st.sampled_from([0.1, 1.0, 3.0])
)
def test_images_are_the_formula_even_far_outside_and_behind(seed, size, spread):
    path, cameras = trajectory(3, seed, torch.float64, spread), rig(2, size, torch.float64)
    torch.testing.assert_close(
        draw(path, cameras), plain(path, cameras, ActionImageFormat()), atol=1e-12, rtol=0
    )


@given(seed=seeds, spread=st.sampled_from([0.1, 1.0]))
def test_eight_bits_are_the_same_images_rounded(seed, spread):
    path, cameras = trajectory(3, seed, spread=spread), rig(2, (40, 64))
    for format in (ActionImageFormat(), RELEASED):
        assert torch.equal(
            draw_uint8(path, cameras, format), (draw(path, cameras, format) * 255).round().to(torch.uint8)
        )


def test_axes_are_batch_view_frame():
    path, cameras = trajectory(4), rig(2)
    one = draw(path, cameras)
    assert one.shape == (2, 4, 3, 96, 96)
    assert torch.equal(draw(path, cameras[1]), one[1])
    assert torch.equal(draw(path, cameras[:, None].expand(2, 4)), one)
    batch = draw(path[None].expand(3, 4), cameras)
    assert torch.equal(batch, one.expand(3, -1, -1, -1, -1, -1))
    assert torch.equal(draw(path[None].expand(3, 4), cameras[0]), one[0].expand(3, -1, -1, -1, -1))


def test_a_moving_camera_is_taken_frame_by_frame():
    path, cameras = trajectory(3), rig(3)
    moving = draw(path, cameras[None])
    for frame in range(3):
        assert torch.equal(moving[0, frame], draw(path[frame : frame + 1], cameras[frame])[0])


def test_a_point_behind_the_camera_is_not_drawn():
    camera = rig(1)[0]
    behind = camera.unproject(torch.tensor([48.0, 48.0]), torch.tensor(-0.5))
    images = draw(Trajectory(Pose(torch.eye(3)[None], behind[None]), torch.ones(1)), camera)
    assert (images[0, :2] == 0).all()
    assert (images[0, 2] == 0.25).all()


def test_a_point_that_is_not_finite_is_not_drawn():
    path = trajectory(1)
    path.world_from_tool.translation[0, 1] = torch.nan
    images = draw(path, rig(2))
    assert (images[:, :, :2] == 0).all()
    assert images.isfinite().all()


def test_the_gripper_shows_as_the_level_and_the_release_makes_it_binary():
    path = Trajectory(trajectory(4).world_from_tool, torch.tensor([0.0, 0.4, 0.6, 1.0]))
    corner = draw(path, rig(2))[:, :, 2, 0, 0]
    torch.testing.assert_close(corner, torch.tensor([0.0, 0.1, 0.15, 0.25]).expand(2, 4))
    assert draw(path, rig(2), RELEASED)[0, :, 2, 0, 0].tolist() == [0.0, 0.0, 0.25, 0.25]


def test_gradients_match_finite_differences():
    cameras = rig(2, (24, 24), torch.float64)
    start = trajectory(2, 1, torch.float64)

    def images(turn: torch.Tensor, shift: torch.Tensor, opening: torch.Tensor) -> torch.Tensor:
        pose = start.world_from_tool
        moved = Pose(from_rotation_vector(turn) @ pose.rotation, pose.translation + shift)
        # A fixed random projection: the whole image would be 7,000 finite differences for each input.
        weights = torch.randn(
            2, 2, 3, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        return (draw(Trajectory(moved, opening), cameras) * weights).sum()

    inputs = [
        torch.zeros(2, 3, dtype=torch.float64),
        torch.zeros(2, 3, dtype=torch.float64),
        start.opening.clone(),
    ]
    assert torch.autograd.gradcheck(
        images, [tensor.requires_grad_() for tensor in inputs], eps=1e-7, atol=1e-5
    )


def test_gradients_stay_finite_for_points_behind_and_far_away():
    path = trajectory(3, spread=3.0)
    shift = torch.zeros(3, requires_grad=True)
    pose = Pose(path.world_from_tool.rotation, path.world_from_tool.translation + shift)
    draw(Trajectory(pose, path.opening), rig(2)).sum().backward()
    assert shift.grad is not None
    assert shift.grad.isfinite().all()


def test_the_image_is_the_same_with_and_without_gradients():
    path, cameras = trajectory(4), rig(2)
    opening = path.opening.clone().requires_grad_()
    assert torch.equal(draw(Trajectory(path.world_from_tool, opening), cameras).detach(), draw(path, cameras))


@pytest.mark.parametrize("paint", [draw, draw_uint8])
def test_drawing_into_a_buffer_overwrites_all_of_it(paint):
    path, cameras = trajectory(4), rig(2)
    fresh = paint(path, cameras)
    buffer = torch.full_like(fresh, 9)
    assert paint(path, cameras, out=buffer) is buffer
    assert torch.equal(buffer, fresh)


def test_a_buffer_that_does_not_fit_is_refused():
    path, cameras = trajectory(4), rig(2)
    with pytest.raises(ValueError, match="out must be contiguous"):
        draw(path, cameras, out=torch.empty(2, 4, 3, 96, 95))
    moving = Trajectory(path.world_from_tool, path.opening.clone().requires_grad_())
    with pytest.raises(ValueError, match="gradients"):
        draw(moving, cameras, out=torch.empty(2, 4, 3, 96, 96))


def test_half_precision_and_no_frames_are_refused():
    path, cameras = trajectory(4), rig(2)
    with pytest.raises(ValueError, match=r"float32 or float64.*misplaces"):
        draw(path.to(torch.bfloat16), cameras)
    with pytest.raises(ValueError, match="at least one frame"):
        draw(path[:0], cameras)


@pytest.mark.parametrize(
    ("name", "value"), [("axis_length", 0.0), ("sigma", -0.1), ("gripper_level", 1.0), ("sigma", math.nan)]
)
def test_a_format_that_cannot_be_read_back_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        ActionImageFormat(**{name: value})


def test_precisions_may_differ_and_an_unknown_opening_is_black():
    path, cameras = trajectory(3, 0), rig(2, (32, 32))
    assert draw(path.to(torch.float64), cameras).dtype == torch.float64
    torch.testing.assert_close(draw(path, cameras.to(torch.float64)), draw(path, cameras))
    unknown = Trajectory(path.world_from_tool, torch.full_like(path.opening, torch.nan))
    shut = Trajectory(path.world_from_tool, torch.zeros_like(path.opening))
    assert torch.equal(draw_uint8(unknown, cameras), draw_uint8(shut, cameras))
