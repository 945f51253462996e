"""Frames stored as one picture each: png or jpg, as files or as bytes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.episodes.episode import EpisodeError, check_indices
from action_images.episodes.ffmpeg import open_container
from action_images.episodes.strangers import check_regular
from action_images.episodes.video import MAX_READ_BYTES
from action_images.episodes.video_index import MAX_SIDE_PX, TURNED_NOTE, Turn, refuse_depth

FORMATS = "image2,png_pipe,jpeg_pipe,bmp_pipe,tiff_pipe,webp_pipe"
"""FFmpeg's formats of pictures that are read; none of them refers to other files."""
WITH_NOTES = ("JPEG", "PNG", "WEBP", "TIFF")
ORIENTATION = 0x112
"""Exif's tag for how a picture is turned."""
TURNS = {
    2: Turn(mirrored_x=True),
    3: Turn(mirrored_x=True, mirrored_y=True),
    4: Turn(mirrored_y=True),
    5: Turn(transposed=True),
    6: Turn(transposed=True, mirrored_x=True),
    7: Turn(transposed=True, mirrored_x=True, mirrored_y=True),
    8: Turn(transposed=True, mirrored_y=True),
}
"""By Exif's orientation: a picture with 6 is shown after a quarter turn to the right."""
GREY = ("gray", "mono", "ya")
"""Prefixes of FFmpeg's names of formats without colour."""


@dataclass(frozen=True)
class Pictures:
    """A video whose frames are picture files, or their contents, in order; all of one size."""

    sources: tuple[Path | bytes, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first picture; raises EpisodeError if there is none."""
        return self._size

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the pictures, judged by the first."""
        source = self.sources[0]
        return () if _turn_noted(source) == Turn() else (TURNED_NOTE,)

    @cached_property
    def _size(self) -> tuple[int, int]:
        if not self.sources:
            raise EpisodeError("a video of pictures holds none; restore them or drop the episode")
        height, width = read_picture(self.sources[0]).shape[-2:]
        return height, width

    def __len__(self) -> int:
        return len(self.sources)

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order.

        Raises EpisodeError for a damaged or missing picture or one of another size.
        """
        check_indices(indices, len(self), "a video of pictures")
        if not len(indices):
            return torch.empty(0, 3, *self.size, dtype=torch.uint8)
        height, width = self.size
        if len(indices) * height * width * 3 > MAX_READ_BYTES:
            count = f"{len(indices)} pictures of {height}x{width} px"
            raise EpisodeError(
                f"{_name(self.sources[0])}: {count} do not fit in memory at once; ask for fewer"
            )
        frames = torch.empty(len(indices), height, width, 3, dtype=torch.uint8).movedim(-1, -3)
        places: dict[int, list[int]] = {}
        for place, index in enumerate(indices):
            places.setdefault(index, []).append(place)
        for index in sorted(places):
            picture = self._read_one(index)
            for place in places[index]:
                frames[place] = picture
        return frames

    def _read_one(self, index: int) -> UInt8[Tensor, "3 h w"]:
        picture = read_picture(self.sources[index])
        found = tuple(picture.shape[-2:])
        if found != self.size:
            raise EpisodeError(
                f"{_name(self.sources[index])}: is {found} px, the first frame {self.size}; resize them"
            )
        return picture


def has_colour(source: Path | bytes) -> bool:
    """Whether a picture has three channels or more; raises EpisodeError if it cannot be read."""
    return not _decoded(source).format.name.startswith(GREY)


def read_picture(source: Path | bytes) -> UInt8[Tensor, "3 h w"]:
    """One picture in RGB, as viewers show it.

    Raises EpisodeError if it is missing, damaged or absurdly large.
    """
    pixels = _decoded(source).to_ndarray(format="rgb24")
    return torch.from_numpy(np.ascontiguousarray(_turn_noted(source).shown(pixels))).movedim(-1, 0)


def _turn_noted(source: Path | bytes) -> Turn:
    """The turn in a picture's Exif data, which viewers and OpenCV apply."""
    from PIL import Image

    content = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(content, formats=WITH_NOTES) as picture:
            return TURNS.get(picture.getexif().get(ORIENTATION, 1), Turn())
    except Exception:  # Pillow raises many kinds for files of other types and for damaged notes
        return Turn()


def _decoded(source: Path | bytes) -> av.VideoFrame:
    if isinstance(source, Path):
        check_regular(source)
    try:
        content = io.BytesIO(source) if isinstance(source, bytes) else str(source)
        with open_container(content, FORMATS) as container:
            context = container.streams.video[0].codec_context
            if max(context.width, context.height) > MAX_SIDE_PX:
                claim = f"{context.height}x{context.width} px"
                raise EpisodeError(
                    f"{_name(source)}: claims {claim}, beyond what is read; the file is damaged"
                )
            refuse_depth(_name(source), context.pix_fmt or "")
            context.thread_count = 1
            context.options = {"max_pixels": str(MAX_SIDE_PX**2)}
            return next(container.decode(video=0))
    except FileNotFoundError:
        raise EpisodeError(
            f"{source}: there is no such picture; restore the file or drop the episode"
        ) from None
    except EpisodeError:
        raise
    except (av.FFmpegError, StopIteration, IndexError, ValueError, OverflowError):
        raise EpisodeError(
            f"{_name(source)}: is not a readable picture; restore it or drop the episode"
        ) from None


def _name(source: Path | bytes) -> str:
    return str(source) if isinstance(source, Path) else f"a picture of {len(source)} bytes"
