"""Episodes with the pictures or the poses of an earlier one, but not with both: a file was copied.

Episodes that have both are duplicates, which `check` reports.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

POSES = "poses"
CURE = "was a file copied or read twice?"


def prints_of(poses: np.ndarray, videos: Mapping[str, Path]) -> dict[str, str]:
    """Hashes of a path (frame, numbers) and of each view's encoded pictures, by part.

    A path that is unknown or never moves has none. The same pictures are encoded to the same bytes.
    """
    moves = len(poses) > 1 and bool(np.isfinite(poses).all()) and bool((poses != poses[0]).any())
    prints = {POSES: sha256(poses.tobytes()).hexdigest()} if moves else {}
    views = {f"pictures of '{view}'": path.read_bytes() for view, path in videos.items()}
    return prints | {part: sha256(content).hexdigest() for part, content in views.items()}


@dataclass
class Copies:
    """The prints of an import's episodes, and those that share some with an earlier one."""

    _first: dict[tuple[str, str], str] = field(default_factory=dict)
    _prints: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _found: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def take(self, episode_id: str, prints: Mapping[str, str]) -> None:
        """Compare an episode with the earlier ones."""
        self._prints[episode_id] = prints
        for part, content in prints.items():
            earlier = self._first.setdefault((part, content), episode_id)
            if earlier != episode_id and self._prints[earlier] != prints:
                self._found.setdefault(part, []).append((episode_id, earlier))

    def sentences(self) -> Iterator[str]:
        """What is shared, how often, and the first pair of each."""
        for part, pairs in self._found.items():
            count = "1 episode has" if len(pairs) == 1 else f"{len(pairs)} episodes have"
            which = f"{pairs[0][0]} those of {pairs[0][1]}" + (", and so on" if len(pairs) > 1 else "")
            yield f"{count} exactly the {part} of an earlier one, but not the rest ({which}); {CURE}"
