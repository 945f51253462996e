"""Pictures of frames: a png of one, a contact sheet of many."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor


def save_png(path: Path, image: UInt8[Tensor, "3 h w"]) -> None:
    """Write an RGB image; needs pillow (the extra `view`)."""
    from PIL import Image

    part = path.with_name(path.name + ".part")
    Image.fromarray(image.movedim(0, -1).cpu().numpy()).save(part, format="PNG")
    part.replace(path)


def contact_sheet(
    rows: Sequence[UInt8[Tensor, "frame 3 h w"]], num_columns: int = 8, gap_px: int = 2
) -> UInt8[Tensor, "3 hs ws"]:
    """Evenly spaced frames of each video, one video a row, all of one size and length; the first and last are included."""
    tiles = []
    for video in rows:
        picks = torch.linspace(0, len(video) - 1, min(num_columns, len(video))).round().long()
        padded = torch.nn.functional.pad(video[picks], (0, gap_px, 0, gap_px), value=255)
        tiles.append(torch.cat(list(padded), -1))
    return torch.cat(tiles, -2)
