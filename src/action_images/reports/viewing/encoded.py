"""Frames encoded for browsers, in parts of a few frames each, and only those requested."""

import io
import struct
from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from action_images.codec.overlay import spots_above
from action_images.episodes.episode import Frames
from action_images.reports.pictures import to_pillow

FRAMES_IN_PART = 16
"""The number of frames that are sent together."""
BYTES_AT_ONCE = 64 << 20
"""Limit of decoded frames that are held together; one frame may be larger."""
QUALITY = 85


def part_of(frames: Frames, indices: Sequence[int], height: int, *, over: bool = False) -> bytes:
    """Frames as a part: the number of pictures, then each after its length (uint32, big-endian).

    Pictures are at most `height` px high. `over`: only the spots of action images, for overlays.
    """
    pictures = []
    rows, columns = frames.size
    at_once = max(1, BYTES_AT_ONCE // (rows * columns * 3))
    for start in range(0, len(indices), at_once):
        for frame in frames.read(indices[start : start + at_once]):
            encoded = spots(frame, height) if over else picture(frame, height)
            pictures.append(encoded)
    return packed(pictures)


def packed(pictures: Sequence[bytes]) -> bytes:
    """Pictures joined in the format of `part_of`."""
    head = struct.pack(">I", len(pictures))
    return head + b"".join(struct.pack(">I", len(one)) + one for one in pictures)


def picture(frame: UInt8[Tensor, "3 h w"], height: int) -> bytes:
    """A frame as a JPEG file with colours at full resolution, as action images would lose theirs."""
    file = io.BytesIO()
    _no_higher(to_pillow(frame), height).save(file, format="JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()


def spots(action_image: UInt8[Tensor, "3 h w"], height: int) -> bytes:
    """The spots of an action image as a WebP file that is transparent elsewhere."""
    colour, cover = spots_above(action_image)
    levels = torch.cat([colour, 255 * cover]).round().to(torch.uint8)
    rgba = Image.fromarray(levels.movedim(0, -1).contiguous().numpy())
    file = io.BytesIO()
    _no_higher(rgba, height).save(file, format="WEBP", quality=QUALITY, method=0)
    return file.getvalue()


def _no_higher(image: Image.Image, height: int) -> Image.Image:
    if image.height <= height:
        return image
    width = max(1, round(image.width * height / image.height))
    return image.resize((width, height), Image.Resampling.BOX)
