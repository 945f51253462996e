"""FFmpeg as every PyAV from 15 on has it: how a file is opened, and how colours are converted."""

from io import BytesIO
from typing import Any

import av
from av.container import InputContainer

VERSION = int(av.__version__.partition(".")[0])

ANY_TEXTS: dict[str, Any] = {"metadata_errors": "replace"} if VERSION < 19 else {}
"""A title that is no UTF-8 hides no pictures. PyAV 19 took the argument away, and never minds."""

BT709, BT601 = 1, 5
"""FFmpeg's numbers of the matrices by which colours become YUV."""

SWS_BICUBIC, SWS_FULL_CHR_H_INT, SWS_FULL_CHR_H_INP, SWS_ACCURATE_RND = 0x4, 0x2000, 0x4000, 0x40000
"""FFmpeg's own numbers (libswscale/swscale.h): PyAV names the last three since version 18 only."""

CHROMA = SWS_BICUBIC | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_ACCURATE_RND
"""How colour is halved in size: against the default, spots in 64 px videos are found twice as well
(docs/codec.md).
"""


def open_container(file: str | BytesIO, formats: str) -> InputContainer:
    """The file, if it is of one of FFmpeg's `formats`, divided by commas; raises what PyAV raises."""
    return av.open(file, "r", options={"format_whitelist": formats}, **ANY_TEXTS)


def to_rgb(picture: av.VideoFrame, *, by_height: bool) -> dict[str, Any]:
    """How PyAV's converter is asked for RGB, by one thread: data loading converts many clips at once.

    `by_height`: the picture does not say by which matrix its colours were made, and BT.709 is meant.
    """
    if VERSION >= 17:
        return {"format": "rgb24", "threads": 1} | ({"src_colorspace": BT709} if by_height else {})
    # Before, what the picture says is followed only where source and target differ, and are named.
    matrix = BT709 if by_height else picture.colorspace
    return {
        "format": "rgb24",
        "src_colorspace": matrix,
        "dst_colorspace": BT601,
        "src_color_range": picture.color_range,
    }
