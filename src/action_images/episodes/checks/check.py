"""Everything that is wrong with a data set, found in one pass and named."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, product
from math import floor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from action_images.episodes.checks import motion
from action_images.episodes.checks.agreement import Say, compare_views, look_at_tool
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError, View
from action_images.episodes.video_places import MOST_RATE_ERROR
from action_images.geometry import Trajectory
from action_images.parallel.isolated import each_isolated

NUM_LOOKS = 16
FRAMES_AT_ONCE = 32
STATIC_PATH = 0.01
"""A tool that travels less than this (m) and pictures that never change make a static episode."""
DUPLICATE_M = 1e-3
"""Two episodes are the same one where their tools are nowhere farther apart than this, and their pictures alike on average."""
DUPLICATE_LEVELS = 1.0
"""Pictures are alike on average where small ones differ by less than this (of 255)."""
DUPLICATE_MOST_LEVELS = 4.0
"""Without paths two episodes are the same one where their small pictures differ nowhere by more than this, as encoding does."""

DEADLY = "deadly"
"""The kind of finding after which an episode must not be opened again outside a process of its own."""


class Finding(NamedTuple):
    """One thing that is wrong: `error` makes an episode unusable as it is, `warning` should be looked at."""

    level: str
    kind: str
    episode: str
    message: str


@dataclass
class Examined:
    """What one episode showed."""

    id: str
    num_frames: int
    findings: list[Finding] = field(default_factory=list)
    signature: np.ndarray | None = None
    """Small grey pictures of the first view, to find duplicates by."""
    path: np.ndarray | None = None
    """Where the tool is in each frame (m), for the same."""
    opening: float | None = None
    """Where the gripper stays in all frames; None where it moves or nothing is known of it."""


@dataclass
class Verdict:
    """What a data set showed."""

    num_episodes: int
    num_frames: int
    fps: float
    views: tuple[str, ...]
    findings: list[Finding]

    @property
    def num_errors(self) -> int:
        """How many findings make an episode or the set unusable."""
        return sum(finding.level == "error" for finding in self.findings)


def check_dataset(path: Path, num_workers: int, seen: Callable[[int, int], None] | None = None) -> Verdict:
    """Look at every frame and number of a data set; raises EpisodeError where it cannot be opened at all.

    With worker processes (0: none) an episode whose files end the process that reads them is one more finding.
    """
    impossible: list[Finding] = []
    dataset = _opened(
        path,
        num_workers,
        lambda row, reason: impossible.append(Finding("error", "damaged", "", f"{row}: {reason}")),
    )
    examined = []
    for done, result in enumerate(_examined(dataset, num_workers)):
        examined.append(result)
        if seen is not None:
            seen(done + 1, len(dataset))
    findings = [finding for result in examined for finding in result.findings]
    findings += (
        impossible
        + _without_views(dataset)
        + _totals(dataset)
        + _grippers(examined)
        + list(_duplicates(examined))
    )
    return Verdict(
        len(dataset), sum(result.num_frames for result in examined), dataset.fps, dataset.view_names, findings
    )


def _examined(dataset: Dataset, num_workers: int) -> Iterator[Examined]:
    places = range(len(dataset))
    if num_workers == 0:
        yield from (examine(dataset, index) for index in places)
        return
    for index, result in each_isolated(_examine_in_worker, places, num_workers, _begin, (dataset.path,)):
        yield _deadly(dataset, index) if result is None else result


def open_possible(path: Path) -> Dataset:
    """The data set without the rows of its episode table that can be no episode; `check_dataset` has told of them."""
    return Dataset(path, _told_already)


def _told_already(row: str, reason: str) -> None:
    pass


def _opened(path: Path, num_workers: int, leave_out: Callable[[str, str], None]) -> Dataset:
    """The data set, once another process has survived opening it."""
    if num_workers:
        ((_, survived),) = each_isolated(_survives, [path], 1, torch.set_num_threads, (1,))
        if not survived:
            raise EpisodeError(
                f"{path}: the process that opened it died; a file in its folder meta is damaged, restore it"
            )
    return Dataset(path, leave_out)


def _survives(path: Path) -> bool:
    with suppress(EpisodeError):  # to be raised where it is read again
        open_possible(path)
    return True


def _deadly(dataset: Dataset, index: int) -> Examined:
    result = Examined(dataset.ids[index], dataset.length(index))
    _say(
        result,
        "error",
        DEADLY,
        "the process that decoded it died; its files are damaged or need more memory than there is",
    )
    return result


_dataset: Dataset | None = None


def _begin(path: Path) -> None:
    """Open the data set once for each worker process."""
    global _dataset
    torch.set_num_threads(1)
    _dataset = open_possible(path)


def _examine_in_worker(index: int) -> Examined:
    assert _dataset is not None
    return examine(_dataset, index)


def examine(dataset: Dataset, index: int) -> Examined:
    """Look at one episode, each of its parts by itself, so that one damaged part does not hide another."""
    result = Examined(dataset.ids[index], dataset.length(index))
    say = partial(_say, result)
    views: list[View] = []
    paths: list[Trajectory] = []

    def take(read: Callable[[], View | Trajectory | None]) -> None:
        part = read()
        if isinstance(part, View):
            _decode_all(part, dataset.fps, say)
            views.append(part)
        elif part is not None:
            paths.append(part)

    with _noted("episode", say):
        for name, read in dataset.parts(index):
            with _noted(name, say):
                take(read)
    if views:
        _look_for_cameras(views, dataset, say)
        _look(result, views, paths[0] if paths else None, dataset, say)
    return result


@contextmanager
def _noted(name: str, say: Say) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        say("error", "damaged", f"{name}: {error}")


def _say(result: Examined, level: str, kind: str, message: str) -> None:
    result.findings.append(Finding(level, kind, result.id, message))


def _decode_all(view: View, fps: float, say: Say) -> None:
    """Every frame, a few at a time: a file can be whole by its index and damaged inside."""
    for start in range(0, len(view.frames), FRAMES_AT_ONCE):
        view.frames.read(range(start, min(start + FRAMES_AT_ONCE, len(view.frames))))
    own = getattr(view.frames, "fps", None)
    if own is not None and abs(own - fps) > MOST_RATE_ERROR * fps:
        say(
            "warning",
            "frame rate",
            f"{view.name}: its video runs at {own:g} frames/s, the data set at {fps:g}",
        )


def _look_for_cameras(views: list[View], dataset: Dataset, say: Say) -> None:
    missing = [view.name for view in views if view.camera is None]
    if len(missing) == len(dataset.view_names):
        say(
            "warning",
            "no camera",
            "no view is calibrated, it is video only: give the cameras, or a calibration.json to 'import'",
        )
        return
    for name in missing:
        say(
            "warning",
            "no camera",
            f"{name}: is not calibrated, and a sample with it has no cameras at all; calibrate it or leave it out",
        )


def _look(
    result: Examined, views: list[View], trajectory: Trajectory | None, dataset: Dataset, say: Say
) -> None:
    for view in views:
        expected = dataset.view_shape(view.name)
        if view.frames.size != expected:
            say(
                "error",
                "mixed sizes",
                f"{view.name}: its frames are {view.frames.size} px, the data set says {expected}; import it again",
            )
    count = len(views[0].frames)
    indices = torch.linspace(0, count - 1, min(NUM_LOOKS, count)).long()
    grey = {view.name: motion.looks(view.frames, indices.tolist()) for view in views}
    result.signature = grey[views[0].name][:: max(1, len(indices) // 4)].numpy().astype(np.float16)
    moved = {name: motion.changes(levels) for name, levels in grey.items()}
    if trajectory is not None:
        opening = trajectory.opening
        result.opening = float(opening.mean()) if float(opening.max() - opening.min()) < 0.01 else None
        place = trajectory.world_from_tool.translation
        result.path = place.float().numpy() if place.isfinite().all() else None
        look_at_tool(views, trajectory, moved, indices, say)
    travelled = (
        0.0
        if trajectory is None
        else float(trajectory.world_from_tool.translation.diff(dim=0).norm(dim=-1).sum())
    )
    if travelled < STATIC_PATH and not any(change.any() for change in moved.values()):
        say("warning", "static", "nothing moves, neither the pictures nor the tool; leave it out of training")
    compare_views(views, moved, indices, say)


def _without_views(dataset: Dataset) -> list[Finding]:
    if dataset.view_names:
        return []
    return [
        Finding(
            "error",
            "damaged",
            "",
            "info.json names no video; an episode needs at least one view, import or record the set again",
        )
    ]


def _totals(dataset: Dataset) -> list[Finding]:
    lengths = sum(dataset.length(index) for index in range(len(dataset)))
    claimed = dataset.info.get("total_episodes"), dataset.info.get("total_frames")
    if claimed == (len(dataset), lengths):
        return []
    message = f"info.json claims {claimed[0]} episodes and {claimed[1]} frames, there are {len(dataset)} and {lengths}"
    return [Finding("warning", "totals", "", f"{message}; opening it for writing repairs that")]


def _grippers(examined: list[Examined]) -> list[Finding]:
    """Episodes whose gripper never moves. Where most are so it is the set's nature, or its fault: said once."""
    still = [result for result in examined if result.opening is not None]
    cure = "is the real gripper recorded?"
    if 2 * len(still) > len(examined) > 1:
        return [
            Finding(
                "warning",
                "gripper",
                "",
                f"the opening never changes in {len(still)} of {len(examined)} episodes; {cure}",
            )
        ]
    return [
        Finding(
            "warning", "gripper", result.id, f"the opening stays at {result.opening:.2f} throughout; {cure}"
        )
        for result in still
    ]


