"""Convert a data set of another format into ours.

action-images import recordings --out dataset
action-images import droid --format droid --views left wrist --size 256 256 --out dataset
"""

from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenFolder, OutFolder
from action_images.terminal.progress import counting
from action_images.terminal.refusals import above_zero


def main(
    source: Annotated[GivenFolder, tyro.conf.Positional],
    out: OutFolder,
    format: str = "auto",
    views: tuple[str, ...] = (),
    size: tuple[int, int] | None = None,
    crf: int = 18,
    codec: Literal["h264", "av1"] = "h264",
    workers: int = 2,
    limit: int | None = None,
    shift: tuple[str, ...] = (),
    several_tasks: Literal["cut", "refuse"] = "cut",
    gaps: Literal["refuse", "cut"] = "refuse",
    fps: float | None = None,
    columns: Path | None = None,
) -> int:
    """Convert a data set of another format into ours; run the command again to resume it.

    Args:
        source: folder of the foreign data set.
        out: folder of the new data set, or of one that an earlier run began.
        format: auto, lerobot, action-images-rlbench, rlbench, droid, droid-processed, bridge,
            bridge-processed, recordings or rlds.
        views: names of the views to keep, in order; all if not given. Other views are not read. Every
            episode needs the same views.
        size: height and width in pixels of all views: each is cropped to this aspect around its middle, then
            resized. Their own size if not given.
        crf: quality of the videos, 0 (best) to 51; LeRobot's own choice for av1 is 30.
        codec: codec of the videos: h264, or av1 as LeRobot writes (smaller and slower).
        workers: processes that decode and encode; 0 does both in this one.
        limit: look at only this many episodes, from the first.
        shift: VIEW=FRAMES for each view whose pictures are late by so many frames (early: negative).
        several_tasks: cut or refuse an episode whose task changes within it.
        gaps: refuse or cut an episode of a lerobot set whose rows leave frames out and keep their times.
        fps: frames per second of an rlds set whose rate is not known.
        columns: a json file with the columns that hold the tool's poses, and their notation (docs/data.md);
            for recordings and lerobot.
    """
    above_zero({"limit": limit, "fps": fps})
    from action_images.episodes.importing import Job, import_episodes
    from action_images.terminal.console import PlainConsole

    console = PlainConsole(stderr=True)
    job = Job(source, format, views, size, crf, _shifts(shift), several_tasks, fps, columns, codec, gaps)
    with counting("importing") as tell:
        outcome = import_episodes(job, out, workers, limit, tell)
    for sentence in outcome.sentences():
        console.print(sentence, soft_wrap=True)
    for episode_id, reason in outcome.refused.items():
        told = reason if reason.startswith(f"{episode_id}: ") else f"{episode_id}: {reason}"
        console.print(f"refused {told}", soft_wrap=True)
    numbers = {
        "imported": outcome.imported,
        "already there": outcome.already_there,
        "refused": outcome.refused,
    }
    counts = ", ".join(f"{len(those)} {what}" for what, those in numbers.items())
    done = f"{out}: {counts} ({outcome.format}); look at them with: action-images check {quote(str(out))}"
    PlainConsole().print(done, soft_wrap=True)
    return 0


def _shifts(given: tuple[str, ...]) -> dict[str, int]:
    """Frames by view; raises ActionImagesError for an entry that is not VIEW=FRAMES."""
    shifts = {}
    for entry in given:
        view, _, frames = entry.partition("=")
        if view in shifts:
            raise ActionImagesError(f"--shift names '{view}' twice; give one number of frames for it")
        try:
            shifts[view] = int(frames)
        except ValueError:
            raise ActionImagesError(f"--shift {entry}: give VIEW=FRAMES, as left=8") from None
    return shifts
