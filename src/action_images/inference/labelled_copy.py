"""A copy of a data set with the paths that a model reads off its videos: again from where it stopped."""

import json
import tempfile
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import takewhile
from pathlib import Path

import torch

from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.encoded_episode import Encoded, encode_episode
from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.tables import read_table
from action_images.episodes.trajectory_file import save_trajectory
from action_images.files.atomic import commit_file
from action_images.files.settings import keep_settings
from action_images.geometry.fitting import whole_box
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.label import label, label_one_view
from action_images.inference.pacing import between, paced, recording
from action_images.inference.stitch import Sure
from action_images.parallel.cluster import Spread, Work, here

FOLDER = "labels"
SETTINGS, EPISODES, REFUSED = f"{FOLDER}/settings.json", f"{FOLDER}/episodes.jsonl", f"{FOLDER}/refused.json"


@dataclass(frozen=True)
class Labelling:
    """How a data set is labelled; `model` and `sampling` (None: the model's own) say by what, for people.

    `first_pose`: the first window begins from the pose that the episode has in its first frame (where it has one), and
    nothing else of its path is looked at. `text`: the model is told the instruction; by default it is not, as it might
    label what the text says instead of what the video shows. `least_known`: an episode of whose frames less than this
    share could be read gets no path in the copy, as the rest of it would be place-holders.
    """

    model: str
    views: tuple[str, ...]
    first_pose: bool = True
    text: bool = False
    overlap: int = 4
    seed: int = 0
    least_known: float = 0.9
    sampling: str | None = None

    def keeps(self, row: "EpisodeLabels") -> bool:
        """Whether an episode with these labels has a path in the copy."""
        return row.num_unknown < row.num_frames and 1 - row.num_unknown / row.num_frames >= self.least_known


@dataclass(frozen=True)
class EpisodeLabels:
    """What became of one episode: confidences (0 to 1) of its frames, and how far its labels lie from the path it had.

    `median_mm` and `median_deg` are None where it had none, or where nothing could be read. `reason` says why it was not
    labelled at all, as where a view is damaged or not calibrated, and is None where it was. `in_copy`: it is in the copy,
    without a path where there is a reason; a damaged one cannot be copied.
    """

    id: str
    number: int
    num_frames: int
    num_unknown: int
    mean_confidence: float
    least_confidence: float
    least_frame: int
    median_mm: float | None
    median_deg: float | None
    reason: str | None = None
    in_copy: bool = True


def label_episode(generator: ClipGenerator, episode: Episode, labelling: Labelling) -> Sure:
    """The path of an episode at its own rate, read at the model's; between model's frames it goes straight."""
    frames = paced(episode.num_frames, episode.fps, generator.clips.fps)
    shown = recording(episode, labelling.views, frames, generator.clips.size)
    if not labelling.first_pose:
        shown = replace(shown, trajectory=None)
    if not labelling.text:
        shown = replace(shown, instruction=None)
    found = label(generator, shown, labelling.overlap, labelling.seed)
    known = found.bridged()
    # A pose may be placed between known ones, but its confidence stays 0.
    return (found if known is None else known).at(between(frames, episode.num_frames))


@dataclass(frozen=True)
class Job:
    """All that a process needs to label any episode of a data set; `load` makes its generator, so it must be picklable."""

    load: Callable[[], ClipGenerator]
    source: Path
    labelling: Labelling

    def labels(self, folder: Path) -> Work["Labelled"]:
        """Begin: an episode by its number becomes its path, what became of it, and the episode encoded into `folder`."""
        generator, dataset = self.load(), Dataset(self.source)

        def work(number: int) -> Labelled:
            try:
                episode = dataset[number]
                found = label_episode(generator, episode, self.labelling)
                row = _described(episode, number, found)
                copy = replace(episode, trajectory=found.path if self.labelling.keeps(row) else None)
                return Labelled(row, found, _encoded(copy, folder))
            except EpisodeError as error:
                return _not_labelled(dataset, number, str(error), folder)

        return work

    def spots(self) -> Work["SpotRows"]:
        """Begin: an episode by its number becomes the rows of its file of image points."""
        generator, dataset = self.load(), Dataset(self.source)

        def work(number: int) -> SpotRows:
            try:
                return SpotRows(_spot_rows(generator, dataset[number], self.labelling))
            except EpisodeError as error:
                return SpotRows(reason=str(error))

        return work

    def prepared(self, out: Path, limit: int | None) -> tuple[Dataset, int]:
        """The data set, and how many of its episodes are to be labelled; `out` is made, or seen to be of the same settings.

        Raises EpisodeError for a view that the data set does not have, and where `out` is no place for the copy.
        """
        dataset = Dataset(self.source)
        missing = [name for name in self.labelling.views if name not in dataset.view_names]
        if missing:
            raise EpisodeError(
                f"{self.source}: has no view {', '.join(missing)}; it has {', '.join(dataset.view_names)}"
            )
        _prepare(self.source, out, self.labelling)
        return dataset, len(dataset) if limit is None else min(limit, len(dataset))


