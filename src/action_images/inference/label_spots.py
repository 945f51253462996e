"""Label the tool's spots in the single view of a data set, a file for each episode; runs can be resumed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from action_images.files.atomic import write_json, write_text
from action_images.inference.label_folder import (
    REFUSED,
    alone_with_labels,
    check_some_labelled,
    labels_file,
    prepare,
)
from action_images.inference.label_job import Job
from action_images.parallel.cluster import Executor, here


def label_spots(
    job: Job,
    out: Path,
    limit: int | None = None,
    seen: Callable[[int, int], None] | None = None,
    executor: Executor = here,
) -> dict[str, str | None]:
    """Write labels/NUMBER.csv for each episode.

    Its columns are frame, three spots (px of the view's own size) and confidence, at the model's rate.

    No data set is written, as there are no poses. Existing files are kept. Returns each episode's id with the
    reason why it was not labelled (None: it was). labels/refused.json keeps these reasons; the next run tries
    these episodes again. `seen(done, all)` is called with the progress. Raises EpisodeError if no episode
    could be labelled at all.
    """
    job, out = replace(job, source=job.source.resolve()), out.resolve()
    with alone_with_labels(job, out):
        return _label_spots(job, out, limit, seen, executor)


def _label_spots(
    job: Job, out: Path, limit: int | None, seen: Callable[[int, int], None] | None, executor: Executor
) -> dict[str, str | None]:
    dataset, total = prepare(job, out, limit)
    reasons: dict[str, str | None] = dict.fromkeys(dataset.ids[:total])
    left = [number for number in range(total) if not labels_file(out, number).is_file()]
    num_done = total - len(left)
    for number, spots in zip(left, executor(job.spots, left), strict=True):
        if spots.text is not None:
            write_text(labels_file(out, number), spots.text)
        reasons[dataset.ids[number]] = spots.reason
        num_done += 1
        if seen is not None:
            seen(num_done, total)
    _write_refused(out, reasons)
    check_some_labelled(job.source, list(reasons.values()))
    return reasons


def _write_refused(out: Path, reasons: dict[str, str | None]) -> None:
    refused = {episode_id: reason for episode_id, reason in reasons.items() if reason is not None}
    if refused:
        write_json(out / REFUSED, refused)
    else:
        (out / REFUSED).unlink(missing_ok=True)
