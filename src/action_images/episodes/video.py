"""Video files: written from uint8 tensors, and read back by exact frame index."""

import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8
from torch import Tensor

from action_images.episodes.episode import EpisodeError, check_indices
from action_images.errors import ActionImagesError
from action_images.files.atomic import commit_file

MAX_SIDE_PX = 8192
"""A stranger's file may claim any size; nothing larger than this is decoded."""
MAX_NUM_FRAMES = 2_000_000
MAX_READ_BYTES = 8 << 30

CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts"
"""What a video may be to FFmpeg. Playlists and lists of files are left out: they name others to read, from anywhere."""

CHROMA = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.ACCURATE_RND
)
"""How colour is halved in size: against the default, spots in 64 px videos are found twice as well (docs/codec.md)."""

CURE = "restore the file or drop the episode"


def write_video(
    path: Path,
    frames: Iterable[UInt8[Tensor, "3 h w"]],
    fps: float,
    crf: int = 18,
    pixel_format: str = "yuv420p",
    keyframe_interval: int = 8,
    preset: str = "medium",
) -> None:
    """Write RGB frames as an H.264 mp4, whole or not at all, with one thread, so that machines do not differ.

    `crf` is 0 (lossless but for the colour conversion) to 51; yuv420p needs even sizes. `keyframe_interval` (frames)
    bounds how much must be decoded before a frame in the middle. `preset` is x264's name for how long it may search.
    Raises EpisodeError where there is no frame or the size does not suit the pixel format, ValueError for a rate or a
    quality that cannot be.
    """
    if not (fps > 0 and fps < 10_000 and 0 <= crf <= 51):
        raise ActionImagesError(
            f"{path}: a video has more than 0 frames a second and a crf from 0 to 51, got {fps:g} and {crf}"
        )
    handle, name = tempfile.mkstemp(suffix=".mp4.part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with av.open(name, "w", format="mp4") as container:
            # x264's AVX-512 code gives other bytes for the same frames now and then; plain code does not, for twice the time.
            options = {
                "crf": str(crf),
                "preset": preset,
                "g": str(keyframe_interval),
                "threads": "1",
                "x264-params": "asm=0",
            }
            _encode(container, frames, fps, options, pixel_format, path)
        commit_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _encode(
    container, frames: Iterable[Tensor], fps: float, options: dict[str, str], pixel_format: str, path: Path
) -> None:
    stream = None
    for frame in frames:
        if stream is None:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1_000_000))
            stream.height, stream.width, stream.pix_fmt, stream.options = (
                *frame.shape[-2:],
                pixel_format,
                options,
            )
            if pixel_format == "yuv420p" and (stream.height % 2 or stream.width % 2):
                raise EpisodeError(
                    f"{path}: yuv420p needs even sizes, frames are {stream.height}x{stream.width}; use pixel_format='yuv444p'"
                )
        if tuple(frame.shape[-2:]) != (stream.height, stream.width):
            raise EpisodeError(
                f"{path}: frames change their size from {stream.height}x{stream.width} to {tuple(frame.shape[-2:])}; resize them"
            )
        picture = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(frame.movedim(0, -1).numpy()), format="rgb24"
        )
        container.mux(stream.encode(picture.reformat(format=pixel_format, interpolation=CHROMA)))
    if stream is None:
        raise EpisodeError(f"{path}: a video needs at least one frame")
    container.mux(stream.encode())


def read_video(path: Path) -> UInt8[Tensor, "frame 3 h w"]:
    """All frames of a video file; raises EpisodeError where it is damaged."""
    frames = VideoFrames(path)
    return frames.read(range(len(frames)))


@dataclass(frozen=True)
class VideoIndex:
    """When each frame of a file is shown (`pts`, ascending), and which of them can be decoded alone (`keyframes`)."""

    size: tuple[int, int]
    fps: float
    pts: np.ndarray
    keyframes: tuple[int, ...]


