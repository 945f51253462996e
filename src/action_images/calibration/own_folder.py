"""The folder of results: a way of calibrating overwrites only the cameras of its own earlier runs."""

from pathlib import Path

from action_images.episodes.cameras_file import source_of
from action_images.errors import ActionImagesError

CAMERAS = "cameras.json"
FIXED, WRIST = "fixed cameras, from a board", "wrist cameras, from a board"
"""The sources of the cameras, as their files state them."""


def check_own(out: Path, source: str) -> Path:
    """The cameras file to write; raises ActionImagesError if one of another source is there."""
    path = out / CAMERAS
    if not path.exists() or source_of(path) == source:
        return path
    found = source_of(path)
    told = "does not say where its cameras come from" if found is None else f"holds other cameras ('{found}')"
    raise ActionImagesError(f"{path}: {told} and is not overwritten; give another --out, or move the file")
