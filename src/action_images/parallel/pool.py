"""Pools of processes that end when their parent does, however it ends."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from action_images.errors import ActionImagesError


def pool_of(
    num_workers: int, begin: Callable[..., None], arguments: tuple[Any, ...], *, on_cards: bool = False
) -> ProcessPoolExecutor:
    """A pool whose processes begin with `begin(*arguments)`.

    They are started afresh: a forked process would share a graphics context. With `on_cards` each process
    sees only one of the available CUDA cards, in turn, as its cuda:0. Raises ActionImagesError for less than
    one process.
    """
    if num_workers < 1:
        raise ActionImagesError(f"--workers is {num_workers}; give the number of processes, 0 or more")
    spawn = multiprocessing.get_context("spawn")
    cards = visible_cards() if on_cards else ()
    turn = _Turn(spawn.Value("i", 0), cards)
    return ProcessPoolExecutor(num_workers, spawn, initializer=_begin, initargs=(turn, begin, arguments))


@contextmanager
def told_if_killed() -> Iterator[None]:
    """Raise OSError with a cure if a process of a pool was killed in this block."""
    try:
        yield
    except BrokenProcessPool as error:
        raise OSError(
            "a worker process was killed, or ran out of memory; free memory, or run the same command with "
            "fewer workers: what it has stored is kept"
        ) from error


def visible_cards() -> tuple[str, ...]:
    """The CUDA cards of this process, as named in CUDA_VISIBLE_DEVICES; none without CUDA."""
    import torch

    named = tuple(filter(None, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return named[:count] or tuple(map(str, range(count)))


@dataclass(frozen=True)
class _Turn:
    """Assigns cards to processes."""

    number: Any
    cards: tuple[str, ...]

    def take(self) -> None:
        """Take the next process's card, before that process has used any."""
        if self.cards:
            with self.number.get_lock():
                mine, self.number.value = self.number.value, self.number.value + 1
            os.environ["CUDA_VISIBLE_DEVICES"] = self.cards[mine % len(self.cards)]


def _begin(turn: _Turn, begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # Python's pools wait for work forever after a kill of their parent, each with its memory.
    end_with_the_parent()
    turn.take()
    begin(*arguments)


def end_with_the_parent() -> None:
    """Make this process end when its parent does."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
