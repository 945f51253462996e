"""The episodes of a folder in a foreign format, read as `action-images import` reads them."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from action_images.reports.viewing.shelf import Entry

if TYPE_CHECKING:
    from action_images.reports.viewing.viewable import Viewable


class ForeignShelf:
    """Lists the ids that a reader finds; instructions and lengths are known once an episode is opened."""

    is_live = False

    def __init__(self, path: Path):
        self.path, self.title = path, path.resolve().name

    @property
    def notes(self) -> Sequence[str]:
        """The reader's notes."""
        name, reader = self._opened
        remarks = [str(remark) for remark in getattr(reader, "remarks", ())]
        return [f"Read as '{name}': words and lengths are known once an episode is opened.", *remarks]

    def version(self) -> str:
        """Constant: a foreign folder is shown as it was when opened."""
        return "0"

    def entries(self) -> Sequence[Entry]:
        """All episodes, in the reader's order."""
        return self._entries

    def open(self, number: int) -> "Viewable":
        """An episode, checked like an imported one."""
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
