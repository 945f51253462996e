"""Label the tool's spots in the single view of a data set, a file for each episode; runs can be resumed."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.files import jsonl
from action_images.files.atomic import write_json, write_text
from action_images.inference.label_folder import (
    FOLDER,
    REFUSED,
    SPOTS,
    Contents,
    SpotsRow,
    alone_with_labels,
    check_same_content,
    check_some_labelled,
    labels_file,
    load_spots_rows,
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

    No data set is written, as there are no poses. Existing files are kept, and labels/spots.jsonl has the
    episode of each. Returns each episode's id with the
    reason why it was not labelled (None: it was). labels/refused.json keeps these reasons; the next run tries
    these episodes again. `seen(done, all)` is called with the progress. Raises EpisodeError if a file belongs
    to another episode than the one with its number, and if no episode could be labelled at all.
    """
    job, out = replace(job, source=job.source.resolve()), out.resolve()
    with alone_with_labels(job, out):
        return _label_spots(job, out, limit, seen, executor)


def _label_spots(
    job: Job, out: Path, limit: int | None, seen: Callable[[int, int], None] | None, executor: Executor
) -> dict[str, str | None]:
    dataset, total = prepare(job, out, limit)
    reasons: dict[str, str | None] = dict.fromkeys(dataset.ids[:total])
    done = _episodes_done(job.source, dataset, out)
    jsonl.write(out / SPOTS, [asdict(row) for row in done.values()])
    left = [number for number in range(total) if number not in done]
    contents = Contents(job.source)
    num_done = total - len(left)
    for number, spots in zip(left, executor(job.spots, left), strict=True):
        if spots.text is not None:
            # The row comes first, so that no file is ever without its episode's id.
            row = replace(_row_of(dataset, number), content=contents.of(number))
            jsonl.append(out / SPOTS, asdict(row))
            write_text(labels_file(out, number), spots.text)
        reasons[dataset.ids[number]] = spots.reason
        num_done += 1
        if seen is not None:
            seen(num_done, total)
    _write_refused(out, reasons)
    check_some_labelled(job.source, list(reasons.values()))
    return reasons


def _episodes_done(source: Path, dataset: Dataset, out: Path) -> dict[int, SpotsRow]:
    """The rows of all episodes that have a file, by number.

    Raises EpisodeError if a file belongs to another episode than the one that now has its number. Files of
    earlier versions have no row: they are held against the length of their episode.
    """
    rows = load_spots_rows(out)
    done: dict[int, SpotsRow] = {}
    for path in sorted((out / FOLDER).glob("*.csv")):
        number = int(path.stem) if path.stem.isdecimal() else -1
        if path != labels_file(out, number):
            raise EpisodeError(f"{path}: is no file of labels; move it elsewhere, or label into a new folder")
        row = _row_of(dataset, number) if number < len(dataset) else None
        known = rows.get(number)
        if known is None and row is not None and _last_frame(path) + 1 == row.num_frames:
            known = row
        if row is None or known is None or replace(known, content=None) != row:
            belongs = "another length or no episode" if known is None else f"{known.id}"
            raise EpisodeError(
                f"{path}: belongs to {belongs}, episode {number} of {source} is "
                f"{'not there' if row is None else row.id}; label into a new folder"
            )
        done[number] = known
    check_same_content(source, out, {row.id: (row.number, row.content) for row in done.values()})
    return done


def _row_of(dataset: Dataset, number: int) -> SpotsRow:
    return SpotsRow(number, dataset.ids[number], dataset.length(number))


def _last_frame(path: Path) -> int:
    """The last frame in a file of spots, which is the last of its episode; -1 if it cannot be read."""
    frame, *_ = path.read_text().rstrip("\n").rpartition("\n")[2].split(",")
    return int(frame) if frame.isdecimal() else -1


def _write_refused(out: Path, reasons: dict[str, str | None]) -> None:
    refused = {episode_id: reason for episode_id, reason in reasons.items() if reason is not None}
    if refused:
        write_json(out / REFUSED, refused)
    else:
        (out / REFUSED).unlink(missing_ok=True)
