"""A film of a trial: camera images beside generated ones, action images, and the tool's path."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from action_images.episodes.video import write_video
from action_images.evaluation.rollout import Rollout
from action_images.geometry import Pose
from action_images.reports.film_sheet import FilmSheet

HOLD_SECONDS = 1.5
"""The time for which the last picture is held, with the outcome."""
KEYFRAME_SECONDS = 2


def write_film(
    rollout: Rollout, path: Path, reason: str | None = None, goal: Pose | None = None, crf: int = 24
) -> None:
    """Write a trial as an mp4 (H.264, yuv420p) at the control rate.

    `reason` says how it ended, if a rule applies (a trial record's `detail`). `goal` is the tool pose at
    which an expert ends (world_from_tool), if known. Raises ActionImagesError if the trial was not filmed.
    """
    sheet = FilmSheet(rollout, reason, goal)
    write_video(
        path,
        _pictures(sheet, num_held=round(HOLD_SECONDS * rollout.control_hz)),
        rollout.control_hz,
        crf,
        keyframe_interval=round(KEYFRAME_SECONDS * rollout.control_hz),
        preset="veryfast",
    )


def _pictures(sheet: FilmSheet, num_held: int) -> Iterator[Tensor]:
    """Every frame once, then the last one with the outcome `num_held` times."""
    for frame in range(len(sheet)):
        yield sheet.draw(frame)
    ended = sheet.draw(len(sheet) - 1, ended=True)
    for _ in range(num_held):
        yield ended
