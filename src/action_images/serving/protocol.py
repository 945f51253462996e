"""The wire format: msgpack with numpy arrays in openpi's encoding; sizes are checked before allocation.

An array is the map {b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [2, 3]}, a numpy scalar
{b"__npgeneric__": True, b"data": number, b"dtype": "<f4"}. This is bit for bit the format of the
openpi-client package.
"""

import math
import struct
from typing import Any

import msgpack
import numpy as np

from action_images.errors import ActionImagesError

DTYPES = frozenset({"|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"})
"""Allowed types of an array's values; no objects, strings, records or complex numbers."""

MAX_ITEMS = 2048
"""The largest number of values in one message; an array counts as nine. Otherwise a message of 16 MB could
allocate gigabytes of empty maps."""

LENGTH = struct.Struct("<Q")
"""The length before each message between the server and the policy's process, where nothing marks its end."""

CLIENT = struct.Struct("<Q")
"""The client's number, after the length of each request to the policy's process."""

MAX_DEPTH = 8
MAX_AXES = 8

_NUMBER_BYTES = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


class WireError(ActionImagesError):
    """A message that breaks the protocol; the error's text is one sentence that can be sent to the peer."""


def encode(message: Any) -> bytes:
    """Encode maps, lists, text, bytes, numbers and numpy arrays; raises WireError for other types."""
    try:
        return bytes(msgpack.packb(message, default=_pack) or b"")
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"this cannot be sent: {error}") from error


def decode(data: bytes) -> Any:
    """Decode a message of `encode`; arrays are read-only views into `data`.

    Raises WireError for

    - bytes that are not one whole message,
    - a message that is nested too deeply or has too many values,
    - an array whose dtype is not in DTYPES or whose shape does not fit its bytes.
    """
    _check_headers(data)
    try:
        return msgpack.unpackb(data, object_hook=_unpack, raw=False, strict_map_key=True)
    except WireError:
        raise
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        raise WireError(
            f"the message is not valid msgpack ({str(error)[:100] or type(error).__name__})"
        ) from error


def _pack(value: Any) -> Any:
    if not isinstance(value, np.ndarray | np.generic):
        raise WireError(
            f"this cannot be sent: a {type(value).__name__}; send numbers, text, lists, maps or numpy arrays"
        )
    if value.dtype.newbyteorder("<").str not in DTYPES:
        raise WireError(
            f"this cannot be sent: an array of dtype {value.dtype}; send one of {', '.join(sorted(DTYPES))}"
        )
    value = value.astype(value.dtype.newbyteorder("<"), copy=False)
    if isinstance(value, np.ndarray):
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}


def _unpack(entry: dict) -> Any:
    if b"__ndarray__" in entry:
        return _array(entry)
    if b"__npgeneric__" in entry:
        return _scalar(entry)
    return entry


def _array(entry: dict) -> np.ndarray:
    data, shape = entry.get(b"data"), entry.get(b"shape")
    dtype = _dtype(entry.get(b"dtype"))
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_AXES
        or not all(type(size) is int and size >= 0 for size in shape)
    ):
        raise WireError(f"an array's shape must be a list of at most {MAX_AXES} whole numbers from 0")
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        raise WireError(
            f"an array of shape {str(shape)[:100]} and dtype {dtype.str} does not have the bytes that these "
            "ask for"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _scalar(entry: dict) -> np.generic:
    data, dtype = entry.get(b"data"), _dtype(entry.get(b"dtype"))
    if not isinstance(data, bool | int | float):
        raise WireError("a numpy scalar's data must be a number")
    return dtype.type(data)


def _dtype(name: Any) -> np.dtype:
    if not isinstance(name, str) or name not in DTYPES:
        raise WireError(
            f"an array's dtype must be one of {', '.join(sorted(DTYPES))}, got {str(name)[:20]!r}"
        )
    return np.dtype(name)


def _check_headers(data: bytes) -> None:
    """Check all headers first: nothing is built before the message is known to be small and complete."""
    at, num_items, open_containers = 0, 1, [1]
    while open_containers:
        if open_containers[-1] == 0:
            open_containers.pop()
            continue
        open_containers[-1] -= 1
        if at >= len(data):
            raise WireError("the message ends before it is complete")
        num_children, at = _header(data, at)
        num_items += num_children
        if num_items > MAX_ITEMS or len(open_containers) > MAX_DEPTH:
            raise WireError(
                f"the message has more than {MAX_ITEMS} values, or is nested more than {MAX_DEPTH} deep"
            )
        if num_children:
            open_containers.append(num_children)
    if at != len(data):
        raise WireError(
            "the message is followed by bytes that do not belong to it"
            if at < len(data)
            else "the message is cut short"
        )


def _header(data: bytes, at: int) -> tuple[int, int]:
    """The number of values in the one at `at`, and the position of the next header."""
    kind, at = data[at], at + 1
    if kind < 0x80 or kind >= 0xE0 or kind in (0xC0, 0xC2, 0xC3):
        return 0, at
    if kind < 0x90:
        return 2 * (kind & 0x0F), at
    if kind < 0xA0:
        return kind & 0x0F, at
    if kind < 0xC0:
        return 0, at + (kind & 0x1F)
    if kind in _NUMBER_BYTES:
        return 0, at + _NUMBER_BYTES[kind]
    if kind in _LENGTH_BYTES:
        stop = at + _LENGTH_BYTES[kind]
        return 0, stop + int.from_bytes(data[at:stop], "big")
    if kind in _CONTAINERS:
        num_bytes, values_each = _CONTAINERS[kind]
        return values_each * int.from_bytes(data[at : at + num_bytes], "big"), at + num_bytes
    raise WireError(f"the message holds a value of a kind that is not used here (msgpack 0x{kind:02x})")
