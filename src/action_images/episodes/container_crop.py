"""Crop notes stored beside the pictures in mp4 and mov ('clap', ISO 14496-12) and Matroska (PixelCrop)."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_HEADER_BYTES = 64 << 20
TO_VIDEO_ENTRY = (b"trak", b"mdia", b"minf", b"stbl", b"stsd")
SAMPLE_ENTRY_BYTES = 78
"""Length of the fields before the boxes in a video's sample entry."""
SEGMENT, TRACKS, TRACK, VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
PIXEL_CROPS = {0x54AA: "bottom", 0x54BB: "top", 0x54CC: "left", 0x54DD: "right"}
MAX_ELEMENTS = 10_000


def cropped_sides(path: Path) -> str | None:
    """The sides that a file asks players to crop, in words.

    None if it asks for no crop or is of another kind.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if start[4:8] == b"ftyp":
            return _clap(file)
        if start[:4] == b"\x1aE\xdf\xa3":
            return _pixel_crop(file)
    return None


def _clap(file: BinaryIO) -> str | None:
    header = movie_header(file)
    for entry in _sample_entries(header):
        if len(entry) < SAMPLE_ENTRY_BYTES:
            continue
        stored = struct.unpack(">HH", entry[24:28])
        for kind, content in boxes(entry[SAMPLE_ENTRY_BYTES:]):
            if kind == b"clap" and len(content) >= 32:
                numbers = struct.unpack(">8i", content[:32])
                if crop := _clap_in_words(numbers, stored):
                    return crop
    return None


def _clap_in_words(numbers: tuple[int, ...], stored: tuple[int, int]) -> str | None:
    """Describe a crop by its width, height and centre offsets, each a fraction."""
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    width, height, right, down = (top / bottom if bottom else 0.0 for top, bottom in pairs)
    whole = (width, height) == tuple(float(side) for side in stored) and not right and not down
    return None if whole or not width or not height else f"to {width:g}x{height:g} px"


def movie_header(file: BinaryIO) -> bytes:
    """The content of the box 'moov'; empty if there is none of a plausible size."""
    file.seek(0)
    for _ in range(MAX_ELEMENTS):
        head = file.read(8)
        if len(head) < 8:
            break
        size, kind = struct.unpack(">I4s", head)
        start = 8
        if size == 1:
            size, start = int.from_bytes(file.read(8), "big"), 16
        if size < start:
            break
        if kind == b"moov":
            return file.read(size - start) if size <= MAX_HEADER_BYTES else b""
        file.seek(size - start, 1)
    return b""


def _sample_entries(header: bytes) -> Iterator[bytes]:
    """The sample entries of all tracks, without their size and kind."""
    found = [header]
    for wanted in TO_VIDEO_ENTRY:
        inner: list[bytes] = []
        for content in found:
            inner += [part for kind, part in boxes(content) if kind == wanted]
        found = inner
    for description in found:
        yield from (content for _, content in boxes(description[8:]))


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes in a box of an mp4: kind and content of each; a damaged size ends them."""
    place = 0
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        if size < 8:
            return
        yield kind, content[place + 8 : place + size]
        place += size


def _pixel_crop(file: BinaryIO) -> str | None:
    file.seek(0)
    sides: list[str] = []
    budget = iter(range(MAX_ELEMENTS))
    _walk(file, None, sides, budget)
    return ", ".join(sides) or None


def _walk(file: BinaryIO, end: int | None, sides: list[str], budget: Iterator[int]) -> None:
    """Descend to the video's element; anything after the tracks is ignored."""
    while (end is None or file.tell() < end) and next(budget, None) is not None:
        kind, size = _vint(file, keep_mark=True), _vint(file, keep_mark=False)
        if kind is None or size is None:
            return
        stop = file.tell() + size
        if kind in (SEGMENT, TRACKS, TRACK, VIDEO):
            _walk(file, stop, sides, budget)
        elif kind in PIXEL_CROPS and size <= 8:
            pixels = int.from_bytes(file.read(size), "big")
            sides += [f"{pixels} px at the {PIXEL_CROPS[kind]}"] if pixels else []
        if kind == TRACKS:
            file.seek(0, 2)
            return
        file.seek(stop)


def _vint(file: BinaryIO, *, keep_mark: bool) -> int | None:
    """A Matroska integer of variable length, with or without the bit that marks its length."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    number = first[0] if keep_mark else first[0] - (1 << (8 - length))
    return (number << (8 * (length - 1))) + int.from_bytes(rest, "big")
