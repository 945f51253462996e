"""One process at a time writes into a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from action_images.errors import ActionImagesError


def take_lock(folder: Path) -> IO[str] | None:
    """Hold a folder until the file that comes back is closed or the process ends; None where another one holds it."""
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
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
    with lock:
        yield
