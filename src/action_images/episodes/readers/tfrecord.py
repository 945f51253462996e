"""TFRecord files and the tf.train.Example messages in them, read without TensorFlow."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from action_images.episodes.episode import EpisodeError
from action_images.episodes.strangers import check_regular

HEADER, FOOTER = 12, 4
"""Bytes before a record (its length, and a checksum of that) and after it (a checksum of the record)."""
MAX_RECORD_BYTES = 1 << 30
MAX_RECORDS = 1_000_000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The wire types of protocol buffers."""

Values = list[bytes] | np.ndarray
"""Content of a feature: texts and files, or numbers."""


@dataclass(frozen=True)
class Record:
    """The position of a record in its file."""

    path: Path
    start: int
    length: int


def records_of(path: Path) -> list[Record]:
    """The positions of a file's records.

    Raises EpisodeError if a length is damaged or the file is cut short.
    """
    check_regular(path)
    size, place = path.stat().st_size, 0
    records: list[Record] = []
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            head = file.read(HEADER)
            if len(head) < HEADER or _masked(crc32c(head[:8])) != struct.unpack("<I", head[8:])[0]:
                raise EpisodeError(
                    f"{path}: is no TFRecord file, or damaged after {place} bytes; restore the file"
                )
            (length,) = struct.unpack("<Q", head[:8])
            stop = place + HEADER + length + FOOTER
            if stop > size or length > MAX_RECORD_BYTES or len(records) >= MAX_RECORDS:
                raise EpisodeError(f"{path}: is cut short after {len(records)} records; restore the file")
            records.append(Record(path, place + HEADER, length))
            place = stop
    return records


def checksum_of(record: Record) -> str:
    """A record's length, and its checksum as the file has it; it is not computed again."""
    with record.path.open("rb") as file:
        file.seek(record.start + record.length)
        return f"{record.length} {file.read(FOOTER).hex()}"


def read_example(record: Record) -> dict[str, Values]:
    """The features of a tf.train.Example by name; raises EpisodeError if the record is none."""
    with record.path.open("rb") as file:
        file.seek(record.start)
        content = memoryview(file.read(record.length))
    try:
        return dict(_features(content))
    except (ValueError, IndexError, struct.error, TypeError) as error:
        told = f"a record at byte {record.start} is no tf.train.Example"
        raise EpisodeError(f"{record.path}: {told} ({str(error)[:80]}); restore the file") from None


def _features(example: memoryview) -> Iterator[tuple[str, Values]]:
    """Example { Features features = 1 }, Features { map<string, Feature> feature = 1 }."""
    for entry in _repeated(_only(example, 1), 1):
        name = bytes(_only(entry, 1)).decode("utf-8")
        yield name, _values(_only(entry, 2))


def _values(feature: memoryview) -> Values:
    """Feature { BytesList = 1, FloatList = 2 or Int64List = 3 }, each { repeated value = 1 }."""
    for number, _, content in _fields(feature):
        if isinstance(content, int):
            continue
        if number == 1:
            return [bytes(value) for value in _repeated(content, 1)]
        if number == 2:
            return _floats(content)
        if number == 3:
            return _integers(content)
    return []


def _floats(content: memoryview) -> np.ndarray:
    parts = [value for number, _, value in _fields(content) if number == 1 and isinstance(value, memoryview)]
    return np.frombuffer(b"".join(parts), "<f4")


def _integers(content: memoryview) -> np.ndarray:
    found: list[int] = []
    for number, _, value in _fields(content):
        if number == 1 and isinstance(value, int):
            found.append(value)
        elif number == 1 and isinstance(value, memoryview):
            place = 0
            while place < len(value):
                integer, place = _varint(value, place)
                found.append(integer)
    return np.array(found, np.uint64).astype(np.int64)


def _only(message: memoryview, number: int) -> memoryview:
    """The last bytes of a field, as protocol buffers specify; empty if there are none."""
    found = _repeated(message, number)
    return found[-1] if found else memoryview(b"")


def _repeated(message: memoryview, number: int) -> list[memoryview]:
    return [
        value
        for found, wire, value in _fields(message)
        if found == number and wire == BYTES and isinstance(value, memoryview)
    ]


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Field number, wire type and content; numbers of fixed width as their bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, place = _varint(message, place)
            yield number, wire, value
            continue
        if wire == BYTES:
            length, place = _varint(message, place)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place + length > len(message):
            raise ValueError("a field reaches beyond its message")
        yield number, wire, message[place : place + length]
        place += length


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place
    raise ValueError("a number without an end")


def _masked(checksum: int) -> int:
    """A checksum as TFRecord stores it: rotated, plus a constant."""
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFF_FFFF


def crc32c(content: bytes) -> int:
    """The Castagnoli checksum, bit by bit: for the few bytes of a length."""
    checksum = 0xFFFF_FFFF
    for byte in content:
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum >> 1) ^ (0x82F63B78 if checksum & 1 else 0)
    return checksum ^ 0xFFFF_FFFF
