"""Every convention leads to the same pixels."""

import math

import pytest
import torch
from hypothesis import given

from action_images.geometry import Camera, Pose
from scenes import generator, poses, rig, seeds


def points(seed: int = 0, num: int = 20) -> torch.Tensor:
    return (torch.rand(num, 3, generator=generator(seed), dtype=torch.float64) - 0.5) * 0.6


@given(seed=seeds)
def test_project_then_unproject_is_the_identity(seed):
    camera = rig(2, (48, 80), torch.float64)[:, None]
    pixels, depth = camera.project(points(seed))
    torch.testing.assert_close(camera.unproject(pixels, depth), points(seed).expand(2, -1, 3))


@given(seed=seeds)
def test_a_point_lies_on_the_ray_of_its_pixel(seed):
    camera = rig(2, (48, 80), torch.float64)[:, None]
    pixels, _ = camera.project(points(seed))
    origin, direction = camera.rays(pixels)
    away = points(seed) - origin
    torch.testing.assert_close(
        torch.linalg.cross(away.expand_as(direction), direction).norm(dim=-1),
        torch.zeros(2, 20, dtype=torch.float64),
    )
    assert ((away * direction).sum(-1) > 0).all()


@given(seed=seeds)
def test_moving_world_and_camera_together_changes_no_pixel(seed):
    camera, motion = rig(1, (48, 80), torch.float64)[0], poses(seed=seed)
    before, after = camera.project(points(seed)), camera.moved(motion).project(motion.apply(points(seed)))
    torch.testing.assert_close(before, after)


def test_projection_equals_the_release(golden):
    numbers = golden("encode")
    camera = Camera(numbers["intrinsics"], Pose.from_matrix(numbers["extrinsics"]), (64, 64))[:, None, None]
    pixels, depth = camera.project(numbers["points3d"])
    torch.testing.assert_close(pixels, numbers["uv"], atol=1e-10, rtol=0)
    torch.testing.assert_close(depth, numbers["depth"], atol=1e-12, rtol=0)


def test_rlbench_cameras_give_the_same_pixels_and_the_same_rays(golden):
    numbers = golden("encode")
    pose = Pose.from_matrix(numbers["extrinsics_negf"])
    camera = Camera.from_rlbench(numbers["intrinsics_negf"], pose, (64, 64)).check()
    ours = Camera(numbers["intrinsics"], Pose.from_matrix(numbers["extrinsics"]), (64, 64))
    torch.testing.assert_close(
        camera[:, None, None].project(numbers["points3d"])[0], numbers["uv"], atol=1e-10, rtol=0
    )
    pixels = torch.tensor([3.0, 50.0], dtype=torch.float64)
    torch.testing.assert_close(camera.rays(pixels), ours.rays(pixels))


def test_opengl_and_mujoco_cameras_give_the_pixels_of_their_own_formula():
    pose = poses(seed=5)
    focal, size = 70.0, (60, 90)
    in_gl = points(5) - torch.tensor([0.0, 0.0, 1.0])
    # OpenGL looks along -z with y upward.
    expected = torch.stack(
        [focal * in_gl[:, 0] / -in_gl[:, 2] + 45, 30 - focal * in_gl[:, 1] / -in_gl[:, 2]], -1
    )
    intrinsics = torch.tensor([[focal, 0, 45], [0, focal, 30], [0, 0, 1]], dtype=torch.float64)
    opengl = Camera.from_opengl(intrinsics, pose, size)
    mujoco = Camera.from_mujoco(
        pose.translation, pose.rotation, math.degrees(2 * math.atan(30 / focal)), size
    )
    for camera in (opengl, mujoco):
        pixels, depth = camera.project(pose.apply(in_gl))
        torch.testing.assert_close(pixels, expected)
        assert (depth > 0).all()


def test_integer_centres_move_the_principal_point_by_half_a_pixel():
    intrinsics = torch.tensor([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    camera = Camera.from_integer_centres(intrinsics, Pose.identity(), (48, 64))
    pixels, _ = camera.project(torch.tensor([0.0, 0.0, 1.0]))
    assert pixels.tolist() == [32.0, 24.0]


def test_a_point_behind_the_camera_has_negative_depth_and_finite_pixels():
    camera = rig(1)[0]
    behind = camera.unproject(torch.tensor([10.0, 10.0]), torch.tensor(-1.0))
    pixels, depth = camera.project(torch.stack([behind, camera.world_from_camera.translation]))
    assert depth[0] < 0
    assert pixels.isfinite().all()


def test_rigs_are_laid_out_by_one_rule():
    still, moving = rig(2), rig(2)[:, None].expand(2, 7)
    assert still.per_frame((), 7).batch_shape == (2, 7)
    assert still.per_frame((3,), 7).batch_shape == (3, 2, 7)
    assert moving.per_frame((), 7).batch_shape == (2, 7)
    assert moving[None].expand(3, 2, 7).per_frame((3,), 7).batch_shape == (3, 2, 7)
    for camera in (rig(1)[0], moving[None].expand(4, 2, 7)):
        with pytest.raises(ValueError, match="cameras have batch axes"):
            camera.per_frame((3,), 7)
    with pytest.raises(ValueError, match=r"\(2, 7\).*with 8 frames"):
        moving.per_frame((), 8)


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (0, 0, 0.0, "singular"),
        (1, 1, -50.0, "negative focal length.*from_rlbench"),
        (0, 2, torch.nan, "not finite"),
        (2, 0, 3.0, "transposed"),
        (2, 2, 2.0, "transposed"),
    ],
)
def test_bad_intrinsics_are_refused_with_the_cure(row, column, value, message):
    camera = rig(1)[0]
    camera.intrinsics[row, column] = value
    with pytest.raises(ValueError, match=f"wrist.intrinsics.*{message}"):
        camera.check("wrist")


def test_positive_focal_lengths_are_not_rlbench():
    with pytest.raises(ValueError, match="negative fx and fy; these do not"):
        Camera.from_rlbench(rig(1)[0].intrinsics, Pose.identity(), (96, 96))


def test_a_camera_that_looks_straight_down_has_no_upward():
    with pytest.raises(ValueError, match="straight up or down"):
        Camera.look_at(torch.tensor([0.0, 0, 1]), torch.zeros(3), 1.0, (8, 8))
    with pytest.raises(ValueError, match=r"lies in \(0, pi\)"):
        Camera.look_at(torch.tensor([1.0, 0, 1]), torch.zeros(3), 45.0, (8, 8))
