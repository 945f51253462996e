"""Crop and resize: pixels and camera change together, so that projections stay correct."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry.camera import Camera

Pixels = Float[Tensor, "*frames h w"] | UInt8[Tensor, "*frames h w"]
Reframed = Float[Tensor, "*frames new_h new_w"] | UInt8[Tensor, "*frames new_h new_w"]
Box = tuple[float, float, float, float]
"""top, left, height, width in pixels; fractions allowed."""


def crop(
    pixels: Pixels, camera: Camera, top: int, left: int, height: int, width: int
) -> tuple[Reframed, Camera]:
    """Crop both to whole pixels; raises ValueError if the box leaves the image."""
    box = (top, left, height, width)
    _check(pixels, camera, box)
    return pixels[..., top : top + height, left : left + width], camera.crop(*box)


def resize(pixels: Pixels, camera: Camera, height: int, width: int) -> tuple[Reframed, Camera]:
    """Resize both to height x width (antialiased triangle filter)."""
    return reframe(pixels, camera, (0, 0, *camera.size), (height, width))


def fit(pixels: Pixels, camera: Camera, height: int, width: int) -> tuple[Reframed, Camera]:
    """Crop to the largest centred box of the target's aspect, then resize to height x width.

    The box may begin and end between pixels: nothing is rounded, so the aspect is exact for any target.
    """
    return reframe(pixels, camera, centred_box(camera.size, (height, width)), (height, width))


def centred_box(size: tuple[int, int], target: tuple[int, int]) -> Box:
    """The largest centred box inside an image of `size` with the aspect of `target`, both (height, width)."""
    scale = min(size[0] / target[0], size[1] / target[1])
    # Rounding must not make the box larger than the image.
    height, width = min(target[0] * scale, size[0]), min(target[1] * scale, size[1])
    return (size[0] - height) / 2, (size[1] - width) / 2, height, width


def reframe(pixels: Pixels, camera: Camera, box: Box, size: tuple[int, int]) -> tuple[Reframed, Camera]:
    """Crop to `box` and resize to `size` in one resampling; uint8 stays uint8, rounded to the nearest."""
    _check(pixels, camera, box)
    top, left, height, width = box
    if box == (0, 0, *size) and camera.size == size:
        return pixels, camera
    rows = _resampling(camera.size[0], top, height, size[0], pixels.device)
    columns = _resampling(camera.size[1], left, width, size[1], pixels.device)
    values = rows @ (pixels.float() @ columns.mT)
    if pixels.dtype == torch.uint8:
        values = values.round_().clamp_(0, 255)
    return values.to(pixels.dtype), camera.reframe(box, size)


def _resampling(num_in: int, start: float, length: float, num_out: int, device: torch.device) -> Tensor:
    """The (num_out, num_in) matrix that resamples [start, start + length] of a line; rows sum to one."""
    scale = length / num_out
    centres = start + scale * (torch.arange(num_out, dtype=torch.float64, device=device) + 0.5)
    offsets = (torch.arange(num_in, dtype=torch.float64, device=device) + 0.5 - centres[:, None]) / max(
        scale, 1.0
    )
    weights = (1 - offsets.abs()).clamp_min(0)
    return (weights / weights.sum(-1, keepdim=True)).float()


def _check(pixels: Tensor, camera: Camera, box: Box) -> None:
    if tuple(pixels.shape[-2:]) != tuple(camera.size):
        raise ActionImagesError(
            f"pixels are {tuple(pixels.shape[-2:])}, their camera says {camera.size}: reframe both "
            "together from the start"
        )
    top, left, height, width = box
    inside = (
        top >= 0
        and left >= 0
        and top + height <= camera.size[0] + 1e-6
        and left + width <= camera.size[1] + 1e-6
    )
    if not (inside and height > 0 and width > 0):
        raise ActionImagesError(f"box {box} (top, left, height, width) leaves the image of {camera.size}")
