"""Shared memory that a worker process fills with tensors; it is reused once they are dropped."""

import io
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

ALIGNMENT = 64
"""Bytes; copied tensors begin at multiples of this, which suits any dtype."""


class Buffer:
    """Memory shared by two processes, allocated from its front. New pages cost as much as decoding does."""

    def __init__(self, num_bytes: int):
        self.content = torch.empty(num_bytes, dtype=torch.uint8).share_memory_()
        self.used = 0

    def take(self, num_bytes: int) -> UInt8[Tensor, "byte"] | None:
        """The next bytes, right after the last ones; None if there are too few left."""
        if self.used + num_bytes > len(self.content):
            return None
        self.used += num_bytes
        return self.content[self.used - num_bytes : self.used]


def pack(value: Any, buffer: Buffer | None) -> tuple[bytes, Buffer]:
    """Pack any picklable value: its tensors in a buffer, the rest as bytes.

    Tensors in the buffer are not copied. If the buffer is too small or None, a new one is made for exactly
    this value.
    """
    packer = _Packer(buffer)
    content = packer.packed(value)
    if buffer is None or packer.end > len(buffer.content):
        packer = _Packer(None)
        content = packer.packed(value)
        buffer = Buffer(packer.end)
    for tensor, place in packer.outside:
        seen_at(buffer.content, *place).copy_(tensor)
    return content, buffer


def unpack(content: bytes, memory: UInt8[Tensor, "byte"], dropped: Callable[[], object]) -> Any:
    """Unpack a value, its tensors as views of the buffer; `dropped` is called once none of them is left."""
    lent = memory.numpy()[:]
    weakref.finalize(lent, dropped).atexit = False
    return _Unpacker(content, torch.from_numpy(lent)).load()


Place = tuple[int, torch.dtype, tuple[int, ...], tuple[int, ...]]
"""First byte, dtype, shape, strides (elements)."""


def seen_at(
    memory: UInt8[Tensor, "byte"],
    start: int,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> Tensor:
    """The tensor at a place of a buffer."""
    return (
        memory[start : start + _span(shape, strides) * dtype.itemsize].view(dtype).as_strided(shape, strides)
    )


def _span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """The number of elements from a tensor's first to its last, both included."""
    return (
        0 if 0 in shape else 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    )


class _Packer(pickle.Pickler):
    """Writes only each tensor's place; `outside` must be copied there, `end` is the bytes that this needs."""

    def __init__(self, buffer: Buffer | None):
        self.file = io.BytesIO()
        super().__init__(self.file, pickle.HIGHEST_PROTOCOL)
        self.start = None if buffer is None else buffer.content.data_ptr()
        self.end = 0 if buffer is None else buffer.used
        self.outside: list[tuple[Tensor, Place]] = []

    def packed(self, value: Any) -> bytes:
        self.dump(value)
        return self.file.getvalue()

    def persistent_id(self, value: Any) -> Place | None:
        if not isinstance(value, Tensor):
            return None
        if self.start is not None and value.untyped_storage().data_ptr() == self.start and value.numel():
            return value.data_ptr() - self.start, value.dtype, tuple(value.shape), value.stride()
        # The order of a tensor's axes in memory is kept; expanded axes are written out.
        strides = torch.empty_like(value, device="meta").stride()
        start = -(-self.end // ALIGNMENT) * ALIGNMENT
        self.end = start + _span(tuple(value.shape), strides) * value.dtype.itemsize
        self.outside.append((value, (start, value.dtype, tuple(value.shape), strides)))
        return self.outside[-1][1]


class _Unpacker(pickle.Unpickler):
    def __init__(self, content: bytes, memory: Tensor):
        super().__init__(io.BytesIO(content))
        self.memory = memory

    def persistent_load(self, pid: Any) -> Tensor:
        return seen_at(self.memory, *pid)
