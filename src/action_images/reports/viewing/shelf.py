"""The list of a page: numbered entries that can be searched and filtered; needs no torch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from action_images.reports.viewing.viewable import Viewable

MAX_LISTED = 200
"""The largest number of entries in one answer."""
MAX_VALUES = 60
"""The largest number of offered values of one facet, the most frequent first."""


@dataclass(frozen=True)
class Entry:
    """One line of a list.

    `facets` are the filters, such as {"outcome": ("failed",)}. `words` are searched besides `id` and `told`.
    `level` is `error`, `warning` or empty. `version` changes with the entry's contents, and distinguishes
    entries of one id.
    """

    id: str
    told: str = ""
    detail: str = ""
    level: str = ""
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: str = ""
    version: str = ""


@runtime_checkable
class Shelf(Protocol):
    """The viewable entries of one folder or file."""

    @property
    def title(self) -> str: ...
    @property
    def notes(self) -> Sequence[str]:
        """Sentences about all entries."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether new entries may still come."""
        ...

    def version(self) -> str:
        """A value that changes whenever the entries do; it is cheap."""
        ...

    def entries(self) -> Sequence[Entry]:
        """All entries; `open` takes the numbers of the last answer."""
        ...

    def open(self, number: int) -> "Viewable":
        """Open an entry; raises ActionImagesError if it cannot be opened."""
        ...


@dataclass(frozen=True)
class Wish:
    """A query for entries: all of these words, these values of facets, from a place in the list."""

    words: tuple[str, ...] = ()
    facets: Mapping[str, str] = field(default_factory=dict)
    start: int = 0


def listed(shelf: Shelf, wish: Wish) -> dict[str, Any]:
    """An answer as JSON: the numbers of all and of matching entries, a part of the matches, and filters."""
    entries = shelf.entries()
    found = [number for number, entry in enumerate(entries) if _matches(entry, wish)]
    piece = found[wish.start : wish.start + MAX_LISTED]
    return {
        "title": shelf.title,
        "notes": list(shelf.notes),
        "version": shelf.version(),
        "is_live": shelf.is_live,
        "total": len(entries),
        "matching": len(found),
        "start": wish.start,
        "entries": [_told(number, entries[number]) for number in piece],
        "facets": _facets(entries),
    }


def _matches(entry: Entry, wish: Wish) -> bool:
    if any(value not in entry.facets.get(name, ()) for name, value in wish.facets.items()):
        return False
    if not wish.words:
        return True
    text = f"{entry.id} {entry.told} {entry.words}".lower()
    return all(word in text for word in wish.words)


def _told(number: int, entry: Entry) -> dict[str, Any]:
    return {
        "number": number,
        "id": entry.id,
        "told": entry.told,
        "detail": entry.detail,
        "level": entry.level,
    }


def _facets(entries: Iterable[Entry]) -> dict[str, list[tuple[str, int]]]:
    """Facet -> its values with their numbers of entries."""
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        for name, values in entry.facets.items():
            counts.setdefault(name, Counter()).update(set(values))
    return {name: sorted(count.most_common(MAX_VALUES)) for name, count in counts.items()}
