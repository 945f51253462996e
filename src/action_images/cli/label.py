"""Label a data set's videos with the tool's path: a copy with poses, confidences and a page to review them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from rich.console import Console


def main(
    dataset: Annotated[Path, tyro.conf.Positional],
    out: Path,
    model: str = "shipped",
    views: tuple[str, ...] = (),
    from_nothing: bool = False,
    text: bool = False,
    overlap: int = 4,
    least_known: float = 0.9,
    seed: int = 0,
    limit: int | None = None,
    sampling: str | None = None,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
    on: Literal["local", "ray"] = "local",
    workers: int | None = None,
    threads: int = 1,
) -> None:
    """Label a data set's videos with the tool's path, into a copy; the same command goes on where it was stopped.

    OUT is a data set with the labels as its trajectories, OUT/labels/NUMBER.csv has each frame's pose and confidence,
    OUT/labels/episodes.jsonl a line for each episode, OUT/labels.html shows the least sure ones first. With one view,
    which shows no depth, there are no poses: OUT/labels/NUMBER.csv has where the three spots are in the image, and
    nothing else is written.

    Args:
        dataset: a LeRobotDataset v3 with calibrated views.
        model: folder of saved models, or `shipped`, which know the embedded world alone.
        out: folder to write to; never the data set itself.
        views: which views the model is shown; the first two if not given.
        from_nothing: do not tell the model the first pose, even where the data set has it.
        text: tell the model the instruction; it may then label what the text says.
        overlap: how many model frames each window shares with the one before.
        least_known: an episode of whose frames less than this share (0 to 1) could be read gets no trajectory in the copy.
        seed: the same seed gives the same labels.
        limit: label at most so many episodes.
        sampling: how to sample, a name of generation.GENERATIONS; the model's own if not given.
        device: where the model runs, such as cuda or cpu.
        dtype: of the transformer and the language model.
        on: here, or on the workers of a Ray cluster (docs/scale.md); the labels are the same to the byte.
        workers: how many of them; as many as the cluster has room for if not given.
        threads: processor threads of each worker; another number may change last digits.
    """
    from functools import partial

    import torch
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from action_images.cli.serve import in_dtype
    from action_images.episodes.dataset import Dataset
    from action_images.inference.clip_generator import ClipGenerator
    from action_images.inference.labelled_copy import Job, Labelling, label_dataset, label_spots
    from action_images.model.shipped import SHIPPED, SHIPPED_KNOW, models_folder, models_name
    from action_images.parallel.cluster import spread_named
    from action_images.reports.labels_page import write_labels_page

    chosen = views or Dataset(dataset).view_names[:2]
    folder = models_folder(model)
    labelling = Labelling(
        models_name(model) + in_dtype(dtype),
        chosen,
        not from_nothing,
        text,
        overlap,
        seed,
        least_known,
        sampling,
    )
    job = Job(
        partial(ClipGenerator.load, folder.resolve(), device, sampling, getattr(torch, dtype)),
        dataset,
        labelling,
    )
    spread = spread_named(on, workers, threads, device)
    console = Console()
    told = Console(stderr=True)
    if model == SHIPPED:
        told.print(SHIPPED_KNOW)
    columns = (TextColumn("labelling"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=told, transient=True, disable=not told.is_terminal) as progress:
        bar = progress.add_task("labelling", total=None)

        def seen(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        if len(chosen) == 1:
            reasons = list(label_spots(job, out, limit, seen, spread).values())
            labelled = reasons.count(None)
            console.print(
                f"{labelled} episodes: one view shows no depth, so there are image points and no poses: {out}/labels"
            )
            _tell_reasons(console, reasons, out / "labels/refused.json")
            return
        labels = label_dataset(job, out, limit, seen, spread)
    write_labels_page(out / "labels.html", Dataset(out), labels)
    frames, unknown = sum(row.num_frames for row in labels), sum(row.num_unknown for row in labels)
    mean = sum(row.mean_confidence * row.num_frames for row in labels) / frames
    console.print(
        f"{len(labels)} episodes, {frames} frames, {unknown} without a label; mean confidence {mean:.2f}",
        highlight=False,
    )
    bare = sum(row.reason is None and not labelling.keeps(row) for row in labels)
    if bare:
        console.print(
            f"{bare} episodes have no trajectory in the copy: less than {least_known:.0%} of their frames could be read"
        )
    _tell_reasons(console, [row.reason for row in labels], out / "labels/episodes.jsonl")
    console.print(f"written: {out}; review: {out / 'labels.html'}", soft_wrap=True)


def _tell_reasons(console: "Console", reasons: Sequence[str | None], path: Path) -> None:
    """How many episodes were not labelled, and why the first was not; nothing where all were."""
    found = [reason for reason in reasons if reason is not None]
    if found:
        told = f"{len(found)} episodes were not labelled ({path} says why); the first: {found[0]}"
        console.print(told, soft_wrap=True, highlight=False, markup=False)
