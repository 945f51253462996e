"""Readers of foreign data sets, one file for each: the only place for conventions that are not ours."""

import importlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, runtime_checkable

from action_images.episodes.episode import Episode, EpisodeError
from action_images.errors import among

SeveralTasks = Literal["cut", "refuse"]
Gaps = Literal["refuse", "cut"]


@dataclass(frozen=True)
class Wanted:
    """The request to a reader.

    `views`: the only ones read (none: all); `several_tasks`: whether to cut or refuse an episode of several
    tasks; `fps`: frame rate for a format without one; `columns`: the json file that declares the notation of
    the poses; `gaps`: whether to refuse or cut an episode whose rows leave frames out.
    """

    views: tuple[str, ...] = ()
    several_tasks: SeveralTasks = "cut"
    fps: float | None = None
    columns: Path | None = None
    gaps: Gaps = "refuse"

    def of(self, episode_id: str, views: Iterable[str]) -> list[str]:
        """The requested ones of an episode's views; damage of other views is ignored.

        Raises EpisodeError if a requested view is missing.
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

    A reader may have `remarks`, a list of sentences: what was found beside the episodes, which known parts
    are missing, and what is left out. `former_ids`: ids that earlier versions made otherwise, with the former
    ones. `calibrated_by(episode_id)`: the files beside the recordings that calibrate an episode.
    `fingerprint(episode_id)`: hashes of an episode's own poses, words and pictures, by a name for each.
    """

    def __init__(self, root: Path, wanted: Wanted = EVERYTHING):
        """Index the folder; raises EpisodeError if it cannot be read at all."""
        ...

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Whether the folder looks like this format."""
        ...

    @property
    def ids(self) -> list[str]:
        """All episodes, sorted, including unusable ones."""
        ...

    def read(self, episode_id: str) -> Episode:
        """One episode; raises ValueError, usually EpisodeError, if it is unusable."""
        ...


READERS: Mapping[str, str] = MappingProxyType(
    {
        "lerobot": "lerobot.LeRobot",
        "action-images-rlbench": "action_images.ActionImagesRLBench",
        "rlbench": "rlbench.RLBench",
        "droid": "droid.Droid",
        "droid-processed": "droid_processed.DroidProcessed",
        "bridge": "bridge.Bridge",
        "bridge-processed": "bridge.BridgeProcessed",
        "recordings": "recordings.Recordings",
        "rlds": "rlds.Rlds",
    }
)
"""Format -> file and class."""
WITH_GAPS = ("lerobot",)
"""Formats whose rows have times of their own and may leave frames out: --gaps cuts there."""
DECLARED = ("lerobot", "recordings")
"""Formats without a fixed notation of poses: --columns declares it."""
WITHOUT_RATE = ("rlds",)
"""Formats that do not say how fast their episodes run: --fps does."""


def open_foreign(root: Path, format: str = "auto", wanted: Wanted = EVERYTHING) -> tuple[str, Reader]:
    """The format's name and a reader of the folder.

    Raises EpisodeError if the folder is missing, empty, of no known format, or of several.
    """
    if not root.is_dir():
        raise EpisodeError(f"{root}: there is no such folder")
    # '.' has no name to make an id of, and no folder beside it in which tables may lie.
    root = root.resolve()
    if wanted.fps is not None and not 0 < wanted.fps < math.inf:
        raise EpisodeError(f"--fps is {wanted.fps:g}; give a finite rate above 0, or leave it out")
    if format != "auto" and format not in READERS:
        raise EpisodeError(f"there is no format '{format}'{among(format, ['auto', *READERS])}")
    tried = READERS if format == "auto" else [format]
    fitting = [name for name in tried if _load(name).recognises(root)]
    if not fitting:
        named = f"none of {', '.join(READERS)}" if format == "auto" else f"not '{format}'"
        cure = "give the folder that holds the episodes, or name --format"
        raise EpisodeError(f"{root}: is {named} as docs/data.md describes them; {cure}")
    if len(fitting) > 1:
        cure = f"import each by name, as --format {fitting[0]}, or move one into a folder of its own"
        raise EpisodeError(f"{root}: fits the formats {' and '.join(fitting)}; {cure}")
    (name,) = fitting
    if wanted.columns is not None and name not in DECLARED:
        cure = f"its notation is known; leave --columns out (it is for {', '.join(DECLARED)})"
        raise EpisodeError(f"{root}: is of format '{name}'; {cure}")
    if wanted.fps is not None and name not in WITHOUT_RATE:
        cure = f"leave --fps out (it is for {', '.join(WITHOUT_RATE)})"
        raise EpisodeError(f"{root}: is of format '{name}', which has its own frame rate; {cure}")
    if wanted.gaps != "refuse" and name not in WITH_GAPS:
        cure = f"its episodes are never cut at gaps; leave --gaps out (it is for {', '.join(WITH_GAPS)})"
        raise EpisodeError(f"{root}: is of format '{name}'; {cure}")
    reader = _load(name)(root, wanted)
    if not reader.ids:
        raise EpisodeError(f"{root}: holds no episode of format '{name}'")
    return name, reader


def _load(name: str) -> Any:
    module, _, reader = READERS[name].partition(".")
    return getattr(importlib.import_module(f"action_images.episodes.readers.{module}"), reader)
