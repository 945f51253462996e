"""Action images laid over the video that they belong to."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.errors import ActionImagesError

STRENGTH = 0.85
"""How much of the video a spot's centre hides."""


def overlay(
    video: UInt8[Tensor, "*frames 3 h w"],
    action_images: UInt8[Tensor, "*frames 3 h w"],
    format: ActionImageFormat = ActionImageFormat(),
) -> UInt8[Tensor, "*frames 3 h w"]:
    """The video with the spots in their colours on top.

    Only pixels above the level of blue's gripper background are shown. This leaves the background out, even
    if a model has generated it slightly uneven.

    Raises ValueError if the two differ in shape.
    """
    if video.shape != action_images.shape:
        raise ActionImagesError(
            f"the video is {tuple(video.shape)}, the action images are {tuple(action_images.shape)}: their "
            "frames must correspond"
        )
    colour, cover = spots_above(action_images, format)
    return (video * (1 - cover) + colour * cover).round().to(torch.uint8)


def spots_above(
    action_images: UInt8[Tensor, "*frames 3 h w"], format: ActionImageFormat = ActionImageFormat()
) -> tuple[Float[Tensor, "*frames 3 h w"], Float[Tensor, "*frames 1 h w"]]:
    """The spots alone: their colours in [0, 255], and each pixel's opacity."""
    spots = ((action_images.float() / 255 - format.gripper_level) / (1 - format.gripper_level)).clamp_min(0)
    strongest = spots.amax(-3, keepdim=True)
    return 255 * spots / strongest.clamp_min(1e-6), STRENGTH * strongest


def beside(*videos: UInt8[Tensor, "frame 3 h w"]) -> UInt8[Tensor, "frame 3 h w2"]:
    """Videos of the same height and length next to each other."""
    return torch.cat(videos, -1)
