"""Untrusted pickles: numpy arrays and named records are returned, nothing else is ever called."""

import io
import math
import pickle
import pickletools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from action_images.episodes.episode import EpisodeError
from action_images.episodes.strangers import check_regular

MAX_PICKLE_BYTES = 1 << 26
"""RLBench's largest pickles are a few megabytes.

Python allocates a small multiple of a pickle's size.
"""


class Record:
    """A stand-in for a foreign class: its attributes, none of its code."""


def read_pickle(path: Path, records: Collection[str] = ()) -> Any:
    """The content of a pickle; `records` names the classes ('module.Class') that become `Record`.

    Raises EpisodeError if the file is missing, broken, too large, or needs anything but these classes,
    numbers, text, containers and numpy arrays of numbers or text.
    """
    check_regular(path)
    try:
        if path.stat().st_size > MAX_PICKLE_BYTES:
            limit = f"{MAX_PICKLE_BYTES >> 20} MB"
            raise EpisodeError(f"{path}: is larger than {limit}; such a pickle is damaged")
        # Read all of it first: from memory, no claimed length can allocate more than the file has.
        content = path.read_bytes()
        _check_memo(content)
        return _plain(_Guarded(io.BytesIO(content), records).load(), {})
    except FileNotFoundError:
        raise EpisodeError(f"{path}: is missing; restore the file or drop the episode") from None
    except EpisodeError:
        raise
    except Exception as error:  # a hostile pickle can make the unpickler raise anything
        raise EpisodeError(
            f"{path}: is not a pickle that can be trusted ({str(error)[:120]}); drop the episode"
        ) from None


def _plain(value: Any, seen: dict[int, list[Any]]) -> Any:
    """The value with numpy's own arrays.

    `seen` maps ids to the value, which is kept alive, and its result, so that each is visited once.
    """
    if isinstance(value, _Array):
        return value.view(np.ndarray)
    if not isinstance(value, (dict, list, tuple, Record)):
        return value
    if id(value) in seen:
        return seen[id(value)][1]
    place = seen[id(value)] = [value, value]
    if isinstance(value, tuple):
        place[1] = tuple(_plain(part, seen) for part in value)
    elif isinstance(value, list):
        value[:] = [_plain(part, seen) for part in value]
    else:
        fields = value if isinstance(value, dict) else value.__dict__
        for name, part in fields.items():
            fields[name] = _plain(part, seen)
    return place[1]


def _check_memo(content: bytes) -> None:
    """Refuse a pickle whose memo would exhaust memory.

    Python's unpickler allocates as many remembered values as the largest number in a file says, which kills
    the process.
    """
    for opcode, argument, place in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= int(place or 0):
            raise pickle.UnpicklingError(f"it remembers value {argument} after {place} bytes")


class _Guarded(pickle.Unpickler):
    """Resolves the names in a pickle against a short list; any other name is an error."""

    def __init__(self, file: Any, records: Collection[str]):
        super().__init__(file)
        self._known: dict[str, Any] = {"_codecs.encode": _Function(_encode)}
        for core in ("numpy.core", "numpy._core"):
            self._known[f"{core}.multiarray._reconstruct"] = _Function(_empty_array)
            self._known[f"{core}.multiarray.scalar"] = _Function(_scalar)
            self._known[f"{core}.numeric._frombuffer"] = _Function(_from_buffer)
        # The class ndarray is what numpy's pickles name, and can do nothing by itself.
        self._known |= {"numpy.ndarray": object(), "numpy.dtype": _Function(_Dtype)}
        # Make new classes for each file: a pickle can write into the classes that it is given.
        self._known |= {name: type(name.rpartition(".")[2], (Record,), {}) for name in records}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}"[:100]) from None


class _Function:
    """A function whose attributes a pickle cannot change."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]):
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("it writes into a function")

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)


class _Dtype:
    """A kind of number, as numpy pickles it: created by name, then given its byte order, once.

    Arrays get a dtype of their own, which the pickle never holds: a dtype that it could change later would
    make the array reach beyond its memory.
    """

    __slots__ = ("_dtype", "_is_told")

    def __init__(self, *args: Any):
        dtype = np.dtype(*args)
        if dtype.kind not in "biufcSU":
            raise pickle.UnpicklingError(f"it holds arrays of {dtype}")
        object.__setattr__(self, "_dtype", dtype)
        object.__setattr__(self, "_is_told", False)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("it writes into a dtype")

    def __setstate__(self, state: Any) -> None:
        is_whole = isinstance(state, tuple) and len(state) >= 7
        _, order, *parts, size = list(state[:6]) if is_whole else [None] * 6
        if self._is_told or order not in ("<", ">", "|", "=") or any(part is not None for part in parts):
            raise pickle.UnpicklingError("it writes into a dtype in a way that numpy does not")
        if size not in (-1, self._dtype.itemsize):
            raise pickle.UnpicklingError("it changes the size of a dtype")
        object.__setattr__(self, "_dtype", self._dtype.newbyteorder(order))
        object.__setattr__(self, "_is_told", True)

    @property
    def real(self) -> np.dtype:
        """The dtype itself, for this module alone."""
        return self._dtype


class _Array(np.ndarray):
    """An array that a pickle fills once, with as many bytes as its shape and dtype need."""

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, is_fortran, content = state
        if self.size or not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it fills an array in a way that numpy does not")
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise pickle.UnpicklingError("it holds an array without a shape")
        if math.prod(shape) * dtype.real.itemsize != len(content):
            raise pickle.UnpicklingError("it holds an array of another size than its bytes")
        filled = (version, shape, np.dtype(dtype.real.str), bool(is_fortran), content)
        super().__setstate__(filled)  # pyright: ignore[reportArgumentType] (numpy's stub wants its own bool)


def _empty_array(_: Any, shape: Any, code: Any) -> np.ndarray:
    """numpy creates every array empty and fills it afterwards.

    Another shape here would only waste memory.
    """
    if shape != (0,) or code not in (b"b", "b"):
        raise pickle.UnpicklingError("it builds an array in a way that numpy does not")
    return _Array((0,), "b")


def _scalar(dtype: Any, content: Any) -> Any:
    is_number = isinstance(dtype, _Dtype) and isinstance(content, bytes)
    if not is_number or len(content) != dtype.real.itemsize or not content:
        raise pickle.UnpicklingError("it holds a number that is none")
    return np.frombuffer(content, dtype.real)[0]


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(content, (bytes, bytearray)):
        raise pickle.UnpicklingError("it holds an array that is none")
    return np.frombuffer(bytes(content), dtype.real).reshape(shape, order=order)


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "utf-8", "ascii"):
        raise pickle.UnpicklingError("it encodes what is no text")
    return text.encode(encoding)
