"""Spots laid over a video; what is no spot leaves it alone."""

import torch

from action_images.codec.format import ActionImageFormat
from action_images.codec.overlay import STRENGTH, overlay

GROUND = round(255 * ActionImageFormat().gripper_level)


def test_a_background_that_was_imagined_not_quite_flat_does_not_show():
    video = torch.randint(
        0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    images = torch.zeros_like(video)
    images[:, 2] = GROUND + (torch.arange(32) % 9 - 4).to(torch.uint8)  # waves of 4 of 255 up and down
    assert (overlay(video, images).int() - video.int()).abs().max() <= 5


def test_a_spot_hides_what_is_behind_its_centre_and_no_more_than_the_format_has():
    video = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    images = torch.zeros_like(video)
    images[0, 2] = GROUND
    images[0, 0, 4, 4] = 255
    shown = overlay(video, images)
    assert shown[0, :, 4, 4].tolist() == [
        round(100 * (1 - STRENGTH) + 255 * STRENGTH),
        *[round(100 * (1 - STRENGTH))] * 2,
    ]
    shown[0, :, 4, 4] = 100
    assert torch.equal(shown, video)
