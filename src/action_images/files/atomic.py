"""Files and folders written completely or not at all: under another name first, then renamed in one step."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PART, OLD = ".action-images-part", ".action-images-old"
"""Endings of what is unfinished, and of a folder set aside. No other program uses them, so that what a killed
writer left can be told from a user's files in any folder."""
HALF_FILE = re.compile(rf"\..+\.[a-z0-9_]{{8}}{re.escape(PART)}(\.[^.]+)?")
"""Names that `whole_file` gives to unfinished files."""


@contextmanager
def whole_file(path: Path, *, has_suffix: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it becomes `path` when the block ends without an error.

    Its name ends in the suffix of `path`, which some writers require, or in `PART` if readers look for all
    files of a suffix.

    Missing folders are created. Readers see the old file or the new one, never a part; after an error or a
    kill the old one stays. `remove_leftovers` removes the files that a killed process left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = PART + path.suffix if has_suffix else PART
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        commit_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) completely or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write a JSON file completely or not at all; raises ValueError for NaN and infinities."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def commit_file(temporary: Path, path: Path) -> None:
    """Give a finished file its name in one step, after its bytes have reached the disk."""
    _sync(temporary)
    os.chmod(temporary, 0o644)  # temporary files are private; results are for everybody
    os.replace(temporary, path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill; it becomes `path` when the block ends without an error.

    All of it has then reached the disk. A folder at `path` is replaced: it is set aside, the new one takes
    its name, then the old one is removed. A kill between the two renames leaves no folder at `path`;
    `remove_leftovers` puts the old one back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, aside = unfinished_of(path), path.with_name(f".{path.name}{OLD}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for part in (*temporary.rglob("*"), temporary):
            _sync(part)
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)
        os.replace(temporary, path)
        _sync(path.parent)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unfinished_of(path: Path) -> Path:
    """The folder that `whole_folder` fills before it becomes `path`."""
    return path.with_name(f".{path.name}{PART}")


def remove_folder(path: Path) -> None:
    """Remove a folder so that a kill on the way leaves nothing that looks like it."""
    leaving = unfinished_of(path)
    os.replace(path, leaving)
    shutil.rmtree(leaving)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in a folder that this process alone writes to (see `files.lock`).

    Other files are left alone, whatever folder this is: only our own writers use such names.
    """
    for left in folder.glob(f".*{OLD}"):
        name = left.with_name(left.name.removeprefix(".").removesuffix(OLD))
        if not _is_folder(left):
            continue
        if name.exists():
            shutil.rmtree(left, ignore_errors=True)
        else:
            os.replace(left, name)
    for left in (*folder.glob(f".*{PART}"), *folder.glob(f".*{PART}.*")):
        if _is_folder(left) and left.name.endswith(PART):
            shutil.rmtree(left, ignore_errors=True)
        elif HALF_FILE.fullmatch(left.name):
            left.unlink(missing_ok=True)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folder; its file systems keep a journal of names
    # Windows flushes only writable files.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
