"""Values from JSON are held against the types of a record."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from action_images.errors import ActionImagesError
from action_images.files.typed import check_fields


@dataclass
class Inner:
    """A record in a record."""

    weight: float = 1.0


@dataclass
class Outer:
    """A record with all kinds of fields."""

    name: str = ""
    place: Path | None = None
    size: tuple[int, int] | None = None
    inner: tuple[Inner, ...] = ()
    kind: Literal["a", "b"] = "a"
    shares: dict[str, float] = field(default_factory=dict)
    on: bool = False


WHOLE = {
    "name": "x",
    "place": "y",
    "size": [1, 2],
    "inner": [{"weight": 1}],
    "kind": "b",
    "shares": {"z": 0.5},
    "on": True,
}


def test_what_a_record_declares_passes():
    check_fields(Outer, WHOLE)
    check_fields(Outer, {**WHOLE, "place": None, "size": None})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None),
        ("name", 3),
        ("place", 3),
        ("size", [1]),
        ("size", [1, 2.5]),
        ("size", "12"),
        ("inner", {"weight": 1}),
        ("inner", [{"weight": "heavy"}]),
        ("inner", [{"height": 1}]),
        ("kind", "c"),
        ("kind", []),
        ("shares", {"z": None}),
        ("on", 1),
        ("more", 1),
    ],
)
def test_anything_else_is_refused_by_name(name, value):
    with pytest.raises(
        ActionImagesError, match="weight|height" if name == "inner" and value != {"weight": 1} else name
    ):
        check_fields(Outer, {**WHOLE, name: value})


def test_the_command_line_changes_no_declared_type():
    """It writes other annotations into the classes that it shows as options."""
    before = dict(Outer.__annotations__)
    try:
        Outer.__annotations__ = dict.fromkeys(before, tuple)
        check_fields(Outer, WHOLE)
    finally:
        Outer.__annotations__ = before
