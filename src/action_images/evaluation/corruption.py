"""Corruptions of action images between drawing and reading: rounding, noise, blur, compression."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.episodes.video import read_video, write_video
from action_images.errors import ActionImagesError

Images = Float[Tensor, "view frame 3 h w"]
Corruption = Callable[[Images, torch.Generator], Tensor]
"""Takes images (view frame 3 h w) in [0, 1]; returns corrupted ones, as floats in [0, 1] or uint8."""
BLUR_SIGMAS = 3 / 25.6
"""Blur in spot widths: 3 px at 512 px."""
FPS = 10.0


def parse(name: str) -> Corruption:
    """The corruption with a name: clean, 8bit, h264:CRF, noise:STD, black:LEVELS or offset:FRACTION.

    Raises ValueError for any other name.
    """
    patterns: dict[str, Callable[[float], Corruption]] = {
        "h264": lambda crf: lambda images, _: _compress(images, int(crf)),
        "noise": lambda std: lambda images, generator: _blur_and_noise(images, std, generator),
        "black": lambda levels: lambda images, _: to_uint8(images + levels / 255),
        "offset": lambda fraction: lambda images, _: to_uint8(images + fraction),
    }
    if name == "clean":
        return lambda images, _: images
    if name == "8bit":
        return lambda images, _: to_uint8(images)
    match = re.fullmatch(r"(\w+):(\d+(?:\.\d+)?)", name)
    if match is None or match[1] not in patterns:
        raise ActionImagesError(
            f"no corruption '{name}'; there are clean, 8bit, h264:18, noise:0.05, black:8 and offset:0.1, "
            "with numbers of your own"
        )
    return patterns[match[1]](float(match[2]))


def to_uint8(images: Tensor) -> Tensor:
    """Clipped to [0, 1] and rounded to 8 bits."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8)


def _compress(images: Images, crf: int) -> Tensor:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "view.mp4"
        views = []
        for view in to_uint8(images):
            write_video(path, view, FPS, crf=crf)
            views.append(read_video(path))
    return torch.stack(views)


def _blur_and_noise(images: Images, std: float, generator: torch.Generator) -> Tensor:
    sigma_px = BLUR_SIGMAS * 0.05 * min(images.shape[-2:])
    rows, columns = (_blurring(size, sigma_px) for size in images.shape[-2:])
    noise = torch.randn(images.shape, generator=generator)
    return (rows @ images @ columns.mT + std * noise).clamp(0, 1)


def _blurring(size: int, sigma_px: float) -> Tensor:
    line = torch.arange(size) / sigma_px
    weights = torch.exp((line[:, None] - line) ** 2 * -0.5)
    return weights / weights.sum(-1, keepdim=True)