@dataclass(frozen=True)
class Labelled:
    """One episode as it comes back: what became of it, its path (None: not labelled), and itself encoded (None: damaged)."""

    row: EpisodeLabels
    found: Sure | None
    encoded: Encoded | None


@dataclass(frozen=True)
class SpotRows:
    """The file of one episode's image points, or the reason why there is none."""

    text: str | None = None
    reason: str | None = None


def _encoded(episode: Episode, folder: Path) -> Encoded:
    # A folder of its own: work that a killed process had under way is done again.
    return encode_episode(episode, Path(tempfile.mkdtemp(dir=folder)))


def _not_labelled(dataset: Dataset, number: int, reason: str, folder: Path) -> Labelled:
    """The episode without a path, or where it is damaged without itself."""
    num_frames = dataset.length(number)
    row = EpisodeLabels(dataset.ids[number], number, num_frames, num_frames, 0.0, 0.0, 0, None, None, reason)
    try:
        return Labelled(row, None, _encoded(replace(dataset[number], trajectory=None), folder))
    except EpisodeError:
        return Labelled(replace(row, in_copy=False), None, None)


def label_dataset(
    job: Job,
    out: Path,
    limit: int | None = None,
    seen: Callable[[int, int], None] | None = None,
    spread: Spread = here,
) -> list[EpisodeLabels]:
    """Write `out`: the job's episodes, their paths labelled; at most the first `limit`, those already there left alone.

    The copy has labels/NUMBER.csv with each frame's pose and confidence, and labels/episodes.jsonl. An episode of which
    too little could be read has no path in the copy, nor has one that is not calibrated; a damaged one is not in it. Their
    rows say so, and the others are labelled. `seen(done, all)` is told of progress. Where the work is `spread` over
    machines, all must see the source and `out` under the same paths; what is written does not depend on it. Raises
    EpisodeError where `out` is the source, holds something else, or was labelled in another way, and where no episode
    could be labelled at all.
    """
    job, out = replace(job, source=job.source.resolve()), out.resolve()
    dataset, total = job.prepared(out, limit)
    with DatasetWriter(out, dataset.fps) as writer:
        done = _done(job.source, dataset, out, writer.ids)
        _write(out / EPISODES, "".join(_line(row) for row in done))
        with writer.staging() as folder:
            for labelled in spread(partial(job.labels, Path(folder)), range(len(done), total)):
                row = labelled.row
                done.append(row)
                # What says more about an episode comes before the episode: a run that is killed in between writes it again.
                if labelled.found is not None:
                    path = out / FOLDER / f"{row.number:06d}.csv"
                    save_trajectory(path, labelled.found.path, {"confidence": labelled.found.confidence})
                with (out / EPISODES).open("a") as file:
                    file.write(_line(row))
                if labelled.encoded is not None:
                    writer.commit(labelled.encoded)
                if seen is not None:
                    seen(row.number + 1, total)
    _see_that_some_are_labelled(job.source, [row.reason for row in done[:total]])
    return done[:total]


def _done(source: Path, dataset: Dataset, out: Path, in_copy: Set[str]) -> list[EpisodeLabels]:
    """What became of the episodes that are done with; raises EpisodeError unless they are the first ones of the source."""
    done = list(takewhile(lambda row: row.id in in_copy or not row.in_copy, load_labels(out)))
    if (
        in_copy != {row.id for row in done if row.in_copy}
        or [row.id for row in done] != dataset.ids[: len(done)]
    ):
        raise EpisodeError(
            f"{out}: holds episodes that are not the first ones of {source}; label into a new folder"
        )
    other = [row.id for row in done if dataset.length(row.number) != row.num_frames]
    if other:
        raise EpisodeError(
            f"{out}: {', '.join(other[:3])} had another length when labelled than in {source}; label into a new folder"
        )
    return done


def _see_that_some_are_labelled(source: Path, reasons: Sequence[str | None]) -> None:
    if reasons and None not in reasons:
        raise EpisodeError(
            f"{source}: none of {len(reasons)} episodes could be labelled; the first: {reasons[0]}"
        )


