"""Frames and cameras fitted to one size: cropped to the largest centred box of its aspect, then resized."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.geometry.camera import Camera
from action_images.geometry.framing import centred_box

Box = tuple[int, int, int, int]
"""top, left, height, width in whole pixels."""


def whole_box(size: tuple[int, int], target: tuple[int, int]) -> Box:
    """The largest centred box of the target's aspect in whole pixels, so that nothing is resampled twice."""
    top, left, height, width = (round(side) for side in centred_box(size, target))
    return min(top, size[0] - height), min(left, size[1] - width), height, width


def fit_frames(
    frames: UInt8[Tensor, "frame 3 h w"], size: tuple[int, int]
) -> UInt8[Tensor, "frame 3 height width"]:
    """Decoded frames at another size (antialiased triangle filter, rounded to the nearest level)."""
    if tuple(frames.shape[-2:]) == size:
        return frames
    top, left, height, width = whole_box((frames.shape[-2], frames.shape[-1]), size)
    part = frames[..., top : top + height, left : left + width]
    return torch.nn.functional.interpolate(part, size, mode="bilinear", antialias=True)


def fit_camera(camera: Camera, size: tuple[int, int]) -> Camera:
    """The camera of such frames; it follows the box in whole pixels, so projections stay exact."""
    return camera if camera.size == size else camera.crop(*whole_box(camera.size, size)).resize(*size)