@dataclass(frozen=True)
class VideoFrames:
    """The frames of a video file, decoded by exact index when asked for: from the keyframe before to the last one wanted."""

    path: Path

    @property
    def index(self) -> VideoIndex:
        """Sizes and times; read once for each version of the file. Raises EpisodeError where the file is damaged."""
        try:
            state = os.stat(self.path)
        except FileNotFoundError:
            raise EpisodeError(
                f"{self.path}: there is no such video; restore the file or drop the episode"
            ) from None
        except (OSError, ValueError) as error:  # a stranger's path may be too long, or hold what no path can
            raise EpisodeError(
                f"{str(self.path)[:400]!r}: cannot be opened ({getattr(error, 'strerror', None) or error}); {CURE}"
            ) from None
        return _read_index(str(self.path), state.st_mtime_ns, state.st_size)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.index.size

    @property
    def fps(self) -> float:
        """Frames per second as the file says."""
        return self.index.fps

    def __len__(self) -> int:
        return len(self.index.pts)

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order; raises EpisodeError for indices or data that are not there."""
        height, width = self.size
        if len(indices) * height * width * 3 > MAX_READ_BYTES:
            raise EpisodeError(
                f"{self.path}: {len(indices)} frames of {height}x{width} px do not fit in memory at once; ask for fewer"
            )
        # Rows of pixels stay interleaved in memory, as the decoder gives them: the view costs nothing.
        frames = torch.empty(len(indices), height, width, 3, dtype=torch.uint8).movedim(-1, -3)
        self.read_into(frames, indices)
        return frames

    def read_into(self, frames: UInt8[Tensor, "frame 3 h w"], indices: Sequence[int]) -> None:
        """The same into memory that is there already, which must be laid out as (frame, h, w, 3)."""
        index = self.index
        check_indices(indices, len(index.pts), str(self.path))
        rows = frames.movedim(-3, -1).numpy()
        places: dict[int, list[int]] = {}
        for place, frame in enumerate(indices):
            places.setdefault(int(index.pts[frame]), []).append(place)
        # One converter for all frames: making a new one for each costs more than decoding at 64 px.
        reformatter = VideoReformatter()
        for picture in _decode(str(self.path), index, sorted(set(indices))):
            rgb = reformatter.reformat(picture, format="rgb24", threads=1)
            pixels = np.frombuffer(memoryview(rgb.planes[0]), np.uint8).reshape(rgb.height, -1)[
                :, : 3 * rgb.width
            ]
            for place in places[picture.pts or 0]:
                rows[place] = pixels.reshape(rgb.height, rgb.width, 3)


@lru_cache(maxsize=8192)
def _read_index(path: str, mtime_ns: int, num_bytes: int) -> VideoIndex:  # noqa: ARG001 the last two name the file's version
    with _readable(path), _opened(path) as container:
        if not container.streams.video:
            raise EpisodeError(f"{path}: holds no video; restore the file or drop the episode")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise EpisodeError(f"{path}: names no codec that can be decoded; {CURE}")
        size = (stream.codec_context.height, stream.codec_context.width)
        claimed, fps = stream.frames, float(stream.average_rate or 0)
        if not all(0 < side <= MAX_SIDE_PX for side in size) or claimed > MAX_NUM_FRAMES:
            raise EpisodeError(
                f"{path}: claims {claimed} frames of {size[0]}x{size[1]} px, beyond what is read; the file is damaged"
            )
        packets = (
            packet for packet in islice(container.demux(stream), MAX_NUM_FRAMES) if _there(packet, path)
        )
        found = sorted((packet.pts or 0, packet.is_keyframe, packet.is_discard) for packet in packets)
        # What an edit list hides is counted by the file, and shown by nobody.
        times = [(time, is_keyframe) for time, is_keyframe, is_hidden in found if not is_hidden]
    if not times or (claimed and len(found) != claimed):
        raise EpisodeError(
            f"{path}: holds {len(found)} of the {claimed} frames that it claims, it is cut short; {CURE}"
        )
    pts = np.array([time for time, _ in times], np.int64)
    if (np.diff(pts) <= 0).any():
        raise EpisodeError(f"{path}: two frames are shown at the same time; encode the video again")
    return VideoIndex(
        size, fps, pts, tuple(frame for frame, (_, is_keyframe) in enumerate(times) if is_keyframe)
    )


def _opened(path: str) -> InputContainer:
    try:
        return av.open(path, metadata_errors="replace", options={"format_whitelist": CONTAINERS})
    except av.ArgumentError:
        raise EpisodeError(
            f"{path}: is none of {CONTAINERS}, and nothing else is read; encode the video again"
        ) from None


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Whatever the decoder has to say of a damaged file, said once and with the cure."""
    try:
        yield
    except EpisodeError:
        raise
    except (av.FFmpegError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error  # an FFmpegError's own text repeats the path
        raise EpisodeError(
            f"{path}: is not a readable video ({reason}), it may be cut short; {CURE}"
        ) from None


def _there(packet: av.Packet, path: str) -> bool:
    if packet.size == 0:
        return False  # the end-of-stream mark
    if packet.pts is None or packet.is_corrupt:
        raise EpisodeError(f"{path}: has a damaged packet, it may be cut short; {CURE}")
    return True


def _decode(path: str, index: VideoIndex, wanted: Sequence[int]) -> Iterator[av.VideoFrame]:
    """The wanted frames (ascending indices), decoding no further than the last."""
    remaining = {int(index.pts[frame]) for frame in wanted}
    # Some containers seek to a place after the one asked for: then the file is read from its beginning.
    starts = dict.fromkeys((_start(index, wanted[0]), None)) if remaining else ()
    with _readable(path):
        for frame in chain.from_iterable(_frames_from(path, start) for start in starts):
            if frame.pts in remaining and (frame.height, frame.width) == index.size and not frame.is_corrupt:
                remaining.discard(frame.pts)
                yield frame
            if not remaining:
                return
    if remaining:
        raise EpisodeError(f"{path}: {len(remaining)} of {len(wanted)} frames cannot be decoded; {CURE}")


def _frames_from(path: str, start: int | None) -> Iterator[av.VideoFrame]:
    with _opened(path) as container:
        stream = container.streams.video[0]
        # Data loading runs many clips at once: one thread for each wastes no work on waiting.
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(MAX_SIDE_PX**2)}
        if start is not None:
            container.seek(start, stream=stream)
        yield from container.decode(stream)


def _start(index: VideoIndex, frame: int) -> int | None:
    """The time of the last keyframe shown no later than the frame, before which nothing is needed; None: from the beginning."""
    place = bisect_right(index.keyframes, frame) - 1
    return int(index.pts[index.keyframes[place]]) if place >= 0 else None
