"""Files of one JSON object a line, appended to as results come; a line that a kill cut off is dropped."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from action_images.errors import ActionImagesError
from action_images.files.atomic import write_text


def append(path: Path, record: Mapping[str, Any], *, sync: bool = True) -> None:
    """Add one line without changing earlier ones; `sync`: wait until it is on the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
        file.flush()
        if sync:
            os.fsync(file.fileno())


def write(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a file with these records alone, completely or not at all."""
    write_text(path, "".join(json.dumps(record) + "\n" for record in records))


def load(path: Path) -> list[dict[str, Any]]:
    """All records; none if there is no file. An incomplete last line, cut off by a kill, is left out.

    Raises ActionImagesError, naming file and line, if any other line is no JSON object.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    return [_parsed(path, number, line) for number, line in enumerate(lines[:-1], 1)]


def repair(path: Path) -> None:
    """Remove a last line that a kill cut off, so that the next `append` begins on a line of its own."""
    if not path.is_file():
        return
    whole = path.read_bytes()
    kept = whole.rfind(b"\n") + 1
    if kept < len(whole):
        with path.open("r+b") as file:
            file.truncate(kept)
            os.fsync(file.fileno())


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ActionImagesError(f"{path}: line {number} is no JSON ({error}); remove the line") from error
    if not isinstance(record, dict):
        raise ActionImagesError(f"{path}: line {number} is no JSON object; remove the line")
    return record
