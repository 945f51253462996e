"""Pluecker maps hold the line of every pixel."""

import torch

from action_images.geometry import Camera, Pose
from action_images.geometry.plucker import plucker_map
from scenes import poses, rig


def test_maps_equal_the_release(golden):
    numbers = golden("plucker")
    camera = Camera(numbers["intrinsics"], Pose.from_matrix(numbers["extrinsics_abs"]), (16, 16))
    # The release divides by the norm + 1e-8, hence the tolerance.
    in_world, in_first = plucker_map(camera), plucker_map(camera, camera.world_from_camera[0])
    torch.testing.assert_close(in_world.movedim(-3, -1), numbers["plucker_abs"], atol=3e-8, rtol=0)
    torch.testing.assert_close(in_first.movedim(-3, -1), numbers["plucker_rel"], atol=3e-8, rtol=0)


def test_every_point_on_a_pixels_line_has_the_same_moment():
    camera = rig(1, (6, 8), torch.float64)[0]
    direction, moment = plucker_map(camera).split(3)
    pixel = torch.tensor([5.5, 2.5], dtype=torch.float64)
    for depth in (0.3, 2.0):
        point = camera.unproject(pixel, torch.tensor(depth, dtype=torch.float64))
        torch.testing.assert_close(torch.linalg.cross(point, direction[:, 2, 5]), moment[:, 2, 5])


def test_maps_relative_to_a_camera_do_not_know_where_the_world_is():
    cameras, motion = rig(2, (6, 8), torch.float64), poses(seed=3)
    moved = cameras.moved(motion)
    torch.testing.assert_close(
        plucker_map(moved, moved.world_from_camera[0]), plucker_map(cameras, cameras.world_from_camera[0])
    )
