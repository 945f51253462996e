"""Pools of processes that end when the one that made them does, however that ends."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def pool_of(num_workers: int, begin: Callable[..., None], arguments: tuple[Any, ...]) -> ProcessPoolExecutor:
    """A pool whose processes begin with `begin(*arguments)`.

    They start from nothing: a forked process would share a graphics context.
    """
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(num_workers, spawn, initializer=_begin, initargs=(begin, arguments))


def _begin(begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # Python's pools wait for work for ever where their maker was killed, each with its memory.
    end_with_the_parent()
    begin(*arguments)


def end_with_the_parent() -> None:
    """From now on this process ends when the one that made it does."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
