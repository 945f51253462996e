"""Examine one episode, each of its parts separately."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from action_images.episodes.checks import looks, motion, upright
from action_images.episodes.checks.cameras import check_calibrated, check_tool_in_view
from action_images.episodes.checks.evidence import gather
from action_images.episodes.checks.finding import Examined, Say
from action_images.episodes.checks.paths import STATIC_PATH, check_path, path_length, still_opening
from action_images.episodes.checks.tables import check_actions, span_of
from action_images.episodes.checks.videos import (
    check_bars,
    check_contents,
    check_copies,
    check_repeats,
    check_video,
)
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import View
from action_images.geometry import Trajectory

NUM_LOOKS = 16


def examine(dataset: Dataset, index: int, *, tried: bool = True) -> Examined:
    """Examine one episode, each part separately, so that one damaged part does not hide another.

    `tried`: test other conventions than the declared ones against its pictures.
    """
    has_words = dataset.instruction(index) is not None
    result = Examined(dataset.ids[index], dataset.length(index), is_spread=tried, has_words=has_words)
    views: list[View] = []
    pictures: dict[str, Tensor] = {}
    paths: list[Trajectory] = []
    with _noted("episode", result.say):
        for name, read in dataset.parts(index):
            with _noted(name, result.say):
                part = read()
                if isinstance(part, View):
                    pictures[name] = looks.decode_all(part.frames)
                    views.append(part)
                    if (span := span_of(part)) is not None:
                        result.spans[name] = span
                elif part is not None:
                    paths.append(part)
                else:
                    result.has_path = False
        check_actions(dataset, index, result.say)
    if views:
        check_calibrated(views, dataset, result.say)
        for view in views:
            check_video(view, dataset.fps, dataset.view_shape(view.name), result.say)
        examine_parts(result, views, pictures, paths[0] if paths else None, dataset.fps)
    return result


@contextmanager
def _noted(name: str, say: Say) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        say("error", "damaged", f"{name}: {error}")


def examine_parts(
    result: Examined,
    views: list[View],
    pictures: Mapping[str, Tensor],
    trajectory: Trajectory | None,
    fps: float,
) -> None:
    """Add evidence from views and tool together; `pictures` are the small copies of `looks.decode_all`."""
    for view in views:
        check_contents(view, pictures[view.name], result.say)
        check_bars(view, pictures[view.name], result.say)
    check_copies(pictures, result.say)
    kept = looks.kept_frames(len(views[0].frames))
    chosen = torch.linspace(0, len(kept) - 1, min(NUM_LOOKS, len(kept))).long()
    indices = chosen + kept.start
    grey = {name: looks.grey_thumbnails(small, chosen, motion.SIDE) for name, small in pictures.items()}
    result.signature = grey[views[0].name][:: max(1, len(chosen) // 4)].numpy().astype(np.float16)
    moved = {name: motion.changes(levels) for name, levels in grey.items()}
    if path_length(trajectory) < STATIC_PATH and not any(change.any() for change in moved.values()):
        cure = "leave it out of training"
        result.say("warning", "static", f"nothing moves, neither the pictures nor the tool; {cure}")
    if trajectory is None:
        motion.compare_views(views, moved, indices, result.say)
        return
    result.opening = still_opening(trajectory)
    result.openings = float(trajectory.opening.min()), float(trajectory.opening.max())
    result.starts = float(trajectory.opening[0])
    result.tilts = upright.tilts(trajectory.world_from_tool.rotation)
    place = trajectory.world_from_tool.translation
    result.path = place.float().numpy() if place.isfinite().all() else None
    check_path(trajectory, fps, result.say)
    for view in views:
        check_repeats(view, pictures[view.name], trajectory, result.say)
    check_tool_in_view(views, trajectory, result.say)
    result.evidence = gather(views, pictures, trajectory, fps, tried=result.is_spread)
