"""Use of FFmpeg through PyAV from 15 on: opening files and converting colours."""

from io import BytesIO
from typing import Any

import av
from av.container import InputContainer

VERSION = int(av.__version__.partition(".")[0])

ANY_TEXTS: dict[str, Any] = {"metadata_errors": "replace"} if VERSION < 19 else {}
"""Makes a title that is not UTF-8 no error. PyAV 19 removed the argument and ignores such titles."""

BT709, BT601 = 1, 5
"""FFmpeg's numbers of the matrices that convert colours to YUV."""

SWS_BICUBIC, SWS_FULL_CHR_H_INT, SWS_FULL_CHR_H_INP, SWS_ACCURATE_RND = 0x4, 0x2000, 0x4000, 0x40000
"""FFmpeg's own numbers (libswscale/swscale.h): PyAV has names for the last three only since version 18."""

CHROMA = SWS_BICUBIC | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_ACCURATE_RND
"""How chroma is subsampled: spots in 64 px videos are located twice as well as with the default
(docs/codec.md).
"""


def open_container(file: str | BytesIO, formats: str) -> InputContainer:
    """The file, opened as one of FFmpeg's `formats` (separated by commas); raises what PyAV raises."""
    return av.open(file, "r", options={"format_whitelist": formats}, **ANY_TEXTS)


def to_rgb(picture: av.VideoFrame, *, by_height: bool) -> dict[str, Any]:
    """Options of PyAV's conversion to RGB in one thread: data loading converts many clips at once.

    `by_height`: the picture does not name its colour matrix, and BT.709 is meant.
    """
    if VERSION >= 17:
        return {"format": "rgb24", "threads": 1} | ({"src_colorspace": BT709} if by_height else {})
    # Older versions follow the picture's own matrix only if source and target are named and differ.
    matrix = BT709 if by_height else picture.colorspace
    return {
        "format": "rgb24",
        "src_colorspace": matrix,
        "dst_colorspace": BT601,
        "src_color_range": picture.color_range,
    }