def label_spots(
    job: Job,
    out: Path,
    limit: int | None = None,
    seen: Callable[[int, int], None] | None = None,
    spread: Spread = here,
) -> dict[str, str | None]:
    """Write labels/NUMBER.csv of a single view: frame, three spots (px of the view's own size) and confidence, at the model's rate.

    No data set is written, as there are no poses. Those already there are left alone. Returns each episode's id with the
    reason why it was not labelled (None: it was), which labels/refused.json keeps; the next run tries it again. Raises
    EpisodeError where no episode could be labelled at all.
    """
    job = replace(job, source=job.source.resolve())
    dataset, total = job.prepared(out, limit)
    reasons: dict[str, str | None] = dict.fromkeys(dataset.ids[:total])
    files = [out / FOLDER / f"{number:06d}.csv" for number in range(total)]
    missing = [number for number, path in enumerate(files) if not path.is_file()]
    for done, (number, rows) in enumerate(
        zip(missing, spread(job.spots, missing), strict=True), total - len(missing) + 1
    ):
        if rows.text is not None:
            _write(files[number], rows.text)
        reasons[dataset.ids[number]] = rows.reason
        if seen is not None:
            seen(done, total)
    refused = {episode_id: reason for episode_id, reason in reasons.items() if reason is not None}
    (out / REFUSED).unlink(missing_ok=True)
    if refused:
        _write(out / REFUSED, json.dumps(refused, indent=2) + "\n")
    _see_that_some_are_labelled(job.source, list(reasons.values()))
    return reasons


def _spot_rows(generator: ClipGenerator, episode: Episode, labelling: Labelling) -> str:
    frames = paced(episode.num_frames, episode.fps, generator.clips.fps)
    shown = recording(episode, labelling.views, frames, generator.clips.size)
    given = replace(
        shown,
        trajectory=shown.trajectory if labelling.first_pose else None,
        instruction=shown.instruction if labelling.text else None,
    )
    spots = label_one_view(generator, given, labelling.overlap, labelling.seed)
    top, left, height, width = whole_box(episode.view(labelling.views[0]).frames.size, generator.clips.size)
    scale = torch.tensor([width / generator.clips.size[1], height / generator.clips.size[0]])
    points = (spots.position * scale + torch.tensor([left, top])).flatten(1)
    points = torch.where(spots.seen.repeat_interleave(2, 1), points, torch.nan)
    header = "frame,red_x,red_y,green_x,green_y,blue_x,blue_y,confidence"
    rows = zip(frames, points.tolist(), spots.confidence.tolist(), strict=True)
    return (
        "\n".join(
            [
                header,
                *(
                    ",".join([str(frame), *(f"{value:.3f}" for value in (*xy, sure))])
                    for frame, xy, sure in rows
                ),
            ]
        )
        + "\n"
    )


def load_labels(folder: Path) -> list[EpisodeLabels]:
    """What became of each episode, in their order; none where the folder has no labels yet."""
    path = folder / EPISODES
    if not path.is_file():
        return []
    # A last line that a crash left unfinished is none: its episode was not stored.
    *lines, _unfinished = path.read_text().split("\n")
    try:
        return [EpisodeLabels(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise EpisodeError(
            f"{path}: is no list of labelled episodes ({error}); label into a new folder"
        ) from error


def _prepare(source: Path, out: Path, labelling: Labelling) -> None:
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise EpisodeError(f"{out}: labels are never written in place; name a folder outside of {source}")
    path = out / SETTINGS
    if out.exists() and any(out.iterdir()) and not path.is_file():
        raise EpisodeError(f"{out}: holds something that is no labelled copy; name a new folder")
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    settings = asdict(labelling) | {"source": source.resolve().name, "source_content": _fingerprint(source)}
    keep_settings(path, settings, empty=not any((out / FOLDER).glob("*.csv")) and not load_labels(out))


def _fingerprint(source: Path) -> str:
    """Tells one data set from another of the same name: its first episode with the statistics of its pixels, in the episode table.

    Not the whole table: a set that has grown since is the same one, and its new episodes are labelled into the same copy.
    """
    first = read_table(min(source.glob("meta/episodes/*/*.parquet"))).slice(0, 1).to_pylist()
    return sha256(json.dumps(first, sort_keys=True, default=str).encode()).hexdigest()


def _described(episode: Episode, number: int, found: Sure) -> EpisodeLabels:
    sure = found.confidence
    unknown = int((sure == 0).sum())
    errors: tuple[float | None, float | None] = (None, None)
    if episode.trajectory is not None and unknown < len(sure):
        metres, radians = found.path.world_from_tool.distance(
            episode.trajectory.world_from_tool.to(torch.float32)
        )
        errors = 1e3 * metres.median().item(), radians.rad2deg().median().item()
    least = int(sure.argmin())
    return EpisodeLabels(
        episode.id, number, len(sure), unknown, sure.mean().item(), sure[least].item(), least, *errors
    )


def _line(row: EpisodeLabels) -> str:
    return json.dumps(asdict(row)) + "\n"


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    commit_file(part, path)
