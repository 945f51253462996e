"""The episodes of a folder in a foreign format, read as `action-images import` reads them."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from action_images.reports.viewing.shelf import Entry

if TYPE_CHECKING:
    from action_images.reports.viewing.viewable import Viewable


class ForeignShelf:
    """Lists the ids that a reader finds; words and lengths are known once an episode is opened."""

    is_live = False

    def __init__(self, path: Path):
        self.path, self.title = path, path.resolve().name

    @property
    def notes(self) -> Sequence[str]:
        """What the reader found beside the episodes."""
        name, reader = self._opened
        remarks = [str(remark) for remark in getattr(reader, "remarks", ())]
        return [f"Read as '{name}': words and lengths are known once an episode is opened.", *remarks]

    def version(self) -> str:
        """Foreign folders are looked at as they were opened."""
        return "0"

    def entries(self) -> Sequence[Entry]:
        """In the reader's order."""
        return self._entries

    def open(self, number: int) -> "Viewable":
        """An episode, checked as one that is imported."""
        from action_images.reports.viewing.viewable import of_episode

        _, reader = self._opened
        return of_episode(reader.read(self._entries[number].id).check())

    @cached_property
    def _opened(self) -> tuple[str, Any]:
        from action_images.episodes.readers import open_foreign

        return open_foreign(self.path)

    @cached_property
    def _entries(self) -> list[Entry]:
        return [Entry(name) for name in self._opened[1].ids]
