"""Paths and models among a command's arguments, checked before anything large is imported."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal, get_type_hints

from action_images.episodes.strangers import check_regular
from action_images.errors import ActionImagesError, did_you_mean


@dataclass(frozen=True)
class Given:
    """What a path or a name must be, as part of a parameter's annotation."""

    kind: Literal["file", "folder", "either", "dataset", "models", "out", "out file"]


GivenFile = Annotated[Path, Given("file")]
GivenFolder = Annotated[Path, Given("folder")]
GivenPath = Annotated[Path, Given("either")]
GivenDataset = Annotated[Path, Given("dataset")]
"""A LeRobotDataset v3."""
GivenModels = Annotated[str, Given("models")]
"""The folder of saved models, or `shipped`."""
OutFolder = Annotated[Path, Given("out")]
"""A folder that is created if it does not exist."""
OutFile = Annotated[Path, Given("out file")]
"""A file that is written."""


def check_arguments(command: Any, values: dict[str, Any]) -> None:
    """Raise ActionImagesError for the first argument of a command that is missing or of the wrong kind.

    Groups of options are checked too.
    """
    for kind, value in _marked(get_type_hints(command, include_extras=True), values):
        for one in value if isinstance(value, (tuple, list)) else (value,):
            _CHECKS[kind](one)


def _marked(hints: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if value is None:
            continue
        if is_dataclass(value):
            own = {one.name: getattr(value, one.name) for one in fields(value)}
            yield from _marked(get_type_hints(type(value), include_extras=True), own)
        kind = _kind(hints.get(name))
        if kind is not None:
            yield kind, value


def _kind(hint: Any) -> str | None:
    """The kind that an annotation requires, at any depth."""
    for one in getattr(hint, "__metadata__", ()):
        if isinstance(one, Given):
            return one.kind
    inner = (getattr(hint, "__origin__", None), *getattr(hint, "__args__", ()))
    return next((kind for one in inner if one is not None and (kind := _kind(one)) is not None), None)


def _file(path: Path) -> None:
    _exists(path, "file")
    if path.is_dir():
        raise ActionImagesError(f"{path}: is a folder; give a file")


def _folder(path: Path) -> None:
    _exists(path, "folder")
    if not path.is_dir():
        raise ActionImagesError(f"{path}: is a file; give a folder")


def _either(path: Path) -> None:
    _exists(path, "file or folder")


def _dataset(path: Path) -> None:
    _folder(path)
    info = path / "meta" / "info.json"
    check_regular(info)
    if not info.is_file():
        raise ActionImagesError(
            f"{path}: is no data set, for it has no meta/info.json; make one of recordings or of another "
            f"format first: action-images import {quote(str(path))} --out DATASET"
        )


def _models(name: str) -> None:
    if name == "shipped":
        return
    path = Path(name)
    if not path.exists():
        raise ActionImagesError(f"there are no models '{name}'; give `shipped` or a folder of saved models")
    _folder(path)


def _out(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ActionImagesError(f"{path}: is a file; give a folder to write to")
    _writable(path)


def _out_file(path: Path) -> None:
    if path.is_dir():
        raise ActionImagesError(f"{path}: is a folder; give a file to write")
    _writable(path)


def _writable(path: Path) -> None:
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not os.access(there, os.W_OK) or (there != path.absolute() and not there.is_dir()):
        raise ActionImagesError(f"{path}: {there} may not be written to; give another place")


def _exists(path: Path, what: str) -> None:
    if not path.exists():
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        meant = did_you_mean(path.name, beside, place=f"{path.parent}/" if path.parent.name else "")
        raise ActionImagesError(f"{path}: there is no such {what}{meant}")


_CHECKS = {
    "file": _file,
    "folder": _folder,
    "either": _either,
    "dataset": _dataset,
    "models": _models,
    "out": _out,
    "out file": _out_file,
}
