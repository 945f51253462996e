"""Foreign episodes into a data set of ours: in parallel, in order, again from where it stopped."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from action_images.data.encoded import Encoded, encode_episode
from action_images.data.episode import EpisodeError
from action_images.data.fitted import select_views
from action_images.data.isolated import each_isolated
from action_images.data.readers import Reader, open_foreign
from action_images.data.store import Dataset
from action_images.data.video import commit_file
from action_images.data.writer import DatasetWriter


@dataclass(frozen=True)
class Job:
    """What is made of each episode: which views, at which size (None: their own), encoded how well."""

    source: Path
    format: str = "auto"
    views: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    crf: int = 18


@dataclass
class Outcome:
    """What became of every episode of the source."""

    format: str
    imported: list[str] = field(default_factory=list)
    already_there: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def import_episodes(
    job: Job, out: Path, num_workers: int, limit: int | None = None, seen: Callable[[int, int], None] | None = None
) -> Outcome:
    """Append the source's episodes that `out` does not have yet, in the source's order; at most the first `limit`.

    An episode that is unusable, or unlike the data set's first, is refused with the reason; everything else goes on.
    `seen(done, all)` is told of progress. Raises EpisodeError where there is nothing to import at all.
    """
    format, reader = open_foreign(job.source, job.format)
    ids = reader.ids[:limit]
    have = _known(out)
    wanted = [episode_id for episode_id in ids if episode_id not in have]
    outcome = Outcome(format, already_there=[episode_id for episode_id in ids if episode_id in have])
    with _staging(out) as staging, ExitStack() as writers:
        commit: Callable[[Encoded], None] | None = None
        for number, (episode_id, result) in enumerate(_encoded(replace(job, format=format), reader, wanted, staging, num_workers)):
            try:
                if isinstance(result, str):
                    raise EpisodeError(result)
                if commit is None:  # the first usable episode says how fast the data set runs
                    commit = writers.enter_context(DatasetWriter(out, result.fps, job.crf)).commit
                commit(result)
                outcome.imported.append(episode_id)
            except EpisodeError as error:
                outcome.refused[episode_id] = str(error)
            if seen is not None:
                seen(number + 1, len(wanted))
    _remember(out, outcome)
    if not outcome.imported and not outcome.already_there:
        reason = next(iter(outcome.refused.values()))
        raise EpisodeError(f"{job.source}: none of {len(ids)} episodes could be imported; the first: {reason}")
    return outcome


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder on the data set's disk, without what a killed run left there."""
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob(".import-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=out) as folder:
        yield Path(folder)


def _known(out: Path) -> set[str]:
    return set(Dataset(out).ids) if any(out.glob("meta/episodes/*/*.parquet")) else set()


def _remember(out: Path, outcome: Outcome) -> None:
    """Keep beside the data what was left out of it and why."""
    temporary = out / "import.json.part"
    temporary.write_text(json.dumps({"format": outcome.format, "refused": outcome.refused}, indent=2) + "\n")
    commit_file(temporary, out / "import.json")


def _encoded(job: Job, reader: Reader, ids: Sequence[str], staging: Path, num_workers: int) -> Iterator[tuple[str, Encoded | str]]:
    """Each id with its encoded episode or the reason against it, in order, few at a time on disk."""
    if num_workers == 0:
        yield from ((episode_id, _encode(reader, job, episode_id, staging)) for episode_id in ids)
        return
    for episode_id, result in each_isolated(partial(_encode_in_worker, job, staging), ids, num_workers, _begin, (job,)):
        reason = "the process that decoded it died; its files are damaged or need more memory than there is"
        yield episode_id, f"{episode_id}: {reason}" if result is None else result


_reader: Reader | None = None


def _begin(job: Job) -> None:
    """Look through the source once for each worker process."""
    global _reader
    import torch

    torch.set_num_threads(1)
    _reader = open_foreign(job.source, job.format)[1]


def _encode_in_worker(job: Job, staging: Path, episode_id: str) -> Encoded | str:
    assert _reader is not None
    return _encode(_reader, job, episode_id, staging)


def _encode(reader: Reader, job: Job, episode_id: str, staging: Path) -> Encoded | str:
    try:
        episode = select_views(reader.read(episode_id), job.views, job.size)
        return encode_episode(episode, Path(tempfile.mkdtemp(dir=staging)), job.crf)
    except (ValueError, OSError) as error:
        reason = str(error)
        return reason if episode_id in reason else f"{episode_id}: {reason}"
