"""Convert a data set of another format into ours."""

from pathlib import Path
from typing import Annotated

import tyro


def main(
    source: Annotated[Path, tyro.conf.Positional],
    out: Path,
    format: str = "auto",
    views: tuple[str, ...] = (),
    size: tuple[int, int] | None = None,
    crf: int = 18,
    workers: int = 2,
    limit: int | None = None,
) -> int:
    """Convert a data set of another format into ours; run it again to go on where it was stopped.

    Args:
        source: folder of the foreign data set.
        out: folder of the new data set, or of one that an earlier run began.
        format: auto, lerobot, action-images-rlbench, rlbench, droid, droid-processed, bridge or bridge-processed.
        views: names of the views to keep, in order; all where none is given. Every episode needs the same.
        size: height and width in pixels to fit all views to; their own where none is given.
        crf: quality of the H.264 videos, 0 (best) to 51.
        workers: processes that decode and encode; 0 does it in this one.
        limit: look at the first so many episodes only.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from action_images.episodes.importing import Job, import_episodes

    console = Console(stderr=True)
    columns = (TextColumn("importing"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("importing", total=None)
        job = Job(source, format, views, size, crf)
        outcome = import_episodes(
            job, out, workers, limit, lambda done, total: progress.update(bar, completed=done, total=total)
        )
    for episode_id, reason in outcome.refused.items():
        console.print(f"refused {episode_id}: {reason}", markup=False, highlight=False, soft_wrap=True)
    counts = f"{len(outcome.imported)} imported, {len(outcome.already_there)} already there, {len(outcome.refused)} refused"
    print(f"{out}: {counts} ({outcome.format}); look at them with: action-images check {out}")
    return 0
