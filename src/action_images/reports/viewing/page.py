"""The page that shows a Viewable, with its scripts and styles, for a server or in one file."""

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from action_images.files.atomic import write_text
from action_images.reports.pages import environment

if TYPE_CHECKING:
    from action_images.episodes.episode import Frames
    from action_images.reports.viewing.viewable import Viewable

SCRIPTS = ("pictures", "geometry", "clicks", "views", "curves", "space", "player", "list", "start")
"""Files of templates/view in the order in which a browser runs them."""
FOLDER = Path(__file__).parents[1] / "templates" / "view"
PAGE_HEIGHT, SERVED_HEIGHT = 320, 480
"""The largest height (px) of pictures in a page in one file, and in a served page."""
MAX_PAGE_BYTES = 48 << 20
"""Larger pictures are thinned, so that only every n-th frame has one."""


@cache
def script() -> str:
    """All scripts in one function, so that their names are not visible outside."""
    parts = [(FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return "(() => {\n'use strict'\n" + "\n".join(parts) + "\n})()\n"


@cache
def style() -> str:
    """The style of all pages, followed by that of this one."""
    common = (FOLDER.parent / "style.css").read_text(encoding="utf-8")
    return common + (FOLDER / "view.css").read_text(encoding="utf-8")


def served_page(title: str) -> str:
    """The page that loads everything else from its server."""
    return environment().get_template("view/served.html").render(title=title)


def write_viewable_page(path: Path, viewable: "Viewable", max_bytes: int = MAX_PAGE_BYTES) -> int:
    """Write a page that needs no other file, completely or not at all; returns its size (bytes).

    If its pictures would take more than `max_bytes`, only every n-th frame has one, and the page says so.
    """
    from action_images.reports.viewing.document import document_of
    from action_images.reports.viewing.encoded import FRAMES_IN_PART, part_of

    every = math.ceil(_bytes_expected(viewable) / max_bytes)
    shown = viewable.thinned(max(1, every))
    parts: dict[str, bytes] = {}
    for key, frames, over in _streams(shown):
        for part, start in enumerate(range(0, len(frames), FRAMES_IN_PART)):
            indices = range(start, min(start + FRAMES_IN_PART, len(frames)))
            parts[f"{key}/{part}"] = part_of(frames, indices, PAGE_HEIGHT, over=over)
    write_text(path, inline_page(viewable.id, document_of(shown), parts))
    return path.stat().st_size


def _streams(viewable: "Viewable") -> Iterator[tuple[str, "Frames", bool]]:
    """Every kind of pictures by the scripts' key: view, layer, and 1 for spots alone."""
    for at, view in enumerate(viewable.views):
        for number, layer in enumerate(view.layers):
            yield f"{at}/{number}/0", layer.frames, False
            if layer.is_action:
                yield f"{at}/{number}/1", layer.frames, True


def _bytes_expected(viewable: "Viewable") -> float:
    """The size of all pictures as base64, estimated from the middle one of each kind."""
    from action_images.reports.viewing.encoded import part_of

    total = 0.0
    for _, frames, over in _streams(viewable):
        middle = part_of(frames, [len(frames) // 2], PAGE_HEIGHT, over=over)
        total += len(frames) * len(middle) * 4 / 3
    return total


def inline_page(title: str, document: dict[str, Any], parts: Mapping[str, bytes]) -> str:
    """The page that needs no other file. `parts` are pictures by the scripts' key."""
    code = script()
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return (
        environment()
        .get_template("view/inline.html")
        .render(
            title=title,
            style=Markup(style()),
            script=Markup(code),
            script_hash=f"sha256-{digest}",
            document=_json_text(document),
            parts={key: Markup(base64.b64encode(part).decode()) for key, part in parts.items()},
        )
    )


def _json_text(document: dict[str, Any]) -> Markup:
    """JSON that is safe in a script element: nothing in it ends the element or begins another."""
    text = json.dumps(document, allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
