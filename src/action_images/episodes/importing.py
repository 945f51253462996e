"""Import foreign episodes into a data set of ours: in parallel, in order, and resumable."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from action_images.episodes.contradictions import told_openings
from action_images.episodes.copies import Copies
from action_images.episodes.dataset import Dataset
from action_images.episodes.dropouts import missing_places, missing_turns, told_held
from action_images.episodes.encoded_episode import Encoded, encode_episode
from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.readers import WITHOUT_RATE, Gaps, Reader, SeveralTasks, Wanted, open_foreign
from action_images.episodes.resize import select_views
from action_images.episodes.shift import shifted
from action_images.episodes.source_record import keep_record, stored_ids
from action_images.episodes.video import MAX_CRF, Codec
from action_images.episodes.video_index import MAX_SIDE_PX
from action_images.episodes.words import is_code, says_nothing
from action_images.episodes.writer import DatasetWriter
from action_images.errors import ActionImagesError, printable
from action_images.files.atomic import write_json
from action_images.files.lock import alone_in
from action_images.files.settings import keep_settings, load_settings
from action_images.parallel.isolated import each_isolated

SETTINGS = "meta/import/settings.json"
REFUSALS = "import.json"
STAGING = ".action-images-import-"
"""How the folder of episodes begins that are encoded but not yet stored."""


@dataclass(frozen=True)
class Job:
    """Settings of an import.

    `views`: the only ones read (none: all); `size`: what views are resized to (None: their own); `shift`:
    frames by which a view's pictures are late; `several_tasks`: whether an episode whose task changes is cut
    or refused; `columns`: the json file that declares the poses' notation; `codec`: the videos' codec;
    `gaps`: whether an episode whose rows leave frames out is refused or cut.
    """

    source: Path
    format: str = "auto"
    views: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    crf: int = 18
    shift: Mapping[str, int] = field(default_factory=dict)
    several_tasks: SeveralTasks = "cut"
    fps: float | None = None
    columns: Path | None = None
    codec: Codec = "h264"
    gaps: Gaps = "refuse"

    def __post_init__(self) -> None:
        if self.size is not None and not all(0 < side <= MAX_SIDE_PX for side in self.size):
            given = " ".join(map(str, self.size))
            raise ActionImagesError(f"--size {given}: give a height and a width of 1 to {MAX_SIDE_PX} px")
        if not 0 <= self.crf <= MAX_CRF:
            raise ActionImagesError(f"--crf {self.crf}: give 0 (nearly lossless) to {MAX_CRF} (smallest)")

    @property
    def wanted(self) -> Wanted:
        """The request to a reader."""
        return Wanted(self.views, self.several_tasks, self.fps, self.columns, self.gaps)

    def settings(self) -> dict[str, Any]:
        """All settings that determine an imported episode; the episodes of one data set share them.

        `gaps` is not among them: it only adds episodes with ids of their own.
        The source's place is stored as a hash: data sets are published, and the path is private.
        """
        place = sha256(str(self.source.resolve()).encode()).hexdigest()[:16]
        told = {name: getattr(self, name) for name in ("format", "views", "size", "crf")}
        told |= {"source": f"{self.source.resolve().name} {place}"}
        # Sets begun before these options existed do not have them.
        told |= {"shift": dict(self.shift)} if self.shift else {}
        told |= {"codec": self.codec} if self.codec != "h264" else {}
        told |= {"fps": self.fps} if self.fps is not None else {}
        told |= {} if self.columns is None else {"columns": read_json(self.columns)}
        return told | ({"several_tasks": self.several_tasks} if self.several_tasks != "cut" else {})


@dataclass
class Outcome:
    """The outcome for every episode of the source, and remarks on the imported ones.

    `remarks` are about the source. `notes` are about episodes: each sentence with the episodes it applies to.
    `no_words`, `no_path` and `no_cameras` name the imported episodes that lack them (in any view). `openings`
    are the gripper's smallest and largest opening in all imported episodes; none if no path is known.
    """

    format: str
    imported: list[str] = field(default_factory=list)
    already_there: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    no_words: list[str] = field(default_factory=list)
    no_path: list[str] = field(default_factory=list)
    no_cameras: list[str] = field(default_factory=list)
    openings: tuple[float, float] | None = None
    copies: Copies = field(default_factory=Copies)

    def take(self, episode_id: str, encoded: Encoded) -> None:
        """Count an imported episode."""
        self.imported.append(episode_id)
        self.no_words += [episode_id] if encoded.instruction is None else []
        self.no_path += [] if encoded.has_path else [episode_id]
        self.no_cameras += [episode_id] if encoded.uncalibrated else []
        self.copies.take(episode_id, encoded.prints)
        spans = [one for one in (self.openings, encoded.openings) if one is not None]
        if spans:
            self.openings = min(low for low, _ in spans), max(high for _, high in spans)
        for note in encoded.notes:
            self.notes.setdefault(note, []).append(episode_id)

    def sentences(self) -> list[str]:
        """All remarks in a few sentences, the source's first."""
        said = list(self.remarks)
        lacking = {
            "instruction": self.no_words,
            "tool path": self.no_path,
            "calibration (of one view or more)": self.no_cameras,
        }
        counts = [f"{len(those)} have no {what}" for what, those in lacking.items() if those]
        if counts:
            said.append(f"of {len(self.imported)} imported episodes, {', '.join(counts)}")
        said += [f"{note} ({_where(those)})" for note, those in self.notes.items()]
        said += self.copies.sentences()
        told = None if self.openings is None else told_openings(*self.openings)
        return said if told is None else [*said, told]


