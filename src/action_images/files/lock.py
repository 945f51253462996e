"""One process at a time writes into a folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from action_images.errors import ActionImagesError
from action_images.files.atomic import remove_leftovers

LOCK = ".lock"
"""The file of a folder that its writer holds. It stays when the lock is released."""


def take_lock(folder: Path) -> FileLock | None:
    """Hold a folder until the lock is released or the process ends; None where another process holds it."""
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


@contextmanager
def alone_in(folder: Path, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold a folder, made where it is not there; raises ActionImagesError where another process holds it.

    With `waiting` its end is waited for, after a call of that. What a killed writer left half written in it
    is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder)
    if lock is None and waiting is not None:
        waiting()
        lock = FileLock(folder / LOCK)
        lock.acquire()
    if lock is None:
        raise ActionImagesError(
            f"{folder}: another process is writing here; wait for it to end, or choose another folder"
        )
    try:
        remove_leftovers(folder)
        yield
    finally:
        lock.release()
