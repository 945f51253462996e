"""Fields of a camera's json entry that tell of a distorted lens, under whatever name and in whatever form."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

DISTORTED = re.compile(r"dist(?!an)|fish_?eye|^(k[1-6]|p[12])$", re.IGNORECASE)
"""What names of distortion coefficients hold; a distance is none."""
DEEPEST = 4


def distorted_field(entry: Mapping[str, Any]) -> str | None:
    """The first field whose name tells of a distortion and that holds a number other than 0; or None.

    Numbers may lie in lists and mappings, and may be written as texts.
    """
    told = filter(DISTORTED.search, map(str, entry))
    return next((name for name in told if any(_numbers_in(entry.get(name), DEEPEST))), None)


def _numbers_in(content: object, depth: int) -> Iterator[float]:
    """The numbers in nested lists and mappings; other texts than numbers are none, NaN is one."""
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, list):
        for part in content if depth else ():
            yield from _numbers_in(part, depth - 1)
    elif isinstance(content, (int, float, str)) and not isinstance(content, bool):
        try:
            yield float(content)
        except (ValueError, OverflowError):
            return
