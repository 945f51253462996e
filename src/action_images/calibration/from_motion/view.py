"""Calibrate a view: its camera, the camera's likely error, and how well each episode fits."""

from dataclasses import dataclass, replace

import numpy as np

from action_images.calibration.from_motion.adjust import Free
from action_images.calibration.from_motion.bump import Bump, find_bump
from action_images.calibration.from_motion.clicks import Click, clicked
from action_images.calibration.from_motion.conventions import Reading
from action_images.calibration.from_motion.observations import EVERY, Observations
from action_images.calibration.from_motion.paths import jitter, repeated
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.pixel_shape import PixelShape, pixel_shape
from action_images.calibration.from_motion.points import residual_px
from action_images.calibration.from_motion.predicted import Predicted, predict, steady_axis
from action_images.calibration.from_motion.shared import assign
from action_images.calibration.from_motion.solve import LEAST_SHARED, Solved, solve
from action_images.calibration.from_motion.trial import Trial, ViewTracks

ON_TOOL_PX = 1.5
"""A track is on the tool if it fits a shared point this well (rms)."""
NO_DELAY = 0.1
"""Delays below this number of frames count as none."""
DELAY_ROUNDS = 3
NUM_SEEDS = 3
LEAST_MOVED_TRACKS = 20
"""An episode with fewer tracks is not reported to have another camera."""
MOVED, LEAST_USUAL = 0.4, 5
"""An episode's camera has moved if it shows less than this share of the usual number of shared points.

Nothing is reported if fewer points are usual.
"""


@dataclass(frozen=True)
class EpisodeFit:
    """How one episode fits the view's camera.

    `num_points` counts the shared points that its tracks show, `miss_px` is their residual (median; None if
    it shows none).
    """

    id: str
    num_tracks: int
    num_on_tool: int
    num_points: int
    miss_px: float | None
    held_out: bool
    fits: bool


@dataclass(frozen=True)
class ViewResult:
    """The result for a view; `solved` is None if nothing fits at all.

    `shift` is the delay of its pictures in frames, `shift_error` its standard error. `held_out_px` is the
    median residual of the tracks on the tool in episodes that the camera was not fitted to;
    `held_out_share` is the share of those episodes' tracks that are on the tool. `explained` is the share of
    tracks that move as some point of the tool would. `jitter` is in m, `clicks_px` the clicks' residual.
    """

    view: ViewTracks
    reading: Reading
    solved: Solved | None
    shift: float = 0.0
    predicted: Predicted | None = None
    held_out_px: float | None = None
    held_out_share: float = 0.0
    explained: float = 0.0
    steady: float = 0.0
    steady_axis: tuple[float, float, float] = (0.0, 0.0, 0.0)
    jitter: float = 0.0
    repeated: float = 0.0
    num_clicks: int = 0
    clicks_px: float | None = None
    episodes: tuple[EpisodeFit, ...] = ()
    pixel_shape: PixelShape | None = None
    bump: Bump | None = None

    @property
    def camera(self) -> Pinhole:
        """The camera found."""
        assert self.solved is not None
        return self.solved.camera

    @property
    def agreement(self) -> float:
        """Of the held-out tracks that move with the tool, the share on points that other episodes show."""
        return self.held_out_share / max(self.explained, 1e-9)

    @property
    def shift_error(self) -> float:
        """Standard error of the delay (frames)."""
        return float("inf") if self.predicted is None else self.predicted.delay

    @property
    def num_shared(self) -> int:
        """Points of the tool that several episodes show."""
        return 0 if self.solved is None else self.solved.num_shared

    @property
    def moved(self) -> list[EpisodeFit]:
        """The episodes that the camera does not fit."""
        return [episode for episode in self.episodes if not episode.fits]


@dataclass(frozen=True)
class Asked:
    """Options for solving a view: start camera, focal length (None: estimated), fx / fy (None: the start's, 1
    without one), and clicks."""

    start: Pinhole | None = None
    focal: float | None = None
    known_aspect: float | None = None
    radial: bool = False
    clicks: tuple[Click, ...] = ()
    seed: int = 0

    @property
    def aspect(self) -> float:
        """fx / fy; pixels are taken for square if nothing says otherwise."""
        if self.known_aspect is not None:
            return self.known_aspect
        return 1.0 if self.start is None else self.start.aspect

    @property
    def free(self) -> Free:
        """The free parameters."""
        return Free(focal=self.focal is None, radial=self.radial)


def calibrate_view(view: ViewTracks, best: Trial, asked: Asked) -> ViewResult:
    """The camera of a view, read and delayed as in its best trial, with all measures of its quality.

    The camera is fitted to the episodes that are not held out, judged by those that are, and then fitted to
    all.
    """
    reading = best.reading
    found = _delayed(view, best, asked)
    paths = view.paths(reading)
    steady, axis = steady_axis(paths)
    along = (float(axis[0]), float(axis[1]), float(axis[2]))
    base = ViewResult(view, reading, None, steady=steady, steady_axis=along, repeated=repeated(paths))
    if found is None:
        return base
    solved, shift = found
    seen = view.observed(reading, shift)
    label = _on_tool(solved, seen)
    held = view.held_out[seen.episode_of_point]
    miss = _miss_px(solved, seen, label)
    held_out = miss[held & (label >= 0)]
    held_out_px = float(np.median(held_out)) if len(held_out) else None
    held_out_share = float((label[held] >= 0).mean()) if held.any() else 0.0
    clicks = _clicks(view, reading, asked, shift)
    options = {"start": solved.camera, "free": asked.free, "clicks": clicks, "is_near": True}
    whole = solve(seen, view.size, seed=asked.seed, **options)
    if whole is not None and whole.num_shared >= LEAST_SHARED:
        solved = whole
        label = _on_tool(solved, seen)
        miss = _miss_px(solved, seen, label)
    options = {"free": asked.free, "clicks": clicks}
    predicted = None
    if solved.num_shared >= LEAST_SHARED:
        predicted = predict(solved, seen, paths, held_out_px=held_out_px, **options)
    # A wrong fx / fy may be why no points are shared.
    shape = pixel_shape(solved, seen, view.size, seed=asked.seed, **options)
    return replace(
        base,
        solved=solved,
        shift=shift,
        predicted=predicted,
        held_out_px=held_out_px,
        held_out_share=held_out_share,
        explained=best.share,
        jitter=jitter(solved.camera, seen, EVERY * _step(view)),
        num_clicks=0 if clicks is None else len(clicks),
        clicks_px=None if clicks is None else _clicks_px(solved.camera, clicks),
        episodes=_episodes(view, seen, label, miss),
        pixel_shape=shape,
        bump=_bump(solved.camera, seen, view, asked),
    )


