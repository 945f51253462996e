"""Checks of untrusted files before they are opened: regular files inside their folder."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from action_images.episodes.names import EpisodeError

LFS_MARK = b"version https://git-lfs"
MAX_POINTER_BYTES = 1024


def check_regular(path: Path, state: os.stat_result | None = None) -> None:
    """Raise EpisodeError if a path leads to a device, a pipe or a git-lfs pointer.

    A missing file passes.
    """
    try:
        state = os.stat(path) if state is None else state
    except (OSError, ValueError):
        return  # opening it reports the error
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
        raise EpisodeError(f"{path}: is a device or a pipe, no file; put the file itself there")
    if 0 < state.st_size <= MAX_POINTER_BYTES and stat.S_ISREG(state.st_mode) and is_lfs_pointer(path):
        raise EpisodeError(
            f"{path}: is a git-lfs pointer, its content was never downloaded; run 'git lfs pull' in "
            "that folder"
        )


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is the short pointer that git-lfs leaves in place of content that was not fetched."""
    with path.open("rb") as file:
        return file.read(len(LFS_MARK)) == LFS_MARK


def check_inside(root: Path, path: Path) -> None:
    """Raise EpisodeError if a path below a folder leaves it by a link.

    The folder itself may be a link. In a hub's cache, files may lie among the blobs that its snapshot links
    to.
    """
    # Not Path.resolve, which raises RuntimeError for circular links.
    where = Path(os.path.realpath(path))
    if not any(where.is_relative_to(home) for home in _homes(root)):
        raise EpisodeError(f"{path}: is a link that leaves the data set's folder; put the file itself there")


def check_folder(root: Path, folder: Path) -> None:
    """`check_inside` and `check_regular` for an episode's folder and everything below it."""
    check_inside(root, folder)
    for entry in _entries(folder):
        if entry.is_symlink():
            check_inside(root, Path(entry.path))
            check_regular(Path(entry.path))
        elif not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
            raise EpisodeError(f"{entry.path}: is a device or a pipe, no file; put the file itself there")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All entries below a folder, without following links."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _homes(root: Path) -> tuple[Path, ...]:
    home = Path(os.path.realpath(root))
    return (home, home.parents[1] / "blobs") if home.parent.name == "snapshots" else (home,)
