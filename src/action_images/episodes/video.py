"""Video files: written from uint8 tensors, and read back by exact frame index."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
import torch
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor

from action_images.episodes.episode import EpisodeError, check_indices
from action_images.episodes.ffmpeg import CHROMA, to_rgb
from action_images.episodes.video_index import (
    CURE,
    MAX_SIDE_PX,
    VideoIndex,
    is_high_definition,
    only_video,
    opened,
    read_index,
    readable,
)
from action_images.errors import ActionImagesError
from action_images.files.atomic import whole_file

MAX_READ_BYTES = 8 << 30
MAX_CRF = 51
Codec = Literal["h264", "av1"]
CODECS: Mapping[Codec, str] = {"h264": "libx264", "av1": "libsvtav1"}
"""Codecs of written videos, and their encoders."""


def write_video(
    path: Path | str,
    frames: Iterable[UInt8[Tensor, "3 h w"]],
    fps: float,
    crf: int = 18,
    pixel_format: str = "yuv420p",
    keyframe_interval: int = 8,
    preset: str = "medium",
    codec: Codec = "h264",
    times: Sequence[float] | None = None,
) -> None:
    """Write RGB frames as an mp4, completely or not at all, in one thread so that machines do not differ.

    `codec` is h264, or av1 as LeRobot writes: smaller and slower, with LeRobot's keyframe interval of two
    frames. `crf` is 0 (lossless but for the colour conversion) to 51; yuv420p needs even sizes. For h264,
    `keyframe_interval` (frames) limits how much must be decoded before a frame in the middle, and `preset`
    is x264's name for its search effort. `times` (s, ascending) are the frames' own, for videos of variable
    rate. Raises EpisodeError if there is no frame or the size does not suit
    the pixel format, ValueError for an invalid rate or quality.
    """
    if not (fps > 0 and fps < 10_000 and 0 <= crf <= MAX_CRF):
        limits = f"more than 0 frames a second and a crf from 0 to {MAX_CRF}"
        raise ActionImagesError(f"{path}: a video has {limits}, got {fps:g} and {crf}")
    options = {"crf": str(crf), "preset": preset, "g": str(keyframe_interval), "threads": "1"}
    if codec == "av1":
        _check_av1(path, pixel_format)
        options = {"crf": str(crf), "preset": "8", "g": "2", "svtav1-params": "lp=1"}
    with whole_file(Path(path)) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        _encode(container, frames, fps, options, pixel_format, Path(path), codec=codec, times=times)


TICK = Fraction(1, 90_000)
"""The unit (s) of the times of frames that have their own."""
MAX_MACROBLOCKS = 139_264
"""Macroblocks of 16 x 16 px in the largest frame of H.264's highest level (6.2): 35.6 million pixels."""


def _encode(
    container: OutputContainer,
    frames: Iterable[Tensor],
    fps: float,
    options: dict[str, str],
    pixel_format: str,
    path: Path,
    *,
    codec: Codec,
    times: Sequence[float] | None,
) -> None:
    stream = None
    for number, frame in enumerate(frames):
        size = (frame.shape[-2], frame.shape[-1])
        if stream is None:
            _check_even(path, size, pixel_format)
            _check_level(path, size)
            rate = Fraction(fps).limit_denominator(1_000_000)
            stream = cast(VideoStream, container.add_stream(CODECS[codec], rate=rate))
            stream.height, stream.width, stream.pix_fmt = *size, pixel_format
            chosen = options | ({"x264-params": _x264(size)} if codec == "h264" else {})
            if times is not None:
                stream.time_base = stream.codec_context.time_base = TICK
            stream.options = chosen  # pyright: ignore[reportAttributeAccessIssue]
        if size != (stream.height, stream.width):
            sizes = f"from {stream.height}x{stream.width} to {size}"
            raise EpisodeError(f"{path}: frames change their size {sizes}; resize them")
        pixels = np.ascontiguousarray(frame.movedim(0, -1).numpy())
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        converted = picture.reformat(format=pixel_format, interpolation=CHROMA)
        if times is not None:
            converted.pts, converted.time_base = round((times[number] - times[0]) / TICK), TICK
        container.mux(stream.encode(converted))
    if stream is None:
        raise EpisodeError(f"{path}: a video needs at least one frame")
    container.mux(stream.encode())


def _check_av1(path: Path | str, pixel_format: str) -> None:
    if pixel_format != "yuv420p":
        raise EpisodeError(f"{path}: av1 is written of even sizes alone; give --size, or take --codec h264")
    if CODECS["av1"] not in av.codecs_available:
        raise EpisodeError(f"{path}: PyAV {av.__version__} cannot write av1 here; take --codec h264")


def _check_even(path: Path, size: tuple[int, int], pixel_format: str) -> None:
    if pixel_format == "yuv420p" and (size[0] % 2 or size[1] % 2):
        raise EpisodeError(
            f"{path}: yuv420p needs even sizes, frames are {size[0]}x{size[1]}; use pixel_format='yuv444p'"
        )


