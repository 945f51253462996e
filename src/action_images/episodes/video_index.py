"""Index of a video file: the time of each picture, where decoding can begin, and notes on its pictures."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.stream import VideoStream

from action_images.episodes.container_crop import cropped_sides
from action_images.episodes.episode import EpisodeError
from action_images.episodes.ffmpeg import open_container
from action_images.episodes.strangers import check_regular

MAX_SIDE_PX = 8192
"""An untrusted file may claim any size; nothing larger than this is decoded."""
MAX_NUM_FRAMES = 2_000_000

CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts"
"""FFmpeg's formats of videos that are read. Playlists and lists of files are excluded, because they can
refer to files anywhere.
"""

DEEP_GREY = ("gray9", "gray1", "grayf", "ya16")
"""How FFmpeg's names of formats with one channel of more than 8 bits begin."""
CURE = "restore the file or drop the episode"
TURNED_NOTE = "its pictures are stored turned or mirrored, with a note that says so; they are shown upright"
COVER = 0x400
"""FFmpeg's flag of a stream that is a file's cover picture."""
HDR = (16, 18)
"""FFmpeg's numbers of the HDR transfer curves PQ and HLG."""
NO_MATRIX = 2
"""FFmpeg's number for a file that does not name its colour matrix."""


@dataclass(frozen=True)
class Turn:
    """The transform from stored pixels to what players show: first rows and columns are exchanged, then they
    are mirrored.
    """

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    def shown(self, pixels: np.ndarray) -> np.ndarray:
        """Stored pixels (h, w, 3) as shown pixels (h, w, 3)."""
        pixels = pixels.swapaxes(0, 1) if self.transposed else pixels
        return pixels[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1]


@dataclass(frozen=True)
class VideoIndex:
    """Facts that are read once for each file.

    `size` is (height, width) as shown; `pts` is the time of each frame (ascending, in units of `time_base`
    seconds); `keyframes` are the frames that can be decoded alone. `in_decode_order`: the file has no times,
    and frame i is the i-th decoded one. `by_height`: the colours are BT.709, inferred from the height, since
    the file does not say.
    """

    size: tuple[int, int]
    stored_size: tuple[int, int]
    fps: float
    pts: np.ndarray
    time_base: float
    keyframes: tuple[int, ...]
    turn: Turn
    by_height: bool
    in_decode_order: bool
    notes: tuple[str, ...]

    @property
    def times(self) -> np.ndarray:
        """The time of each frame in seconds of the file's own clock."""
        return self.pts * self.time_base


def read_index(path: Path) -> VideoIndex:
    """The index of a file, read once for each version of the file.

    Raises EpisodeError if it is missing or damaged.
    """
    try:
        state = os.stat(path)
    except FileNotFoundError:
        raise EpisodeError(f"{path}: there is no such video; restore the file or drop the episode") from None
    except (OSError, ValueError) as error:  # an untrusted path may be too long or invalid
        reason = getattr(error, "strerror", None) or error
        raise EpisodeError(f"{str(path)[:400]!r}: cannot be opened ({reason}); {CURE}") from None
    check_regular(path, state)
    return _read_version(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8192)
def _read_version(path: str, mtime_ns: int, num_bytes: int) -> VideoIndex:  # noqa: ARG001 the last two name the file's version
    with readable(path), opened(path) as container:
        stream = only_video(path, container)
        if stream.codec_context is None:
            raise EpisodeError(f"{path}: names no codec that can be decoded; {CURE}")
        _check_claims(path, stream)
        stream.codec_context.thread_count = 1
        packets, first = _demuxed(container, stream, path)
        return _index(path, container, stream, packets, first)


def only_video(path: str, container: InputContainer) -> VideoStream:
    """The one video of a file, besides cover pictures; raises EpisodeError for none or several."""
    videos = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not videos:
        raise EpisodeError(f"{path}: holds no video; restore the file or drop the episode")
    if len(videos) > 1:
        cure = f"keep one, as 'ffmpeg -i {Path(path).name} -map 0:v:0 -c copy one.mp4' does"
        raise EpisodeError(
            f"{path}: holds {len(videos)} videos, and programs differ in which they show; {cure}"
        )
    return videos[0]


