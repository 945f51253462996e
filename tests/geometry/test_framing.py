"""What was seen where stays true when images are cropped and resized."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.codec import draw
from action_images.geometry import Camera, Pose, framing
from scenes import rig, seeds, trajectory


def spot_centre(image: torch.Tensor) -> torch.Tensor:
    """The centroid (x, y; pixel centres at +0.5) of a non-negative image (h w)."""
    y, x = torch.meshgrid(
        torch.arange(image.shape[0]) + 0.5, torch.arange(image.shape[1]) + 0.5, indexing="ij"
    )
    return torch.stack([(image * x).sum(), (image * y).sum()]) / image.sum()


def test_the_centred_fit_equals_the_release(golden):
    numbers = golden("intrinsics")
    for i in range(5):
        source, target = tuple(numbers["src_hw"][i].tolist()), tuple(numbers["dst_hw"][i].tolist())
        camera = Camera(numbers["K_in"][i], Pose.identity(dtype=torch.float64), source)
        fitted = camera.reframe(framing.centred_box(source, target), target)
        torch.testing.assert_close(fitted.intrinsics, numbers["K_out"][i], atol=1e-10, rtol=0)


@given(seed=seeds, top=st.integers(0, 20), left=st.integers(0, 20))
def test_cropping_commutes_with_drawing(seed, top, left):
    camera, path = rig(1, (96, 128))[0], trajectory(1, seed)
    image, cropped = framing.crop(draw(path, camera), camera, top, left, 60, 90)
    assert image.shape[-2:] == (60, 90)
    from_world, _ = camera.project(path.world_from_tool.translation)
    after, _ = cropped.project(path.world_from_tool.translation)
    torch.testing.assert_close(after, from_world - torch.tensor([left, top]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("target", [(48, 64), (40, 72), (120, 160), (33, 91)])
def test_a_spot_lies_where_the_reframed_camera_projects_it(target):
    camera, path = rig(1, (96, 128))[0], trajectory(1, 4, spread=0.02)
    image, fitted = framing.fit(draw(path, camera)[:, 0], camera, *target)
    pixels, _ = fitted.project(path.world_from_tool.translation)
    torch.testing.assert_close(spot_centre(image[0]), pixels[0], atol=0.02, rtol=0)
    assert image.shape == (1, *target)


def test_resizing_keeps_constant_images_and_uint8():
    flat = torch.full((3, 30, 40), 77, dtype=torch.uint8)
    image, _ = framing.resize(flat, rig(1, (30, 40))[0], 17, 23)
    assert image.dtype == torch.uint8
    assert (image == 77).all()


def test_the_same_size_is_the_same_image():
    image = torch.rand(3, 30, 40)
    same, camera = framing.fit(image, rig(1, (30, 40))[0], 30, 40)
    assert same is image
    assert camera.size == (30, 40)


def test_pixels_and_camera_must_agree_and_the_box_lie_inside():
    camera = rig(1, (30, 40))[0]
    with pytest.raises(ValueError, match="their camera says"):
        framing.resize(torch.rand(3, 31, 40), camera, 10, 10)
    with pytest.raises(ValueError, match="leaves the image"):
        framing.crop(torch.rand(3, 30, 40), camera, 10, 10, 25, 20)
    with pytest.raises(ValueError, match="positive height and width"):
        camera.crop(0, 0, 0, 5)


def test_a_fitted_box_never_leaves_the_image_by_rounding():
    for target in ((352, 640), (704, 1280), (480, 832)):
        for height in range(200, 1200, 40):
            for width in range(320, 2000, 64):
                top, left, *sides = framing.centred_box((height, width), target)
                assert top >= 0
                assert left >= 0
                assert sides[0] <= height
                assert sides[1] <= width