def _check_level(path: Path | str, size: tuple[int, int]) -> None:
    """Refuse larger frames: encoding them would take gigabytes, and no player needs to show them."""
    if math.ceil(size[0] / 16) * math.ceil(size[1] / 16) > MAX_MACROBLOCKS:
        raise EpisodeError(
            f"{path}: frames of {size[0]}x{size[1]} are larger than H.264 allows (35.6 million pixels); "
            "make them smaller (import has --size)"
        )


def _x264(size: tuple[int, int]) -> str:
    """x264's own settings.

    Its AVX-512 code sometimes gives other bytes for the same frames; plain code does not and takes twice the
    time. Large videos name their colour matrix, because players would guess another one at their size.
    """
    return "asm=0:colormatrix=smpte170m" if is_high_definition(size) else "asm=0"


def read_video(path: Path | str) -> UInt8[Tensor, "frame 3 h w"]:
    """All frames of a video file; raises EpisodeError if it is damaged."""
    frames = VideoFrames(Path(path))
    return frames.read(range(len(frames)))


@dataclass(frozen=True)
class VideoFrames:
    """The frames of a video file, decoded by exact index when requested: from the keyframe before the first
    to the last requested one.
    """

    path: Path

    @property
    def index(self) -> VideoIndex:
        """Sizes and times; read once for each version of the file.

        Raises EpisodeError if the file is damaged.
        """
        return read_index(self.path)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), as players show it."""
        return self.index.size

    @property
    def fps(self) -> float:
        """Frames per second as stated by the file."""
        return self.index.fps

    @property
    def times(self) -> np.ndarray:
        """The time of each frame in seconds of the file's own clock (frame), float64."""
        return self.index.times

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on what the file states or omits about its pictures, and how it was read."""
        return self.index.notes

    def __len__(self) -> int:
        return len(self.index.pts)

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order; raises EpisodeError for missing indices or data."""
        height, width = self.size
        if len(indices) * height * width * 3 > MAX_READ_BYTES:
            count = f"{len(indices)} frames of {height}x{width} px"
            raise EpisodeError(f"{self.path}: {count} do not fit in memory at once; ask for fewer")
        # Pixels stay interleaved in memory, as the decoder gives them: the view costs nothing.
        frames = torch.empty(len(indices), height, width, 3, dtype=torch.uint8).movedim(-1, -3)
        self.read_into(frames, indices)
        return frames

    def read_into(self, frames: UInt8[Tensor, "frame 3 h w"], indices: Sequence[int]) -> None:
        """Read the frames into existing memory, which must be laid out as (frame, h, w, 3)."""
        index = self.index
        check_indices(indices, len(index.pts), str(self.path))
        rows = frames.movedim(-3, -1).numpy()
        places: dict[int, list[int]] = {}
        for place, frame in enumerate(indices):
            places.setdefault(frame, []).append(place)
        # Use one converter for all frames: a new one for each costs more than decoding at 64 px.
        reformatter = VideoReformatter()
        for frame, picture in _decode(str(self.path), index, sorted(places)):
            rgb = reformatter.reformat(picture, **to_rgb(picture, by_height=index.by_height))
            lines = np.frombuffer(memoryview(rgb.planes[0]), np.uint8).reshape(rgb.height, -1)
            pixels = lines[:, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)
            for place in places[frame]:
                rows[place] = index.turn.shown(pixels)


def is_steady(frames: VideoFrames) -> bool:
    """Whether each frame is shown at its number over the rate, to a tenth of a frame."""
    times = frames.times - frames.times[0]
    return bool((np.abs(times * frames.fps - np.arange(len(times))) < 0.1).all())


def _decode(path: str, index: VideoIndex, wanted: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """The wanted frames (ascending indices) by index, decoding no further than the last."""
    remaining = {int(index.pts[frame]): frame for frame in wanted}
    # Some containers seek beyond the requested place: then read the file from its beginning.
    starts = dict.fromkeys((_start(index, wanted[0]), None)) if remaining else ()
    with readable(path):
        for number, frame in chain.from_iterable(_frames_from(path, start) for start in starts):
            time = number if index.in_decode_order else frame.pts
            is_whole = (frame.height, frame.width) == index.stored_size and not frame.is_corrupt
            if time in remaining and is_whole:
                yield remaining.pop(time), frame
            if not remaining:
                return
    if remaining:
        raise EpisodeError(f"{path}: {len(remaining)} of {len(wanted)} frames cannot be decoded; {CURE}")


def _frames_from(path: str, start: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
    with opened(path) as container:
        stream = only_video(path, container)
        # Data loading decodes many clips at once: one thread for each wastes no time on waiting.
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(MAX_SIDE_PX**2)}
        if start is not None:
            container.seek(start, stream=stream)
        yield from enumerate(container.decode(stream))


def _start(index: VideoIndex, frame: int) -> int | None:
    """The time of the last keyframe shown no later than the frame; decoding can begin there.

    None: from the beginning.
    """
    place = bisect_right(index.keyframes, frame) - 1
    return int(index.pts[index.keyframes[place]]) if place >= 0 and not index.in_decode_order else None
