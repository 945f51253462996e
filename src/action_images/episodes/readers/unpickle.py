"""Strangers' pickles: numpy arrays and named records come out, nothing else is ever called."""

import io
import pickle
import pickletools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from action_images.episodes.episode import EpisodeError

MAX_PICKLE_BYTES = 1 << 26
"""RLBench's largest are a few megabytes; what a pickle may make Python allocate is bounded by a small multiple of its size."""


class Record:
    """What stands in for a foreign class: its attributes, none of its code."""


def read_pickle(path: Path, records: Collection[str] = ()) -> Any:
    """What a pickle holds, `records` naming the classes ('module.Class') that become `Record`.

    Raises EpisodeError where the file is missing, broken, too large, or asks for anything but those, numbers, text,
    containers and numpy arrays of numbers or text.
    """
    try:
        if path.stat().st_size > MAX_PICKLE_BYTES:
            raise EpisodeError(
                f"{path}: is larger than {MAX_PICKLE_BYTES >> 20} MB; such a pickle is damaged"
            )
        # All of it at once: reading from memory, no length that a pickle claims allocates more than is there.
        content = path.read_bytes()
        _check_memo(content)
        return _Guarded(io.BytesIO(content), records).load()
    except FileNotFoundError:
        raise EpisodeError(f"{path}: is missing; restore the file or drop the episode") from None
    except EpisodeError:
        raise
    except Exception as error:  # a hostile pickle may make the unpickler raise anything
        raise EpisodeError(
            f"{path}: is not a pickle that can be trusted ({str(error)[:120]}); drop the episode"
        ) from None


def _check_memo(content: bytes) -> None:
    """Python's unpickler makes room for as many remembered values as the largest number in the file: it ends the process."""
    for opcode, argument, place in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= int(place or 0):
            raise pickle.UnpicklingError(f"it remembers value {argument} after {place} bytes")


class _Guarded(pickle.Unpickler):
    """Resolves the names in a pickle against a short list; what is not on it is an error."""

    def __init__(self, file: Any, records: Collection[str]):
        super().__init__(file)
        array = object()  # names the class ndarray where numpy's pickles do, and can do nothing by itself
        self._known: dict[str, Any] = {"_codecs.encode": _Function(_encode)}
        for core in ("numpy.core", "numpy._core"):
            self._known[f"{core}.multiarray._reconstruct"] = _Function(_empty_array)
            self._known[f"{core}.multiarray.scalar"] = _Function(_scalar)
            self._known[f"{core}.numeric._frombuffer"] = _Function(_from_buffer)
        self._known |= {"numpy.ndarray": array, "numpy.dtype": _Function(_dtype)}
        # New classes for each file: a pickle can write into the classes that it is given.
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


def _dtype(*args: Any) -> np.dtype:
    dtype = np.dtype(*args)
    if dtype.kind not in "biufcSU":
        raise pickle.UnpicklingError(f"it holds arrays of {dtype}")
    return dtype


def _empty_array(_: Any, shape: Any, code: Any) -> np.ndarray:
    """numpy begins every array empty and fills it in afterwards; another shape here would only take memory."""
    if shape != (0,) or code not in (b"b", "b"):
        raise pickle.UnpicklingError("it builds an array in a way that numpy does not")
    return np.ndarray((0,), "b")


def _scalar(dtype: np.dtype, content: Any) -> Any:
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes) or len(content) != dtype.itemsize:
        raise pickle.UnpicklingError("it holds a number that is none")
    return np.frombuffer(content, dtype)[0]


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _encode(text: Any, encoding: Any = "utf-8") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "utf-8", "ascii"):
        raise pickle.UnpicklingError("it encodes what is no text")
    return text.encode(encoding)