def _is_cover(stream: VideoStream) -> bool:
    # PyAV before 16 has a flag here that is no number.
    disposition = stream.disposition
    return bool(getattr(disposition, "value", disposition) & COVER)


def refuse_depth(name: str, pixel_format: str) -> None:
    """Refuse pictures of one channel with more than 8 bits: as colour, depth would lose its low digits."""
    if pixel_format.startswith(DEEP_GREY):
        raise EpisodeError(
            f"{name}: holds one channel of more than 8 bits ({pixel_format}), as depth has, and not colour; "
            "leave it out (import has --views), or encode it as 8-bit colour"
        )


def _check_claims(path: str, stream: VideoStream) -> None:
    height, width, claimed = stream.codec_context.height, stream.codec_context.width, stream.frames
    if not all(0 < side <= MAX_SIDE_PX for side in (height, width)) or claimed > MAX_NUM_FRAMES:
        raise EpisodeError(
            f"{path}: claims {claimed} frames of {height}x{width} px, beyond what is read; the file is "
            "damaged"
        )
    refuse_depth(path, stream.codec_context.pix_fmt or "")
    crop = cropped_sides(Path(path))
    if crop:
        raise EpisodeError(
            f"{path}: carries the note to crop {crop}, which some programs follow and others do not; "
            f"encode it again with the crop applied, as 'ffmpeg -i {Path(path).name} -crf 12 "
            "cropped.mp4' does"
        )


@dataclass(frozen=True, order=True)
class _Packet:
    pts: int
    is_keyframe: bool
    is_hidden: bool


def _demuxed(
    container: InputContainer, stream: VideoStream, path: str
) -> tuple[list[_Packet], av.VideoFrame | None]:
    """All packets in the order of the file, and the first picture, the only one that carries notes about
    turning.
    """
    packets: list[_Packet] = []
    first: av.VideoFrame | None = None
    wanted = True
    for packet in islice(container.demux(stream), MAX_NUM_FRAMES):
        if wanted:
            first, wanted = _first_picture(packet)
        if _there(packet, path):
            packets.append(_Packet(packet.pts or 0, packet.is_keyframe, packet.is_discard))
    return packets, first


def _first_picture(packet: av.Packet) -> tuple[av.VideoFrame | None, bool]:
    """The first decoded picture, and whether it is still needed.

    Damage is reported when frames are read.
    """
    try:
        for picture in packet.decode():
            return picture, False
    except (av.FFmpegError, ValueError):
        return None, False
    return None, True


def _index(
    path: str,
    container: InputContainer,
    stream: VideoStream,
    packets: list[_Packet],
    first: av.VideoFrame | None,
) -> VideoIndex:
    in_decode_order = _knows_no_times(container, stream, packets)
    # The file counts pictures that an edit list hides, but nobody shows them.
    times = [packet for packet in sorted(packets) if not packet.is_hidden]
    if not times or (stream.frames and len(packets) != stream.frames):
        raise EpisodeError(
            f"{path}: holds {len(packets)} of the {stream.frames} frames that it claims, it is cut "
            f"short; {CURE}"
        )
    pts = np.array([packet.pts for packet in times], np.int64)
    if (np.diff(pts) <= 0).any():
        raise EpisodeError(f"{path}: two frames are shown at the same time; encode the video again")
    stored = (stream.codec_context.height, stream.codec_context.width)
    turn = Turn() if first is None else _turn(path, first)
    by_height = first is not None and _is_guessed(first)
    return VideoIndex(
        size=(stored[1], stored[0]) if turn.transposed else stored,
        stored_size=stored,
        fps=float(stream.average_rate or 0),
        pts=np.arange(len(pts)) if in_decode_order else pts,
        time_base=_time_base(stream, in_decode_order=in_decode_order),
        keyframes=tuple(frame for frame, packet in enumerate(times) if packet.is_keyframe),
        turn=turn,
        by_height=by_height,
        in_decode_order=in_decode_order,
        notes=(
            *_notes(stream, turn, by_height=by_height, in_decode_order=in_decode_order),
            *_odd_pictures(first),
        ),
    )


