"""Calibrate a data set: try every reading on every view, then solve each view with the best reading."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from action_images.calibration.from_motion.conventions import (
    DECLARED,
    NOTHING_BETWEEN,
    TRIED,
    Frames,
    Reading,
    readings,
)
from action_images.calibration.from_motion.delay import likely_delays
from action_images.calibration.from_motion.gather import Gathered
from action_images.calibration.from_motion.trial import Trial, ViewTracks, attempt, margin
from action_images.calibration.from_motion.view import Asked, ViewResult, calibrate_view
from action_images.calibration.opencv import CalibrationError, opencv
from action_images.parallel.pool import pool_of, told_if_killed

HOLD_OUT_EVERY = 4
CLEAR = 2.5
"""Standard errors by which the best reading must lead another to be clearly better."""
LEAST_MARGIN = 0.01
"""Least share of the tracks that it must explain beyond the other."""

Tell = Callable[[int, int], None]
Job = tuple[int, Reading, float]
"""A view's index, its reading, and the initial delay of its pictures in frames."""
Run = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
"""Runs a function on jobs, in order."""


@dataclass(frozen=True)
class Rival:
    """Another convention of the set: how much less it explains (a share of the tracks), and its error."""

    convention: str
    share: float
    behind: float
    error: float

    @property
    def is_clear(self) -> bool:
        """Whether the pictures distinguish it from the best."""
        return self.behind > max(CLEAR * self.error, LEAST_MARGIN)


@dataclass(frozen=True)
class SetResult:
    """The result: the set's convention and its rivals (the best first), and every view.

    `mirrored` says by view how much less of the tracks the other mirroring explains: (share, error), or None
    if that was not tried.
    """

    convention: str
    share: float
    rivals: tuple[Rival, ...]
    mirrored: Mapping[str, tuple[float, float] | None]
    trials: tuple[tuple[str, Trial], ...]
    views: tuple[ViewResult, ...]
    gathered: Gathered

    @property
    def ties(self) -> list[Rival]:
        """The conventions that the pictures cannot distinguish from the best."""
        return [rival for rival in self.rivals if not rival.is_clear]


def view_tracks(gathered: Gathered, frames: Frames = NOTHING_BETWEEN) -> list[ViewTracks]:
    """Each view over all episodes; raises CalibrationError if episodes differ in views or sizes."""
    first = gathered.episodes[0]
    for one in gathered.episodes:
        if dict(one.sizes) != dict(first.sizes):
            has = ", ".join(f"{name} {size}" for name, size in one.sizes.items())
            cure = f"{first.id} has others; name views that all have, of one size, with --views"
            raise CalibrationError(f"{one.id}: has the views {has}; {cure}")
    count = len(gathered.episodes)
    held_out = np.arange(count) % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1
    ids = tuple(one.id for one in gathered.episodes)
    poses = tuple(one.poses for one in gathered.episodes)
    views = []
    for name, size in first.sizes.items():
        followed = tuple(one.followed[name] for one in gathered.episodes)
        views.append(ViewTracks(name, size, ids, poses, followed, held_out, frames))
    return views


def calibrate_from_motion(
    gathered: Gathered,
    asked: Mapping[str, Asked] | None = None,
    *,
    frames: Frames = NOTHING_BETWEEN,
    search: bool = True,
    conventions: Sequence[str] = tuple(TRIED),
    same_lens: bool = False,
    num_workers: int = 0,
    tell: Tell | None = None,
) -> SetResult:
    """Calibrate every gathered view; `asked` has the options by view (None: all without a start).

    With `search`, conventions are tried, mirrored or not; otherwise the set is read as declared. With
    `same_lens`, all views have one focal length relative to their pictures.
    """
    opencv()
    views = view_tracks(gathered, frames)
    how = {view.name: (asked or {}).get(view.name, Asked()) for view in views}
    tried = readings(views[0].poses, frames, conventions) if search else [Reading()]
    with told_if_killed(), _workers(num_workers, views, how) as run:
        delays = [likely_delays(view.followed, view.poses) if search else [0.0] for view in views]
        jobs: list[Job] = [
            (place, reading, delays[place][0]) for place, reading in product(range(len(views)), tried)
        ]
        for place, others in enumerate(delays):
            jobs += [(place, Reading(), shift) for shift in others[1:]]
        total = len(jobs) + len(views)
        trials: list[Trial] = []
        if tell is not None:
            tell(0, total)
        for trial in run(_attempt, jobs):
            trials.append(trial)
            if tell is not None:
                tell(len(trials), total)
        by_view = _by_view(jobs, trials, len(views))
        chosen = _choose(by_view, tried)
        best = _at_all_delays(run, by_view, chosen, delays)
        solved = []
        for result in run(_solve, list(enumerate(best))):
            solved.append(result)
            if tell is not None:
                tell(len(trials) + len(solved), total)
        if same_lens and len(solved) > 1:
            focals = common_focals(solved)
            again = [(place, trial, focals[place]) for place, trial in enumerate(best)]
            solved = list(run(_solve_with_focal, again))
    named: list[tuple[str, Trial]] = []
    for view, those in zip(views, by_view, strict=True):
        named += [(view.name, trial) for trial in those]
    mirrored = {views[place].name: chosen.mirror_margin[place] for place in range(len(views))}
    return SetResult(
        chosen.convention, chosen.share, chosen.rivals, mirrored, tuple(named), tuple(solved), gathered
    )


