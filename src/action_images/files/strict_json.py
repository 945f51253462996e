"""Json in which a key that is given twice is an error, not the last of the two."""

import json
from collections import Counter
from typing import Any

from action_images.errors import ActionImagesError


class RepeatedKey(ActionImagesError):
    """An object of a json text has a key twice."""


def parsed(text: str) -> Any:
    """The content of a json text; raises RepeatedKey, and ValueError if it is no json."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counted.items() if count > 1)
        raise RepeatedKey(f"has the key {twice[:80]!r} twice in one object; rename or remove one")
    return content
