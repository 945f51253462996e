"""Pictures of frames: a PNG of one, a contact sheet of many; needs pillow (the extra `view`)."""

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

LABEL_PX, LETTERS_PX = 20, 13
"""Heights of a line of text on a sheet, and of its letters."""


def to_pillow(picture: UInt8[Tensor, "3 h w"]) -> "Image.Image":
    """Convert an RGB image to pillow."""
    from PIL import Image

    return Image.fromarray(picture.movedim(0, -1).cpu().contiguous().numpy())


def to_tensor(picture: "Image.Image") -> UInt8[Tensor, "3 h w"]:
    """Convert a pillow image to an RGB tensor."""
    return torch.from_numpy(np.array(picture)).movedim(-1, 0)


def save_png(path: Path | str, image: UInt8[Tensor, "3 h w"]) -> None:
    """Write an RGB image, completely or not at all."""
    picture = to_pillow(image)
    with whole_file(Path(path)) as unfinished:
        picture.save(unfinished, format="PNG")


def contact_sheet(
    rows: Sequence[UInt8[Tensor, "frame 3 h w"]],
    num_columns: int = 8,
    gap_px: int = 2,
    labels: Sequence[str] = (),
) -> UInt8[Tensor, "3 hs ws"]:
    """Evenly spaced frames of each video, the first and last among them; small frames are enlarged.

    Each video is a row below its label, if `labels` has one for each; all have one size and length.
    """
    strips = []
    for number, video in enumerate(rows):
        picks = torch.linspace(0, len(video) - 1, min(num_columns, len(video))).round().long()
        padded = torch.nn.functional.pad(enlarged(video[picks]), (0, gap_px, 0, gap_px), value=255)
        strip = torch.cat(list(padded), -1)
        if labels:
            strips.append(text_line(labels[number], LABEL_PX, strip.shape[-1]))
        strips.append(strip)
    return torch.cat(strips, -2)


def enlarged(frames: UInt8[Tensor, "frame 3 h w"]) -> UInt8[Tensor, "frame 3 hs ws"]:
    """Enlarge small frames by repeating pixels: four times up to 96 px, twice up to 192 px."""
    height = frames.shape[-2]
    scale = 4 if height <= 96 else 2 if height <= 192 else 1
    return frames.repeat_interleave(scale, -2).repeat_interleave(scale, -1)


def text_line(text: str, height: int, width: int) -> UInt8[Tensor, "3 height width"]:
    """Black letters on white, cut to fit."""
    from PIL import Image, ImageDraw

    from action_images.reports.lettering import font, shortened

    image, letters = Image.new("RGB", (width, height), "white"), font(LETTERS_PX)
    pen = ImageDraw.Draw(image)
    pen.text((4, height // 2), shortened(text, width - 8, letters), fill="black", font=letters, anchor="lm")
    return to_tensor(image)