def _bump(found: Pinhole, seen: Observations, view: ViewTracks, asked: Asked) -> Bump | None:
    """A bump by the camera found, or by the given one: after a large bump a fit may be lost."""
    for camera in (found, asked.start):
        bump = None if camera is None else find_bump(camera, seen, view.ids, seed=asked.seed)
        if bump is not None:
            return bump
    return None


def _delayed(view: ViewTracks, best: Trial, asked: Asked) -> tuple[Solved, float] | None:
    """The camera that fits the episodes that are not held out, and the delay of the pictures in frames."""
    fitted = np.flatnonzero(~view.held_out)
    shift, start, solved = best.shift, asked.start or best.camera, None
    if asked.focal is not None and start is not None:
        start = replace(start, focal=asked.focal)
    free = replace(asked.free, delay=True)
    for attempt in range(NUM_SEEDS):
        seen = view.observed(best.reading, shift).in_episodes(fitted)
        if seen.num_points < 8:
            return None
        clicks = _clicks(view, best.reading, asked, shift)
        options = {"start": start, "free": free, "clicks": clicks, "focal": asked.focal}
        options["aspect"] = asked.aspect
        solved = solve(seen, view.size, seed=asked.seed + attempt, **options)
        if solved is not None and solved.num_shared >= LEAST_SHARED:
            break
        start = None  # the next attempt starts from other guesses
    if solved is None:
        return None
    for _ in range(DELAY_ROUNDS):
        if abs(solved.delay) < NO_DELAY / 2:
            break
        shift -= solved.delay
        seen = view.observed(best.reading, shift).in_episodes(fitted)
        clicks = _clicks(view, best.reading, asked, shift)
        options = {"start": solved.camera, "free": free, "clicks": clicks, "is_near": True}
        again = solve(seen, view.size, seed=asked.seed, **options)
        if again is None:
            break
        solved = again
    shift -= solved.delay
    return replace(solved, delay=0.0), 0.0 if abs(shift) < NO_DELAY else shift


def _clicks(view: ViewTracks, reading: Reading, asked: Asked, shift: float) -> Observations | None:
    if not asked.clicks:
        return None
    episodes = dict(zip(view.ids, view.paths(reading), strict=True))
    clicks = asked.clicks
    if reading.mirrored:
        width = view.size[1]
        clicks = tuple(replace(one, pixel=(width - one.pixel[0], one.pixel[1])) for one in clicks)
    return clicked(clicks, view.name, episodes, view.size, shift=shift)


def _clicks_px(camera: Pinhole, clicks: Observations) -> float:
    origins = np.zeros((clicks.num_points, 3))
    return float(np.median(np.linalg.norm(residual_px(camera, clicks, origins), axis=-1)))


def _step(view: ViewTracks) -> int:
    looked_at = view.followed[0].looked_at
    return int(looked_at[1] - looked_at[0]) if len(looked_at) > 1 else 1


def _on_tool(solved: Solved, seen: Observations) -> np.ndarray:
    """For each track its shared point, or -1."""
    if not solved.num_shared:
        return np.full(seen.num_points, -1)
    return assign(solved.camera, seen, solved.places, farthest_px=ON_TOOL_PX)


def _miss_px(solved: Solved, seen: Observations, label: np.ndarray) -> np.ndarray:
    """Each track's rms residual to its shared point; infinite if it has none."""
    miss = np.full(seen.num_points, np.inf)
    if not solved.num_shared:
        return miss
    places = solved.places[np.maximum(label, 0)]
    rms = seen.rms(np.clip(residual_px(solved.camera, seen, places), -50, 50))
    miss[label >= 0] = rms[label >= 0]
    return miss


def _episodes(
    view: ViewTracks, seen: Observations, label: np.ndarray, miss: np.ndarray
) -> tuple[EpisodeFit, ...]:
    of_track = seen.episode_of_point
    rows = []
    for place, name in enumerate(view.ids):
        mine = of_track == place
        on_tool = mine & (label >= 0)
        num_points = len(np.unique(label[on_tool]))
        miss_px = float(np.median(miss[on_tool])) if on_tool.any() else None
        counts = (int(mine.sum()), int(on_tool.sum()), num_points)
        rows.append(EpisodeFit(name, *counts, miss_px, bool(view.held_out[place]), True))
    usual = float(np.median([row.num_points for row in rows]))
    least = MOVED * usual if usual >= LEAST_USUAL else 0.0
    return tuple(
        replace(row, fits=row.num_tracks < LEAST_MOVED_TRACKS or row.num_points >= least) for row in rows
    )
