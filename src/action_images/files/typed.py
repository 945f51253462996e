"""Check JSON values against the types that a record's fields declare."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from action_images.errors import ActionImagesError


def check_fields(kind: Any, values: Mapping[str, Any]) -> None:
    """Raise ActionImagesError, naming the field, if values from JSON do not have a dataclass's types.

    Fields of nested dataclasses are checked too; missing fields are left to the constructor.
    """
    # Use the declared types: the command line changes a class's annotations for its help.
    hints = {declared.name: declared.type for declared in fields(kind)}
    if unknown := sorted(set(values) - set(hints)):
        raise ActionImagesError(f"has fields that this version does not know: {', '.join(unknown)}"[:300])
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise ActionImagesError(f"'{name}' cannot be {value!r}"[:300])


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        return isinstance(value, list | tuple) and _all_fit(value, parts)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(part, parts[1]) for part in value.values())
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, dict):
            check_fields(hint, value)
        return isinstance(value, dict)
    if hint is Path:
        return isinstance(value, str)
    if hint is type(None):
        return value is None
    return type(value) in (int, float) if hint is float else type(value) is hint


def _all_fit(values: list[Any] | tuple[Any, ...], parts: tuple[Any, ...]) -> bool:
    if len(parts) == 2 and parts[1] is Ellipsis:
        return all(_fits(value, parts[0]) for value in values)
    return len(values) == len(parts) and all(map(_fits, values, parts))