def _duplicates(examined: list[Examined]) -> Iterator[Finding]:
    """Each episode that is an earlier one again: as long, on the same path where paths are known, with the same pictures.

    A fixed camera shows much the same in all demonstrations of a task, so pictures alone must agree everywhere. Episodes are
    compared only within a cell of their length and mean place (or brightness), and there with one of each that are the
    same: the time grows with the number of episodes, times how many different ones share a cell.
    """
    cells: dict[tuple[Any, ...], list[Examined]] = {}
    for result in examined:
        if result.signature is None:
            continue
        kind, place = _coarsely(result)
        near = (
            cells.get((*kind, *cell), [])
            for cell in product(*({floor(x - 0.2), floor(x + 0.2)} for x in place))
        )
        first = next((other for other in chain.from_iterable(near) if _same(other, result)), None)
        if first is None:
            cells.setdefault((*kind, *map(floor, place)), []).append(result)
            continue
        yield Finding(
            "warning", "duplicate", result.id, f"shows the same as {first.id}; leave one out of training"
        )


def _coarsely(result: Examined) -> tuple[tuple[Any, ...], list[float]]:
    """What two episodes must share to be the same one, and numbers that differ by less than 0.2 between those that are."""
    assert result.signature is not None
    if result.path is not None:
        return (True, result.num_frames), (result.path.mean(0, np.float64) / (10 * DUPLICATE_M)).tolist()
    brightness = result.signature.mean((1, 2), np.float64) / (10 * DUPLICATE_MOST_LEVELS)
    return (False, result.num_frames, len(brightness)), [brightness[0], brightness[-1]]


def _same(one: Examined, other: Examined) -> bool:
    assert one.signature is not None
    assert other.signature is not None
    apart = np.abs(one.signature.astype(np.float32) - other.signature.astype(np.float32))
    if one.path is None or other.path is None:
        return bool(apart.max() <= DUPLICATE_MOST_LEVELS)
    return bool(
        apart.mean() < DUPLICATE_LEVELS
        and np.linalg.norm(one.path - other.path, axis=-1).max() <= DUPLICATE_M
    )


def summary(verdict: Verdict) -> dict[str, int]:
    """How often each kind of finding occurs, the errors first."""
    counts = Counter((finding.level, finding.kind) for finding in verdict.findings)
    return {f"{level}: {kind}": count for (level, kind), count in sorted(counts.items())}
