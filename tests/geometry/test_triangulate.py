"""Points come back from the pixels that they left."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.geometry.triangulate import project_with_jacobian, triangulate
from scenes import generator, rig, seeds


def world_points(seed: int, num: int = 6) -> torch.Tensor:
    return (torch.rand(num, 3, generator=generator(seed), dtype=torch.float64) - 0.5) * 0.4


@given(seed=seeds, num_views=st.integers(2, 4))
def test_projecting_then_triangulating_is_the_identity(seed, num_views):
    cameras, points = rig(num_views, dtype=torch.float64), world_points(seed)
    pixels, _ = cameras.project(points[:, None])
    found, error = triangulate(cameras, pixels)
    torch.testing.assert_close(found, points, atol=1e-9, rtol=0)
    assert (error < 1e-6).all()


def test_a_view_of_no_weight_says_nothing():
    cameras, points = rig(3, dtype=torch.float64), world_points(0)
    pixels, _ = cameras.project(points[:, None])
    pixels[:, 1] = torch.nan
    found, _ = triangulate(cameras, pixels, torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64).expand(6, 3))
    torch.testing.assert_close(found, points, atol=1e-9, rtol=0)


def test_one_view_is_not_enough_and_says_so():
    cameras = rig(2, dtype=torch.float64)
    pixels, _ = cameras.project(world_points(0)[:, None])
    found, _ = triangulate(cameras, pixels, torch.tensor([1.0, 0.0], dtype=torch.float64).expand(6, 2))
    assert found.isnan().all()


def test_rays_that_meet_behind_a_camera_show_an_infinite_error():
    cameras = rig(2, dtype=torch.float64)
    behind = cameras[0].unproject(
        torch.tensor([40.0, 50.0], dtype=torch.float64), torch.tensor(-0.5, dtype=torch.float64)
    )
    pixels, _ = cameras.project(behind)
    _, error = triangulate(cameras, pixels)
    assert error[0].isinf()


def test_the_jacobian_is_the_derivative_of_projection():
    camera, point = rig(1, dtype=torch.float64)[0], world_points(1, 1)[0]
    expected = torch.autograd.functional.jacobian(lambda p: camera.project(p)[0], point)
    torch.testing.assert_close(project_with_jacobian(camera, point)[2], expected)
