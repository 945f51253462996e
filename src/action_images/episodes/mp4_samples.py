"""Coded pictures of mp4 and mov files (ISO 14496-12), by their place in the file and without a decoder."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from action_images.episodes.container_crop import boxes, movie_header

MAX_SAMPLES = 2_000_000
PICTURES: Mapping[bytes, tuple[int, int, frozenset[int]]] = {
    b"avc1": (0, 0x1F, frozenset(range(1, 6))),
    b"avc3": (0, 0x1F, frozenset(range(1, 6))),
    b"hvc1": (1, 0x3F, frozenset(range(32))),
    b"hev1": (1, 0x3F, frozenset(range(32))),
}
"""For H.264 and HEVC: shift and mask of a unit's kind in its first byte, and the kinds that hold pictures."""


@dataclass(frozen=True)
class Samples:
    """The coded pictures of a file's only video, in the order of decoding.

    `times` is when each is decoded (s, from the first); `offsets` and `sizes` are their places (bytes).
    """

    path: Path
    codec: bytes
    times: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray

    def hash_between(self, start: float, stop: float) -> str:
        """The SHA-256, in hexadecimal, of the pictures that are decoded from `start` to before `stop` (s).

        Files that are joined without encoding keep it: parameter sets do not count, which are repeated then.
        """
        digest = sha256()
        with self.path.open("rb") as file:
            for number in np.flatnonzero((self.times >= start) & (self.times < stop)).tolist():
                file.seek(int(self.offsets[number]))
                for part in _pictures_in(file.read(int(self.sizes[number])), self.codec):
                    digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()


def samples_of(path: Path) -> Samples | None:
    """The samples of an mp4 or mov with a single video; None for other, fragmented and damaged files."""
    try:
        if not path.is_file():  # a pipe would wait for its other end
            return None
        with path.open("rb") as file:
            if file.read(8)[4:8] != b"ftyp":
                return None
            header = movie_header(file)
        tracks = [one for kind, one in boxes(header) if kind == b"trak" and _is_video(one)]
        return _of_track(path, tracks[0]) if len(tracks) == 1 else None
    except (OSError, ValueError, IndexError, KeyError, OverflowError, struct.error):
        return None


def _is_video(track: bytes) -> bool:
    return _box(track, b"mdia", b"hdlr")[8:12] == b"vide"


def _box(content: bytes, *kinds: bytes) -> bytes:
    """The first box within boxes of these kinds; raises KeyError if there is none."""
    for kind in kinds:
        content = dict(reversed(list(boxes(content))))[kind]
    return content


def _of_track(path: Path, track: bytes) -> Samples | None:
    head, table = _box(track, b"mdia", b"mdhd"), _box(track, b"mdia", b"minf", b"stbl")
    scale = struct.unpack_from(">I", head, 20 if head[0] == 1 else 12)[0]
    sizes = _sizes(_box(table, b"stsz"))
    lasts = _pairs(_box(table, b"stts"))
    if not len(sizes) or lasts[:, 0].sum() != len(sizes) or not scale:
        return None
    lengths = np.repeat(lasts[:, 1], lasts[:, 0])
    offsets = _offsets(table, sizes)
    if offsets is None or offsets.min() < 0 or (offsets + sizes).max() > path.stat().st_size:
        return None
    codec = _box(table, b"stsd")[12:16]
    return Samples(path, codec, (np.cumsum(lengths) - lengths) / scale, offsets, sizes)


def _sizes(content: bytes) -> np.ndarray:
    one, count = struct.unpack_from(">II", content, 4)
    if count > MAX_SAMPLES:
        return np.empty(0, np.int64)
    if one:
        return np.full(count, one, np.int64)
    return np.frombuffer(content, ">u4", count, 12).astype(np.int64)


def _pairs(content: bytes, width: int = 2) -> np.ndarray:
    (count,) = struct.unpack_from(">I", content, 4)
    return np.frombuffer(content, ">u4", count * width, 8).astype(np.int64).reshape(-1, width)


def _offsets(table: bytes, sizes: np.ndarray) -> np.ndarray | None:
    """Where each sample begins: samples lie one after the other in chunks, whose places are known."""
    kinds = dict(boxes(table))
    wide = b"co64" in kinds
    (count,) = struct.unpack_from(">I", kinds[b"co64" if wide else b"stco"], 4)
    places = np.frombuffer(kinds[b"co64" if wide else b"stco"], ">u8" if wide else ">u4", count, 8)
    runs = _pairs(kinds[b"stsc"], 3)
    spans = np.diff(np.append(runs[:, 0], count + 1))
    if (spans < 1).any() or not 0 < (spans * runs[:, 1]).sum() == len(sizes):
        return None
    per_chunk = np.repeat(runs[:, 1], spans)
    before = np.cumsum(sizes) - sizes
    first = np.cumsum(per_chunk) - per_chunk
    return np.repeat(places.astype(np.int64) - before[first], per_chunk) + before


def _pictures_in(sample: bytes, codec: bytes) -> Iterator[bytes]:
    """The units of a sample that hold pictures; the whole sample if it is of another codec or form."""
    if codec not in PICTURES:
        yield sample
        return
    shift, mask, kinds = PICTURES[codec]
    units, place = [], 0
    while place + 4 < len(sample):
        length = int.from_bytes(sample[place : place + 4], "big")
        units.append(sample[place + 4 : place + 4 + length])
        place += 4 + length
    if place != len(sample):
        yield sample
        return
    yield from (unit for unit in units if unit and (unit[0] >> shift) & mask in kinds)
