"""Foreign data sets, one file for each: the only home of conventions that are not ours."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

from action_images.episodes.episode import Episode, EpisodeError
from action_images.errors import among

SeveralTasks = Literal["cut", "refuse"]


@dataclass(frozen=True)
class Wanted:
    """What is asked of a reader.

    Which views are looked at (none named: all), what an episode of several tasks is, how fast episodes run
    where the format does not say, and the json file that declares the notation of their poses.
    """

    views: tuple[str, ...] = ()
    several_tasks: SeveralTasks = "cut"
    fps: float | None = None
    columns: Path | None = None

    def of(self, episode_id: str, views: Iterable[str]) -> list[str]:
        """Those of an episode's views that are looked at; damage of the others is nobody's business.

        Raises EpisodeError where one that is named is not there.
        """
        there = list(views)
        for name in self.views:
            if name not in there:
                has = ", ".join(there) or "none"
                raise EpisodeError(f"{episode_id}: there is no view '{name}'; it has {has}")
        return [name for name in there if not self.views or name in self.views]


EVERYTHING = Wanted()


@runtime_checkable
class Reader(Protocol):
    """The episodes of one foreign folder, converted to our conventions as they are read.

    A reader may have `remarks`, a list of sentences: what was found beside the episodes, what is known and
    was not found, and what is left out.
    """

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        """Look through the folder; raises EpisodeError where it cannot be read at all."""
        ...

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder looks like this format."""
        ...

    @property
    def ids(self) -> list[str]:
        """All episodes, sorted; those that turn out to be unusable too."""
        ...

    def read(self, episode_id: str) -> Episode:
        """One episode; raises ValueError, mostly EpisodeError, where it is unusable."""
        ...


READERS: Mapping[str, str] = MappingProxyType(
    {
        "lerobot": "lerobot.LeRobot",
        "action-images-rlbench": "action_images.ActionImagesRLBench",
        "rlbench": "rlbench.RLBench",
        "droid": "droid.Droid",
        "droid-processed": "droid.DroidProcessed",
        "bridge": "bridge.Bridge",
        "bridge-processed": "bridge.BridgeProcessed",
        "recordings": "recordings.Recordings",
        "rlds": "rlds.Rlds",
    }
)
"""Format -> file and class; the order in which they are tried."""
DECLARED = ("lerobot", "recordings")
"""Formats whose poses are somebody's own: --columns declares their notation."""


def open_foreign(root: Path, format: str = "auto", wanted: Wanted = EVERYTHING) -> tuple[str, Reader]:
    """The format's name and a reader of the folder.

    Raises EpisodeError where the folder is missing, of no known format or empty.
    """
    if not root.is_dir():
        raise EpisodeError(f"{root}: there is no such folder")
    # '.' has neither a name, which an id may be made of, nor a folder beside it, where tables may lie.
    root = root.resolve()
    if format != "auto" and format not in READERS:
        raise EpisodeError(f"there is no format '{format}'{among(format, ['auto', *READERS])}")
    for name in READERS if format == "auto" else [format]:
        reader_class = _load(name)
        if reader_class.recognises(root):
            if wanted.columns is not None and name not in DECLARED:
                cure = f"its notation is known; leave --columns out (it is for {', '.join(DECLARED)})"
                raise EpisodeError(f"{root}: is of format '{name}'; {cure}")
            reader = reader_class(root, wanted)
            if not reader.ids:
                raise EpisodeError(f"{root}: holds no episode of format '{name}'")
            return name, reader
    named = f"none of {', '.join(READERS)}" if format == "auto" else f"not '{format}'"
    cure = "give the folder that holds the episodes, or name --format"
    raise EpisodeError(f"{root}: is {named} as docs/data.md describes them; {cure}")


def _load(name: str) -> Any:
    module, _, reader = READERS[name].partition(".")
    return getattr(importlib.import_module(f"action_images.episodes.readers.{module}"), reader)
