"""Copy batches to a card during the previous step, so that no step waits for pixels."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
Sent = TypeVar("Sent")


def one_ahead(items: Iterator[Item], prepare: Callable[[Item], Sent]) -> Iterator[Sent]:
    """Yield `prepare(item)` of each item in order, with the next one always in preparation in a thread.

    An exception of an item or its preparation is raised in its place. The iterator of items is used, and
    finally closed, in that thread alone.
    """
    over = object()

    def make() -> Any:
        item = next(items, over)
        return over if item is over else prepare(item)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1, thread_name_prefix="one ahead") as thread:
        coming = thread.submit(make)
        try:
            while (made := coming.result()) is not over:
                coming = thread.submit(make)
                yield made
        finally:
            coming.cancel()
            close = getattr(items, "close", None)
            if close is not None:
                thread.submit(close)


@dataclass
class ToCard:
    """Copies to a CUDA card through pinned memory, on its own stream."""

    device: torch.device

    def __post_init__(self) -> None:
        self.stream = torch.cuda.Stream(self.device)

    def __call__(self, tensors: list[Tensor]) -> "Arriving":
        """Begin the copies. The tensors may be dropped or written to when this returns."""
        pinned = [tensor.pin_memory() for tensor in tensors]
        with torch.cuda.stream(self.stream):
            there = [tensor.to(self.device, non_blocking=True) for tensor in pinned]
        return Arriving(there, self.stream.record_event())


@dataclass
class Arriving:
    """Tensors on a card that are still being copied."""

    tensors: list[Tensor]
    copied: Any

    def arrived(self) -> list[Tensor]:
        """The tensors for use on the current stream, which waits for the copies; Python does not wait."""
        stream = torch.cuda.current_stream(self.tensors[0].device)
        stream.wait_event(self.copied)
        for tensor in self.tensors:
            tensor.record_stream(stream)
        return self.tensors
