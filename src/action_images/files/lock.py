"""Locks that let one process at a time write into a folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from action_images.errors import ActionImagesError
from action_images.files.atomic import remove_leftovers

LOCK = ".lock"
"""The file of a folder that its writer holds. It stays when the lock is released."""


def take_lock(folder: Path) -> FileLock | None:
    """Lock a folder until the lock is released or the process ends; None if another process holds it."""
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


@contextmanager
def alone_in(folder: Path, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Lock a folder, created if missing; raises ActionImagesError if another process holds it.

    With `waiting`, that function is called and the lock is waited for instead. Half-written files of a killed
    writer are removed.
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