def _at_all_delays(
    run: Run, by_view: Sequence[list[Trial]], chosen: "_Chosen", delays: Sequence[Sequence[float]]
) -> list[Trial]:
    """Each view's best trial of the chosen reading, after trying it at all likely delays."""
    jobs: list[Job] = []
    for place, trial in enumerate(chosen.of_view):
        have = {one.begun_at for one in by_view[place] if one.reading == trial.reading}
        jobs += [(place, trial.reading, shift) for shift in delays[place] if shift not in have]
    for job, trial in zip(jobs, run(_attempt, jobs), strict=True):
        by_view[job[0]].append(trial)
    best = []
    for those, trial in zip(by_view, chosen.of_view, strict=True):
        best.append(max((one for one in those if one.reading == trial.reading), key=_share))
    return best


def common_focals(results: Sequence[ViewResult]) -> list[float | None]:
    """One focal length for all views, in px of each one's pictures; None if no view knows it."""
    known = [one for one in results if one.predicted is not None and np.isfinite(one.predicted.log_focal)]
    if not known:
        return [None] * len(results)
    relative = np.log([one.camera.focal / _unit(one) for one in known])
    weight = np.array([1 / max(one.predicted.log_focal, 1e-4) ** 2 for one in known if one.predicted])
    common = float(np.exp((weight * relative).sum() / weight.sum()))
    return [common * _unit(one) for one in results]


def _unit(result: ViewResult) -> float:
    """The focal length (px) of a lens as long as its pictures are high, before they were squeezed."""
    aspect = 1.0 if result.solved is None else result.camera.aspect
    return result.view.size[0] * float(np.sqrt(aspect))


def _share(trial: Trial) -> float:
    return trial.share


@dataclass(frozen=True)
class _Chosen:
    convention: str
    share: float
    rivals: tuple[Rival, ...]
    of_view: list[Trial]
    mirror_margin: list[tuple[float, float] | None]


def _by_view(jobs: Sequence[Job], trials: Sequence[Trial], num_views: int) -> list[list[Trial]]:
    found: list[list[Trial]] = [[] for _ in range(num_views)]
    for (place, _, _), trial in zip(jobs, trials, strict=True):
        found[place].append(trial)
    return found


def _choose(by_view: Sequence[Sequence[Trial]], tried: Sequence[Reading]) -> _Chosen:
    """The convention that explains most over all views; mirroring is chosen for each view separately."""
    conventions = list(dict.fromkeys(reading.convention for reading in tried))
    best_of = {name: _best_of_views(by_view, name) for name in conventions}
    total = {name: _total_share(trials) for name, trials in best_of.items()}
    winner = max(conventions, key=lambda name: total[name])
    # A tie goes to the declared convention: nothing is changed without evidence.
    ahead, error = margin(best_of[winner], best_of[DECLARED])
    if winner != DECLARED and ahead <= max(CLEAR * error, LEAST_MARGIN):
        winner = DECLARED
    rivals = []
    for name in conventions:
        if name != winner:
            behind, off = margin(best_of[winner], best_of[name])
            rivals.append(Rival(name, total[name], behind, off))
    rivals.sort(key=lambda rival: rival.behind)
    of_view: list[Trial] = []
    margins: list[tuple[float, float] | None] = []
    for those in by_view:
        plain, other = (_best_read(those, winner, mirrored=mirrored) for mirrored in (False, True))
        assert plain is not None
        if other is None:
            of_view.append(plain)
            margins.append(None)
            continue
        behind, off = margin([plain], [other])
        is_mirrored = -behind > max(CLEAR * off, LEAST_MARGIN)
        of_view.append(other if is_mirrored else plain)
        margins.append((abs(behind) if is_mirrored else behind, off))
    return _Chosen(winner, total[winner], tuple(rivals), of_view, margins)


def _best_of_views(by_view: Sequence[Sequence[Trial]], convention: str) -> list[Trial]:
    found = [_best_read(those, convention) for those in by_view]
    return [one for one in found if one is not None]


def _best_read(trials: Sequence[Trial], convention: str, *, mirrored: bool | None = None) -> Trial | None:
    """The trial of a convention that explains most, mirrored or not as requested; None if there is none."""
    those = [one for one in trials if one.reading.convention == convention]
    those = [one for one in those if mirrored is None or one.reading.mirrored == mirrored]
    return max(those, key=_share, default=None)


def _total_share(trials: Sequence[Trial]) -> float:
    explained = sum(trial.explained.sum() for trial in trials)
    return float(explained / max(sum(trial.counted.sum() for trial in trials), 1))


_views: Sequence[ViewTracks] = ()
_how: Mapping[str, Asked] = {}


class _workers:
    """Runs jobs in separate processes, or in this one, in order."""

    def __init__(self, num_workers: int, views: Sequence[ViewTracks], how: Mapping[str, Asked]):
        self._pool = pool_of(num_workers, _begin, (views, how)) if num_workers else None
        if self._pool is None:
            _begin(views, how)

    def __enter__(self) -> Run:
        return map if self._pool is None else self._pool.map

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _begin(views: Sequence[ViewTracks], how: Mapping[str, Asked]) -> None:
    global _views, _how
    _views, _how = views, how
    opencv().setNumThreads(1)


def _attempt(job: Job) -> Trial:
    place, reading, shift = job
    view = _views[place]
    how = _how[view.name]
    start = None if reading != Reading() else how.start
    if start is not None and how.focal is not None:
        start = replace(start, focal=how.focal)
    lens = {"focal": how.focal, "aspect": how.aspect}
    return attempt(view, reading, shift, start=start, seed=how.seed, **lens)


def _solve(job: tuple[int, Trial]) -> ViewResult:
    place, trial = job
    view = _views[place]
    return calibrate_view(view, trial, _how[view.name])


def _solve_with_focal(job: tuple[int, Trial, float | None]) -> ViewResult:
    place, trial, focal = job
    view = _views[place]
    return calibrate_view(view, trial, replace(_how[view.name], focal=focal))
