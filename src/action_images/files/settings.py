"""The settings of a folder's results, so that results of different settings never mix."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from action_images.errors import ActionImagesError
from action_images.files.atomic import write_text


def keep_settings(path: Path, settings: Mapping[str, Any], *, empty: bool) -> None:
    """Write settings into a file, or check that it holds the same ones.

    `empty`: the folder holds no result yet. Its settings, if any, come from an attempt that failed before its
    first result, and are replaced. Raises ValueError, naming the difference, for results of other settings,
    and for results without settings; also for a file with mostly other names, which is somebody else's.
    """
    asked = json.loads(json.dumps(settings))
    if empty and path.is_file():
        there = load_settings(path).keys()
        if len(there ^ asked.keys()) > len(there & asked.keys()):
            names = ", ".join(sorted(there ^ asked.keys()))
            raise ActionImagesError(
                f"{path}: is of something else ({names} differ), and would be replaced; choose another "
                "folder, or remove it"
            )
    if empty:
        write_text(path, json.dumps(asked, indent=2) + "\n")
        return
    if not path.is_file():
        raise ActionImagesError(
            f"{path.parent}: has results but no {path.name} to say of what; choose another folder"
        )
    found = load_settings(path)
    differing = sorted(name for name in {*found, *asked} if found.get(name) != asked.get(name))
    if differing:
        raise ActionImagesError(
            f"{path}: the results here are of other settings ({', '.join(differing)} differ); choose "
            "another folder, or remove it"
        )


def load_settings(path: Path) -> dict[str, Any]:
    """The content of a file of settings; raises ValueError, naming it, if it is no JSON object."""
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ActionImagesError(f"{path}: is no JSON ({error}); choose another folder") from error
    if not isinstance(found, dict):
        raise ActionImagesError(f"{path}: holds no settings; choose another folder")
    return found
