"""The folder of labels: the data set and the settings that it belongs to."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.fingerprint import of_text
from action_images.episodes.readers.lerobot_fingerprint import Fingerprints
from action_images.episodes.tables import read_table
from action_images.errors import ActionImagesError
from action_images.files import jsonl
from action_images.files.lock import alone_in
from action_images.files.settings import keep_settings
from action_images.inference.label_job import Job
from action_images.inference.labelling import EpisodeLabels

FOLDER = "labels"
SETTINGS, EPISODES, REFUSED = f"{FOLDER}/settings.json", f"{FOLDER}/episodes.jsonl", f"{FOLDER}/refused.json"
SPOTS = f"{FOLDER}/spots.jsonl"
"""The episodes of the files of image points, a line for each."""
VERSION_2, ALONE = "2:", " (one file of 1 episodes)"
"""How hashes of `Contents` begin, and the end of the name of a part in a file of its own."""


@dataclass(frozen=True)
class SpotsRow:
    """The episode of a file of image points; `content` is its hash (`Contents.of`), None if unknown."""

    number: int
    id: str
    num_frames: int
    content: str | None = None


@contextmanager
def alone_with_labels(job: Job, out: Path) -> Iterator[None]:
    """Hold the lock on the labels of a folder.

    Raises EpisodeError if `out` is no place for labels, and ActionImagesError if another process holds it.
    """
    _check_place(job.source, out)
    with alone_in(out / FOLDER):
        yield


def prepare(job: Job, out: Path, limit: int | None) -> tuple[Dataset, int]:
    """The data set of a job, and the number of its episodes to be labelled into `out`.

    `out` is made, or checked to have the same data set and settings. Raises EpisodeError for a view that the
    data set does not have, and if `out` is no place for labels.
    """
    if limit is not None and limit < 1:
        raise ActionImagesError(f"--limit is {limit}; label one episode at least, or leave it out")
    dataset = Dataset(job.source)
    if len(dataset) == 0:
        raise EpisodeError(f"{job.source}: has no episodes, so there is nothing to label")
    missing = [name for name in job.labelling.views if name not in dataset.view_names]
    if missing:
        raise EpisodeError(
            f"{job.source}: has no view {', '.join(missing)}; it has {', '.join(dataset.view_names)}"
        )
    about = {"source": job.source.name, "source_content": fingerprint(job.source)}
    is_empty = not any((out / FOLDER).glob("*.csv")) and not load_labels(out)
    keep_settings(out / SETTINGS, asdict(job.labelling) | about, empty=is_empty)
    return dataset, len(dataset) if limit is None else min(limit, len(dataset))


def labels_file(out: Path, number: int) -> Path:
    """The file with the labels of an episode."""
    return out / FOLDER / f"{number:06d}.csv"


def load_labels(folder: Path) -> list[EpisodeLabels]:
    """The labels of each episode, in their order; none if the folder has no labels yet."""
    path = folder / EPISODES
    try:
        return [EpisodeLabels(**row) for row in jsonl.load(path)]
    except (ActionImagesError, TypeError) as error:
        raise EpisodeError(
            f"{path}: is no list of labelled episodes ({error}); label into a new folder"
        ) from error


def load_spots_rows(folder: Path) -> dict[int, SpotsRow]:
    """The episodes of the files of image points, by number; none for folders of earlier versions."""
    path = folder / SPOTS
    try:
        rows = [SpotsRow(**row) for row in jsonl.load(path)]
    except (ActionImagesError, TypeError) as error:
        raise EpisodeError(
            f"{path}: is no list of labelled episodes ({error}); label into a new folder"
        ) from error
    return {row.number: row for row in rows}


def check_some_labelled(source: Path, reasons: Sequence[str | None]) -> None:
    """Raise EpisodeError if every episode has a reason why it was not labelled."""
    if reasons and None not in reasons:
        raise EpisodeError(
            f"{source}: none of {len(reasons)} episodes could be labelled; the first: {reasons[0]}"
        )


def _check_place(source: Path, out: Path) -> None:
    if out == source or source in out.parents:
        raise EpisodeError(f"{out}: labels are never written in place; name a folder outside of {source}")
    if not (out / SETTINGS).is_file() and any(map(_is_foreign, out.rglob("*"))):
        raise EpisodeError(f"{out}: holds something that is no labelled copy; name a new folder")


def _is_foreign(path: Path) -> bool:
    """Whether this is more than the hidden files of a process that was killed before it wrote anything."""
    return path.is_file() and not path.name.startswith(".")


class Contents:
    """Hashes of a data set's episodes, by which changed rows, cameras or pictures are known.

    Where an episode lies in the set's files does not matter.
    """

    def __init__(self, source: Path) -> None:
        dataset = Dataset(source)
        self._prints = Fingerprints(dataset, dataset.view_names, ())

    def of(self, number: int) -> str:
        """The hash of an episode, without files of several episodes that are no plain mp4: they grow."""
        parts = self._prints.of(number).items()
        kept = [f"{name} {told}" for name, told in parts if " (one file of " not in name or ALONE in name]
        return VERSION_2 + of_text("\n".join(sorted(kept)))


def _statistics_hashes(source: Path) -> list[str]:
    """The hashes that version 1 stored: of each episode's length and statistics in the episode table."""
    rows = chain.from_iterable(
        read_table(path).to_pylist() for path in sorted(source.glob("meta/episodes/*/*.parquet"))
    )
    numbered = sorted((int(row["episode_index"]), _statistics_hash(row)) for row in rows)
    return [content for _, content in numbered]


def _statistics_hash(row: Mapping[str, object]) -> str:
    content = {name: value for name, value in row.items() if name == "length" or name.startswith("stats/")}
    return sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def check_same_content(source: Path, out: Path, known: Mapping[str, tuple[int, str | None]]) -> None:
    """Raise EpisodeError if an episode (id -> its number and hash when labelled) has other content now.

    Folders of earlier versions have no hashes (None), and are not checked.
    """
    contents, stored = Contents(source), [content for _, content in known.values() if content]
    is_old = any(not content.startswith(VERSION_2) for content in stored)
    statistics = _statistics_hashes(source) if is_old else []
    other = [
        one
        for one, (number, content) in known.items()
        if content
        and content != (contents.of(number) if content.startswith(VERSION_2) else statistics[number])
    ]
    if other:
        raise EpisodeError(
            f"{out}: {', '.join(other[:3])} had other pictures, cameras or numbers when labelled than in "
            f"{source} now; label into a new folder"
        )


def fingerprint(source: Path) -> str:
    """A hash that distinguishes data sets of the same name, made from the first row of the episode table.

    The row has statistics of the first episode's pixels. A data set that has grown keeps its hash: its new
    episodes are labelled into the same copy.
    """
    table = read_table(min(source.glob("meta/episodes/*/*.parquet")))
    first = table.slice(0, 1).to_pylist()
    return sha256(json.dumps(first, sort_keys=True, default=str).encode()).hexdigest()
