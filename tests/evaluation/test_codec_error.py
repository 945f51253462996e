"""The sweep measures what it says."""

import pytest
import torch

from action_images.codec import ActionImageFormat
from action_images.evaluation import corruption
from action_images.evaluation.codec_error import Setting, measure, random_poses, rig


def row(*setting) -> dict:
    (samples,) = measure([Setting(*setting)], num_clips=1, seed=0)
    return samples.row()


def test_random_poses_lie_inside_every_frame():
    cameras = rig(4, 64)
    path = random_poses(20, cameras, torch.Generator().manual_seed(0))
    pixels, depth = cameras[:, None, None].project(ActionImageFormat().points(path.world_from_tool))
    assert cameras.contains(pixels).all()
    assert (depth > 0).all()


def test_the_same_seed_gives_the_same_row():
    assert row(64, 2, "noise:0.05") == row(64, 2, "noise:0.05")


def test_errors_grow_with_noise_and_shrink_with_views_and_pixels():
    def median(*setting) -> float:
        return row(*setting)["position_mm_median"]

    assert (
        median(64, 2, "clean")
        < median(64, 2, "8bit")
        < median(64, 2, "noise:0.02")
        < median(64, 2, "noise:0.1")
    )
    assert median(64, 4, "noise:0.05") < median(64, 2, "noise:0.05")
    assert median(128, 2, "noise:0.05") < median(64, 2, "noise:0.05")


def test_the_codec_keeps_its_promises_at_64_px():
    rounded, video = row(64, 2, "8bit"), row(64, 2, "h264:18")
    assert rounded["position_mm_median"] < 0.1
    assert video["position_mm_median"] < 0.7
    assert rounded["gripper_right"] == video["gripper_right"] == 1.0
    assert rounded["valid"] == video["valid"] == 1.0


def test_blur_and_noise_have_the_asked_size():
    images = torch.zeros(2, 3, 3, 256, 256)
    images[..., 128, 128] = 1.0
    blurred = corruption.parse("noise:0")(images, torch.Generator())
    line = torch.arange(256) - 128.0
    width = (blurred[0, 0, 0, 128] * line**2).sum() / blurred[0, 0, 0, 128].sum()
    assert abs(width.sqrt() - corruption.BLUR_SIGMAS * 12.8) < 0.01
    noisy = corruption.parse("noise:0.1")(
        torch.full((2, 3, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
    )
    assert abs(noisy.std() - 0.1) < 2e-3


@pytest.mark.parametrize("name", ["", "h264", "h264:x", "noise:-1", "jpeg:50", "8bit:2"])
def test_an_unknown_corruption_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match="there are clean, 8bit, h264:18"):
        corruption.parse(name)