def _where(episodes: list[str]) -> str:
    return episodes[0] if len(episodes) == 1 else f"{len(episodes)} episodes, the first {episodes[0]}"


def import_episodes(
    job: Job,
    out: Path,
    num_workers: int,
    limit: int | None = None,
    seen: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Append the source's episodes that are not yet in `out`, in the source's order; at most the first
    `limit`.

    An episode that is unusable, or unlike the data set's first, is refused with the reason; the import
    continues. `seen(done, all)` is called with progress. Raises EpisodeError if there is nothing to import,
    and OSError if worker processes cannot be started. Raises ActionImagesError if `out` holds episodes of
    another source, format, views, size or quality, or if another process imports into it.
    """
    if limit is not None and limit < 1:
        raise ActionImagesError(f"--limit is {limit}; look at one episode at least, or leave it out")
    _check_place(job.source, out)
    format, reader = open_foreign(job.source, job.format, job.wanted)
    job = replace(job, format=format)
    twice = sorted(set(job.shift) & set(getattr(reader, "shifts", {})))
    if twice:
        cure = "its calibration.json declares a shift of it as well; leave one of the two out"
        raise ActionImagesError(f"--shift {twice[0]}: {cure}")
    # Lock before reading or cleaning up anything: a second run would remove the first one's work in
    # progress.
    with alone_in((out / SETTINGS).parent):
        return _import(job, reader, reader.ids[:limit], out, num_workers, seen)


def _check_place(source: Path, out: Path) -> None:
    source, out = source.resolve(), out.resolve()
    if out == source or source in out.parents:
        raise EpisodeError(
            f"{out}: the set is never written into its source; name a folder outside of {source}"
        )


def _import(
    job: Job,
    reader: Reader,
    ids: Sequence[str],
    out: Path,
    num_workers: int,
    seen: Callable[[int, int], None] | None,
) -> Outcome:
    have = _known(out)
    idle = _idle_before(out, job.format) if have else {}
    keep_settings(out / SETTINGS, job.settings() | idle, empty=not have)
    every = stored_ids(out, reader, have)
    stored = {episode_id: every[episode_id] for episode_id in ids if episode_id in every}
    wanted = [episode_id for episode_id in ids if episode_id not in every]
    changed = keep_record(out, job.source, reader, stored=every, wanted=wanted, empty=not have)
    outcome = Outcome(job.format, already_there=[name for name in stored if name not in changed])
    outcome.refused = {name: printable(changed[name]) for name in stored if name in changed}
    outcome.remarks = [printable(remark) for remark in getattr(reader, "remarks", ())]
    outcome.remarks += [*_renamed(stored), *_gone(have - set(every.values()))]
    # Reasons of a failed attempt are not kept, like its settings.
    refused_before = _refused_before(out) if have else {}
    with _staging(out) as staging, ExitStack() as writers:
        writer = (
            writers.enter_context(DatasetWriter(out, Dataset(out).fps, job.crf, job.codec)) if have else None
        )
        for number, (episode_id, result) in enumerate(_encoded(job, reader, wanted, staging, num_workers)):
            # The first usable episode sets the data set's frame rate.
            if writer is None and isinstance(result, Encoded):
                writer = writers.enter_context(DatasetWriter(out, result.fps, job.crf, job.codec))
            reason = result if isinstance(result, str) else _refusal(writer, result)
            if reason is None and isinstance(result, Encoded):
                outcome.take(episode_id, result)
            else:
                outcome.refused[episode_id] = printable(str(reason))
            shutil.rmtree(_staged(staging, episode_id), ignore_errors=True)
            if seen is not None:
                seen(number + 1, len(wanted))
    known = set(reader.ids)
    _remember(out, outcome, {name: why for name, why in refused_before.items() if name in known})
    if not outcome.imported and not outcome.already_there:
        reason = next(iter(outcome.refused.values()))
        raise EpisodeError(
            f"{job.source}: none of {len(ids)} episodes could be imported; the first: {reason}"
        )
    return outcome


def _refusal(writer: DatasetWriter | None, encoded: Encoded) -> str | None:
    """Store an episode; returns the reason if it does not fit the data set, None if it is stored."""
    assert writer is not None
    try:
        writer.commit(encoded)
    except EpisodeError as error:
        return str(error)
    return None


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder on the data set's disk, cleared of a killed run's leftovers."""
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob(f"{STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=STAGING, dir=out) as folder:
        yield Path(folder)


def _staged(staging: Path, episode_id: str) -> Path:
    """The episode's own folder below the staging folder; an id may be longer than a file name."""
    return staging / sha256(episode_id.encode()).hexdigest()


def _idle_before(out: Path, format: str) -> dict[str, float]:
    """The --fps of a set that an earlier version began; it did nothing in a format with its own rate."""
    path = out / SETTINGS
    found = load_settings(path).get("fps") if path.is_file() and format not in WITHOUT_RATE else None
    return {} if found is None else {"fps": found}


def _renamed(stored: Mapping[str, str]) -> list[str]:
    """A remark on episodes that an earlier version imported by another id."""
    former = [name for name, once in stored.items() if name != once]
    if not former:
        return []
    told = f"{len(former)} episodes are there by the ids that an earlier version gave them"
    return [f"{told} ({former[0]} as {stored[former[0]]})"]


def _gone(names: set[str]) -> list[str]:
    """A remark on episodes that the source had when they were imported, and no longer has."""
    if not names:
        return []
    told = f"{len(names)} episodes that are there are no longer in the source (the first: {min(names)})"
    reason = "renamed or cut otherwise they come in once more, by another id"
    return [f"{told}; {reason}: import into another folder to have each once"]


def _known(out: Path) -> set[str]:
    return set(Dataset(out).ids) if any(out.glob("meta/episodes/*/*.parquet")) else set()


def _refused_before(out: Path) -> dict[str, str]:
    """Episodes that earlier runs refused, with reasons; raises EpisodeError if their file is damaged."""
    path = out / REFUSALS
    refused = read_json(path).get("refused") if path.is_file() else {}
    if not isinstance(refused, dict):
        raise EpisodeError(f"{path}: 'refused' is no json object; remove the file, then it is written anew")
    return refused


def _remember(out: Path, outcome: Outcome, refused_before: Mapping[str, str]) -> None:
    """Store beside the data the refused episodes with reasons: this run's, and those of earlier runs that
    this run did not reach and the source still has.
    """
    there = {*outcome.imported, *outcome.already_there}
    earlier = {episode_id: reason for episode_id, reason in refused_before.items() if episode_id not in there}
    write_json(out / REFUSALS, {"format": outcome.format, "refused": earlier | outcome.refused})


def _encoded(
    job: Job, reader: Reader, ids: Sequence[str], staging: Path, num_workers: int
) -> Iterator[tuple[str, Encoded | str]]:
    """Each id with its encoded episode or the reason of refusal, in order, with few at a time on disk."""
    if num_workers == 0:
        yield from ((episode_id, _encode(reader, job, episode_id, staging)) for episode_id in ids)
        return
    for episode_id, result in each_isolated(
        partial(_encode_in_worker, job, staging), ids, num_workers, _begin, (job,)
    ):
        reason = "the process that decoded it died; its files are damaged or need more memory than there is"
        yield episode_id, f"{episode_id}: {reason}" if result is None else result


_reader: Reader | None = None


def _begin(job: Job) -> None:
    """Read the source's index once for each worker process."""
    global _reader
    import torch

    torch.set_num_threads(1)
    _reader = open_foreign(job.source, job.format, job.wanted)[1]


def _encode_in_worker(job: Job, staging: Path, episode_id: str) -> Encoded | str:
    assert _reader is not None
    return _encode(_reader, job, episode_id, staging)


def _without_placeholder(episode: Episode) -> Episode:
    """The episode without an instruction if it is a placeholder for none; code is remarked on."""
    text = episode.instruction
    if text is not None and is_code(text):
        note = "its instruction is no plain text; it is taken as it stands: write the words alone"
        return replace(episode, notes=(*episode.notes, note))
    if text is None or not (says_nothing(text) or not text.strip()):
        return episode
    note = f"its instruction is {text[:60]!r}; that is no instruction"
    return replace(episode, instruction=None, notes=(*episode.notes, note))


def _without_dropouts(episode: Episode) -> Episode:
    """The episode, with remarks on poses that were not measured; raises EpisodeError for places of zero."""
    if episode.trajectory is None:
        return episode
    pose = episode.trajectory.world_from_tool
    missing = missing_places(pose)
    if missing is not None:
        raise EpisodeError(f"{episode.id}: {missing}")
    notes = [note for note in (missing_turns(pose), told_held(pose)) if note is not None]
    return replace(episode, notes=(*episode.notes, *notes))


def _encode(reader: Reader, job: Job, episode_id: str, staging: Path) -> Encoded | str:
    folder = _staged(staging, episode_id)
    folder.mkdir(exist_ok=True)  # it exists if the process that began the episode died
    try:
        episode = _without_dropouts(_without_placeholder(reader.read(episode_id)))
        episode = shifted(episode, job.shift) if job.shift else episode
        return encode_episode(select_views(episode, job.views, job.size), folder, job.crf, job.codec)
    except Exception as error:  # an error of any library refuses one episode; the others are imported
        is_told = isinstance(error, (ValueError, OSError))
        reason = str(error) if is_told else f"{type(error).__name__}: {error}"
        return reason if episode_id in reason else f"{episode_id}: {reason}"
