"""One process at a time writes into a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from action_images.errors import ActionImagesError

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
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder, made where it is not there; raises ValueError where another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder)
    if lock is None:
        raise ActionImagesError(
            f"{folder}: another process is writing here; wait for it to end, or choose another folder"
        )
    try:
        yield
    finally:
        lock.release()
