"""Copy a data set with the paths that a model reads from its videos; runs can be resumed."""

from collections.abc import Callable, Set
from dataclasses import asdict, replace
from functools import partial
from itertools import takewhile
from pathlib import Path

from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import EpisodeError
from action_images.episodes.trajectory_file import save_trajectory
from action_images.files import jsonl
from action_images.inference.label_folder import (
    EPISODES,
    Contents,
    alone_with_labels,
    check_same_content,
    check_some_labelled,
    labels_file,
    load_labels,
    prepare,
)
from action_images.inference.label_job import Job, LabelledEpisode
from action_images.inference.labelling import EpisodeLabels
from action_images.parallel.cluster import Executor, here


def label_dataset(
    job: Job,
    out: Path,
    limit: int | None = None,
    seen: Callable[[int, int], None] | None = None,
    executor: Executor = here,
) -> list[EpisodeLabels]:
    """Write the job's episodes with labelled paths to `out`, at most the first `limit`.

    Episodes already in `out` are kept.

    The copy has labels/NUMBER.csv with each frame's pose and confidence, and labels/episodes.jsonl. An
    episode has no path in the copy if too little of it could be read, or if it is not calibrated. A damaged
    episode is not copied. Their rows say so, and the others are labelled. `seen(done, all)` is called with
    the progress. If the `executor` works on other machines, all must see the source and `out` under the same
    paths; the result does not depend on the executor.

    Raises EpisodeError if `out` is the source, holds something else, or was labelled with other settings, and
    if no episode could be labelled at all.
    """
    job, out = replace(job, source=job.source.resolve()), out.resolve()
    with alone_with_labels(job, out):
        dataset, total = prepare(job, out, limit)
        with DatasetWriter(out, dataset.fps) as writer:
            rows = _rows_done(job.source, dataset, out, writer.ids)
            jsonl.write(out / EPISODES, [asdict(row) for row in rows])
            with writer.staging() as folder:
                left = range(len(rows), total)
                contents = Contents(job.source)
                for labelled in executor(partial(job.labels, Path(folder)), left):
                    row = replace(labelled.row, content=contents.of(labelled.row.number))
                    _store(replace(labelled, row=row), out, writer)
                    rows.append(row)
                    if seen is not None:
                        seen(len(rows), total)
    rows = rows[:total]
    check_some_labelled(job.source, [row.reason for row in rows])
    return rows


def _store(labelled: LabelledEpisode, out: Path, writer: DatasetWriter) -> None:
    """Write all files of an episode.

    The episode itself comes last, so that after a kill in between, the next run labels it again.
    """
    row, found = labelled.row, labelled.found
    if found is not None:
        save_trajectory(labels_file(out, row.number), found.path, {"confidence": found.confidence})
    jsonl.append(out / EPISODES, asdict(row))
    if labelled.encoded is not None:
        writer.commit(labelled.encoded)


def _rows_done(source: Path, dataset: Dataset, out: Path, in_copy: Set[str]) -> list[EpisodeLabels]:
    """The rows of the episodes that are done.

    Raises EpisodeError unless these are the first ones of the source.
    """
    # A kill can leave a last row whose episode was not stored.
    done = list(takewhile(lambda row: row.id in in_copy or not row.in_copy, load_labels(out)))
    ids = [row.id for row in done]
    copied = {row.id for row in done if row.in_copy}
    if ids != dataset.ids[: len(done)] or copied != in_copy:
        raise EpisodeError(
            f"{out}: holds episodes that are not the first ones of {source}; label into a new folder"
        )
    other = [row.id for row in done if dataset.length(row.number) != row.num_frames]
    if other:
        raise EpisodeError(
            f"{out}: {', '.join(other[:3])} had another length when labelled than in {source}; "
            "label into a new folder"
        )
    check_same_content(source, out, {row.id: (row.number, row.content) for row in done})
    return done