def _knows_no_times(container: InputContainer, stream: VideoStream, packets: list[_Packet]) -> bool:
    """Whether the packets' times are not display times: AVI numbers packets in decode order, which differs
    if pictures are reordered.
    """
    ascending = all(before.pts < after.pts for before, after in pairwise(packets))
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames) and ascending


def _time_base(stream: VideoStream, *, in_decode_order: bool) -> float:
    if in_decode_order:
        return 1 / float(stream.average_rate or 1)
    return float(stream.time_base or 0)


def _turn(path: str, picture: av.VideoFrame) -> Turn:
    """The turn in the display matrix.

    Raises EpisodeError if it is no quarter turn or mirroring.
    """
    try:
        notes: Any = picture.side_data  # PyAV's types say str, but it takes a Type
    except ValueError:  # one note of a kind unknown to PyAV hides all others
        turned = picture.rotation % 360 == 180
        return Turn(mirrored_x=turned, mirrored_y=turned)
    matrix = notes.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return Turn()
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix)[:36], np.int32).astype(int).tolist()
    if a and d and not (b or c):
        return Turn(False, mirrored_x=a < 0, mirrored_y=d < 0)
    if b and c and not (a or d):
        return Turn(True, mirrored_x=c < 0, mirrored_y=b < 0)
    raise EpisodeError(
        f"{path}: carries a rotation note ({picture.rotation} degrees) that is no quarter turn; encode "
        "it again, turned"
    )


def is_high_definition(size: tuple[int, int]) -> bool:
    """Whether players assume BT.709 for (height, width) if a file does not say: mpv's rule."""
    height, width = size
    return width >= 1280 or height > 576


def _is_guessed(picture: av.VideoFrame) -> bool:
    """Whether the matrix must be guessed, and is BT.709 by the picture's size; RGB and grey have none."""
    has_none = any(part in picture.format.name for part in ("rgb", "bgr", "gbr", "gray", "pal8"))
    unknown = picture.colorspace == NO_MATRIX and not has_none
    return unknown and is_high_definition((picture.height, picture.width))


def _notes(stream: VideoStream, turn: Turn, *, by_height: bool, in_decode_order: bool) -> tuple[str, ...]:
    notes = []
    if turn != Turn():
        notes.append(TURNED_NOTE)
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1:
        shape = f"{aspect.numerator}:{aspect.denominator}"
        notes.append(f"players stretch its pixels ({shape}); they are kept as stored, as OpenCV reads them")
    if by_height:
        notes.append("it does not say how its colours were made; BT.709 is taken, as players do at this size")
    if in_decode_order:
        notes.append("it holds no times; its pictures are taken in the order in which they are decoded")
    return tuple(notes)


def _odd_pictures(first: av.VideoFrame | None) -> Iterator[str]:
    """Remarks on pictures that are read as stored, but shown otherwise by players."""
    if first is None:
        return
    if getattr(first, "color_trc", 0) in HDR:
        yield "its colours are of high dynamic range (HDR); they are read as they are stored, and look pale"
    if first.interlaced_frame:
        yield "its pictures are interlaced: each mixes two moments"
    if _is_stereo(first):
        yield "it is noted to be stereo: a picture may show two views at once, and is read as it is stored"


def _is_stereo(picture: av.VideoFrame) -> bool:
    try:
        notes: Any = picture.side_data  # iterating gives kinds in PyAV 19, and the notes in older versions
    except ValueError:  # a note of a kind unknown to PyAV
        return False
    return notes.get(Type.STEREO3D) is not None


def opened(path: str) -> InputContainer:
    """Open a file of a kind that refers to no other files; raises EpisodeError for other kinds."""
    try:
        return open_container(path, CONTAINERS)
    except av.ArgumentError:
        raise EpisodeError(
            f"{path}: is none of {CONTAINERS}, and nothing else is read; encode the video again"
        ) from None


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Turn any error of the decoder about a damaged file into one with a remedy."""
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
