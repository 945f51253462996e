"""Label a data set's videos with the tool's path: a copy with poses, confidences and a page to review.

action-images label dataset --out labelled
action-images label recordings --out labelled --model run/model --from-nothing --limit 20
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.model_options import ModelOptions
from action_images.terminal.paths import GivenFolder, OutFolder
from action_images.terminal.progress import counting
from action_images.terminal.worker_options import WorkerOptions

if TYPE_CHECKING:
    from action_images.inference.label_job import Job
    from action_images.parallel.cluster import Executor
    from action_images.terminal.console import PlainConsole


@dataclass(frozen=True)
class How:
    """What the model is shown and told, and which labels are kept."""

    views: tuple[str, ...] = ()
    """Which views the model is shown; the first two if not given."""
    from_nothing: bool = False
    """Do not give the model the first pose, even if the data set has it."""
    text: bool = False
    """Give the model the instruction; it may then label what the text says."""
    overlap: int = 4
    """How many model frames each window shares with the previous one."""
    least_known: float = 0.9
    """An episode gets no trajectory in the copy if less than this share (0 to 1) of its frames could be
    read."""
    seed: int = 0
    """The same seed gives the same labels."""


def main(
    dataset: Annotated[GivenFolder, tyro.conf.Positional],
    out: OutFolder,
    limit: int | None = None,
    how: Annotated[How, tyro.conf.arg(name="")] = How(),
    models: Annotated[ModelOptions, tyro.conf.arg(name="")] = ModelOptions(),
    workers: Annotated[WorkerOptions, tyro.conf.arg(name="")] = WorkerOptions(),
) -> None:
    """Label a data set's videos with the tool's path, into a copy; the same command resumes a stopped run.

    OUT is a data set with the labels as its trajectories. OUT/labels/NUMBER.csv has each frame's pose and
    confidence, OUT/labels/episodes.jsonl has one line for each episode, and OUT/labels.html shows the least
    confident episodes first. One view shows no depth and gives no poses: OUT/labels/NUMBER.csv then has the
    image positions of the three spots, and nothing else is written.

    Args:
        dataset: a LeRobotDataset v3 with calibrated views; or recordings, or any other format that `import`
            reads, which are imported into OUT-source first.
        out: folder to write to; never the data set itself.
        limit: the most episodes to label.
    """
    from action_images.episodes.dataset import Dataset
    from action_images.inference.label_job import Job
    from action_images.inference.labelling import Labelling
    from action_images.model.shipped import SHIPPED, SHIPPED_KNOW
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.doubts import say_strange_episodes

    if limit is not None and limit < 1:
        raise ActionImagesError(f"--limit is {limit}; label one episode at least, or leave it out")
    dataset = _imported(dataset, out)
    if models.model == SHIPPED:
        PlainConsole(stderr=True).print(SHIPPED_KNOW)
    models = models.placed(on_cluster=workers.on == "ray").held()
    labelling = Labelling(
        models.name,
        how.views or Dataset(dataset).view_names[:2],
        not how.from_nothing,
        how.text,
        how.overlap,
        how.seed,
        how.least_known,
        models.sampling,
    )
    say_strange_episodes(models.folder, dataset, labelling.views)
    job = Job(models.resolved().generator, dataset, labelling)
    if len(labelling.views) == 1:
        _label_spots(job, out, limit, workers.on_device(models.device))
    else:
        _label_poses(job, out, limit, workers.on_device(models.device), models.folder)


def _imported(source: Path, out: Path) -> Path:
    """The data set itself; one of another format is imported beside `out`, resuming an earlier import."""
    from action_images.episodes.importing import Job, import_episodes
    from action_images.episodes.lerobot_layout import INFO
    from action_images.terminal.console import PlainConsole

    if (source / INFO).is_file():
        return source
    made = out.with_name(f"{out.name}-source")
    with counting("importing") as tell:
        outcome = import_episodes(Job(source), made, num_workers=2, seen=tell)
    console = PlainConsole(stderr=True)
    for episode_id, reason in outcome.refused.items():
        console.print(f"refused {episode_id}: {reason}", soft_wrap=True)
    console.print(f"imported: {made}", soft_wrap=True)
    return made


def _label_spots(job: "Job", out: Path, limit: int | None, executor: "Executor") -> None:
    from action_images.inference.label_spots import label_spots
    from action_images.terminal.console import PlainConsole

    with counting("labelling") as tell:
        reasons = list(label_spots(job, out, limit, tell, executor).values())
    console = PlainConsole()
    console.print(
        f"{reasons.count(None)} episodes: one view shows no depth, "
        f"so there are image points and no poses: {out}/labels",
    )
    _tell_reasons(console, reasons, out / "labels/refused.json")


def _label_poses(job: "Job", out: Path, limit: int | None, executor: "Executor", models: Path) -> None:
    from action_images.episodes.dataset import Dataset
    from action_images.inference.label_folder import labels_file
    from action_images.inference.labelled_copy import label_dataset
    from action_images.model.reliability import Reliability
    from action_images.reports.labels_page import write_labels_page
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.doubts import say_label_words

    with counting("labelling") as tell:
        labels = label_dataset(job, out, limit, tell, executor)
    mode = "label" if job.labelling.first_pose else "label_from_nothing"
    known = Reliability.load(models)
    write_labels_page(out / "labels.html", Dataset(out), labels, reliability=known, mode=mode)
    num_frames, num_unknown = (sum(row.num_frames for row in labels), sum(row.num_unknown for row in labels))
    mean = sum(row.mean_confidence * row.num_frames for row in labels) / num_frames
    console = PlainConsole()
    console.print(
        f"{len(labels)} episodes, {num_frames} frames, {num_unknown} without a label; mean confidence "
        f"{mean:.2f}",
    )
    labelling = job.labelling
    labelled = [labels_file(out, row.number) for row in labels if row.reason is None]
    say_label_words(models, mode, labelled)
    bare = [row for row in labels if row.reason is None and not labelling.keeps(row)]
    if bare:
        console.print(
            f"{len(bare)} episodes have no trajectory in the copy: "
            f"less than {labelling.least_known:.0%} of their frames could be read"
        )
    _tell_reasons(console, [row.reason for row in labels], out / "labels/episodes.jsonl")
    console.print(f"written: {out}; review: {out / 'labels.html'}", soft_wrap=True)


def _tell_reasons(console: "PlainConsole", reasons: Sequence[str | None], path: Path) -> None:
    """Print how many episodes were not labelled and the first one's reason; nothing if all were."""
    found = [reason for reason in reasons if reason is not None]
    if found:
        told = f"{len(found)} episodes were not labelled ({path} says why); the first: {found[0]}"
        console.print(told, soft_wrap=True)
