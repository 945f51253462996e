"""Pictures of frames: a png of one, a contact sheet of many; needs pillow (the extra `view`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.files.atomic import whole_file

if TYPE_CHECKING:
    from PIL import Image


def to_pillow(picture: UInt8[Tensor, "3 h w"]) -> "Image.Image":
    """An RGB image as pillow draws on it."""
    from PIL import Image

    return Image.fromarray(picture.movedim(0, -1).cpu().contiguous().numpy())


def to_tensor(picture: "Image.Image") -> UInt8[Tensor, "3 h w"]:
    """The way back."""
    return torch.from_numpy(np.array(picture)).movedim(-1, 0)


def save_png(path: Path | str, image: UInt8[Tensor, "3 h w"]) -> None:
    """Write an RGB image, whole or not at all."""
    picture = to_pillow(image)
    with whole_file(Path(path)) as unfinished:
        picture.save(unfinished, format="PNG")


def contact_sheet(
    rows: Sequence[UInt8[Tensor, "frame 3 h w"]], num_columns: int = 8, gap_px: int = 2
) -> UInt8[Tensor, "3 hs ws"]:
    """Evenly spaced frames of each video, the first and last among them.

    Each video is a row; all are of one size and length.
    """
    tiles = []
    for video in rows:
        picks = torch.linspace(0, len(video) - 1, min(num_columns, len(video))).round().long()
        padded = torch.nn.functional.pad(video[picks], (0, gap_px, 0, gap_px), value=255)
        tiles.append(torch.cat(list(padded), -1))
    return torch.cat(tiles, -2)
