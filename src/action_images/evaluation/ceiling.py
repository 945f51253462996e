"""The score of perfect predictions: experts' paths sent through codec and video, then executed.

Models that answer in action images are compared with it: the codec or the controller causes the losses here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from action_images.benchmarks import WorldConfig
from action_images.codec import draw_uint8, read
from action_images.control import Gripper, bridged, to_control_steps
from action_images.episodes.video import read_video, write_video
from action_images.errors import ActionImagesError
from action_images.evaluation.expert import Demonstration, demonstration
from action_images.evaluation.rollout import REST_STEPS
from action_images.evaluation.statistics import wilson_interval
from action_images.geometry import Camera, Trajectory
from action_images.parallel.pool import pool_of, told_if_killed
from action_images.robot import RepeatableEnvironment
from action_images.structs import concatenate

EXPERT, RECORDED, TOLD = "expert", "recorded", "told"
"""Ways of executing a trial without video: the expert itself, a replay of the path that its tool took, and a
replay of the commands that its arm was given."""

DrawnPath = Literal["reached", "told"]
"""The path that is drawn as action images: the poses reached, or the poses commanded."""


@dataclass(frozen=True)
class Gate:
    """The settings of recording and video: image sizes (px, height and width), H.264 quality.

    `rates` are frames a second, None for the arm's own; `paths` are the paths to draw. The size in `world` is
    not used, as nothing is rendered.
    """

    world: WorldConfig = WorldConfig()
    sizes: tuple[int, ...] = (64, 128, 256)
    crf: int = 18
    rates: tuple[float | None, ...] = (None,)
    paths: tuple[DrawnPath, ...] = ("reached",)

    def ways(self) -> dict[str, "Way"]:
        """The ways through video by their names."""
        combinations = product(self.sizes, self.paths, self.rates)
        ways = [Way(*one) for one in combinations]
        return {way.name: way for way in ways}

    def settings(self) -> dict[str, Any]:
        """The settings that results must share to belong together, as JSON values."""
        values = {name: getattr(self, name) for name in ("sizes", "crf", "rates", "paths")}
        return {**self.world.seen(), "num_views": self.world.num_views, **values}


@dataclass(frozen=True)
class Way:
    """A way through video: the size of the images (px), the path that is drawn, and the rate."""

    size: int
    path: DrawnPath
    fps: float | None

    @property
    def name(self) -> str:
        """The size, then `told` and the rate if they differ from the defaults: `128 told 5 fps`."""
        path = "" if self.path == "reached" else f" {self.path}"
        return f"{self.size}{path}" + ("" if self.fps is None else f" {self.fps:g} fps")


@dataclass(frozen=True)
class Outcome:
    """The outcome of one way: whether the task was done for long enough, and whether at any step."""

    succeeded: bool
    touched: bool


@dataclass(frozen=True)
class Trial:
    """The results of one seed, by way of execution.

    `succeeded` is success as an evaluation counts it, `touched` success at any step. `error` is the median
    position error (m) of the poses read, by way through video.
    """

    task: str
    seed: int
    succeeded: dict[str, bool]
    error: dict[str, float]
    touched: dict[str, bool] = field(default_factory=dict)


def run_trials(task: str, seeds: Iterable[int], gate: Gate, *, num_workers: int = 1) -> Iterator[Trial]:
    """Execute each seed of a task in every way, in the order of the seeds.

    Raises OSError if a process is killed.
    """
    trial = partial(run_trial, task, gate=gate)
    if num_workers <= 1:
        yield from map(trial, seeds)
        return
    with told_if_killed(), pool_of(num_workers, torch.set_num_threads, (1,)) as pool:
        yield from pool.map(trial, seeds)


def run_trial(task: str, seed: int, gate: Gate) -> Trial:
    """Demonstrate one seed, replay it as recorded, and replay it as read from video in each way.

    Raises ActionImagesError if the task has no expert.
    """
    environment, error = gate.world.environment(task), {}
    run = _Run(environment, seed, gate.world.benchmark.steady_steps)
    shown, expert = run.by_expert()
    paths = {"reached": shown.reached, "told": shown.told}
    outcomes = {EXPERT: expert, RECORDED: run.along(shown.reached)}
    if "told" in gate.paths:
        outcomes[TOLD] = run.along(shown.told)
    for name, way in gate.ways().items():
        path, cameras = paths[way.path], shown.cameras.resize(way.size, way.size)
        read_back = _through(way, path, cameras, control_hz=environment.control_hz, crf=gate.crf)
        error[name] = read_back.error
        outcomes[name] = FAILED if read_back.steps is None else run.along(read_back.steps)
    environment.close()
    succeeded = {name: outcome.succeeded for name, outcome in outcomes.items()}
    touched = {name: outcome.touched for name, outcome in outcomes.items()}
    return Trial(task, seed, succeeded=succeeded, error=error, touched=touched)


@dataclass(frozen=True)
class _Read:
    """The result of reading a video: the path in control steps and the median position error (m).

    The path is None if some of it could not be read.
    """

    steps: Trajectory | None
    error: float


def _through(way: Way, path: Trajectory, cameras: Camera, *, control_hz: float, crf: int) -> _Read:
    if way.fps is None:
        known, shown = through_video(path, cameras, crf=crf, fps=control_hz), path
        is_read = bool(known.world_from_tool.translation.isfinite().all())
        steps = known if is_read else None
    else:
        frames = model_frames(path.num_frames, fps=way.fps, control_hz=control_hz)
        shown = path[frames]
        read_back = through_video(shown, cameras[:, frames], crf=crf, fps=way.fps)
        known = concatenate([path[:1], read_back[1:]])  # the tool's first pose is known
        steps = concatenate([path[:1], steps_between(known, fps=way.fps, control_hz=control_hz)])
    metres, _ = shown.world_from_tool.distance(known.world_from_tool)
    return _Read(steps, metres.quantile(0.5).item())


def model_frames(num_frames: int, *, fps: float, control_hz: float) -> list[int]:
    """The frames of a recording of control steps that are shown to a model of this rate.

    If the demonstration ends between two of them, its last pose is added as a frame and shown twice.
    """
    last, stride = num_frames - 1, max(round(control_hz / fps), 1)
    return [*range(0, last, stride), last, last]


def steps_between(
    known: Trajectory, *, fps: float, control_hz: float, gripper: Gripper = Gripper()
) -> Trajectory:
    """Resample a path at a model's rate (frame, the first is known) to one pose for each control step."""
    path = bridged(known, known.world_from_tool.translation.isfinite().all(-1))
    stride = max(round(control_hz / fps), 1)
    sure = torch.ones(path.num_frames)
    # Not every rate divides the arm's.
    return to_control_steps(path, sure, control_hz / stride, control_hz, gripper).trajectory


def through_video(trajectory: Trajectory, cameras: Camera, *, crf: int = 18, fps: float = 20.0) -> Trajectory:
    """Draw a trajectory (frame) into cameras (view frame), store it as 8-bit H.264, and read it back.

    Frames that could not be read are NaN.
    """
    images = draw_uint8(trajectory, cameras)
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{view}.mp4" for view in range(len(images))]
        for path, view in zip(paths, images, strict=True):
            write_video(path, view, fps, crf)
        stored = torch.stack([read_video(path) for path in paths])
        return read(stored, cameras).trajectory


FAILED = Outcome(succeeded=False, touched=False)


@dataclass
class _Run:
    """One trial, run in several ways; success is counted as in an evaluation, with the tool at rest."""

    environment: RepeatableEnvironment
    seed: int
    steady_steps: int

    def by_expert(self) -> tuple[Demonstration, Outcome]:
        """The expert's demonstration and its outcome."""
        watched = _Watched(self.environment, self.steady_steps)
        shown = demonstration(self.environment, self.seed, watched.after_step)
        return shown, self._at_rest(watched, shown.told)

    def along(self, path: Trajectory) -> Outcome:
        """Command the path (frame) step by step, from its frame 1 on."""
        self.environment.begin(self.seed)
        watched = _Watched(self.environment, self.steady_steps)
        for frame in range(1, path.num_frames):
            self._tell(path, frame)
            watched.after_step()
        return self._at_rest(watched, path)

    def _at_rest(self, watched: "_Watched", path: Trajectory) -> Outcome:
        for _ in range(REST_STEPS):
            if not watched.outcome.succeeded:
                self._tell(path, -1)
                watched.after_step()
        return watched.outcome

    def _tell(self, path: Trajectory, frame: int) -> None:
        self.environment.step(path.world_from_tool[frame], path.opening[frame].item())


@dataclass
class _Watched:
    """Counts the consecutive control steps for which a task is done."""

    environment: RepeatableEnvironment
    steady_steps: int
    num_steady: int = 0
    outcome: Outcome = FAILED

    def after_step(self) -> None:
        """Check whether it is done now."""
        is_done = self.environment.succeeded()
        self.num_steady = self.num_steady + 1 if is_done else 0
        steady = self.outcome.succeeded or self.num_steady >= self.steady_steps
        self.outcome = Outcome(steady, touched=self.outcome.touched or is_done)


@dataclass(frozen=True)
class Ceiling:
    """A task's ceiling by way of execution: the numbers of trials that succeeded, and done at any step."""

    task: str
    num_trials: int
    num_succeeded: dict[str, int]
    num_touched: dict[str, int]
    error_mm: dict[str, float]
    failed_seeds: dict[str, tuple[int, ...]]

    def interval(self, way: str) -> tuple[float, float]:
        """The Wilson interval (95 %) of the success rate."""
        return wilson_interval(self.num_succeeded[way], self.num_trials)

    def lost(self, way: str) -> float:
        """The loss of success, in points (0 to 100), of this way against the trajectory as recorded."""
        return 100 * (self.num_succeeded[RECORDED] - self.num_succeeded[way]) / self.num_trials


def summarise(task: str, trials: list[Trial]) -> Ceiling:
    """The ceiling of a task, or of all together, from its trials.

    Raises ActionImagesError if there are no trials.
    """
    if not trials:
        raise ActionImagesError(f"{task}: no trial was run; ask for at least one")
    ways = list(trials[0].succeeded)
    sizes = list(trials[0].error)
    return Ceiling(
        task,
        num_trials=len(trials),
        num_succeeded={way: _num_succeeded(trials, way) for way in ways},
        num_touched={way: _num_touched(trials, way) for way in ways},
        error_mm={size: _median_mm(trials, size) for size in sizes},
        failed_seeds={way: _failed_seeds(trials, way) for way in ways},
    )


def _num_succeeded(trials: list[Trial], way: str) -> int:
    return sum(trial.succeeded[way] for trial in trials)


def _num_touched(trials: list[Trial], way: str) -> int:
    return sum(trial.touched.get(way, False) for trial in trials)


def _median_mm(trials: list[Trial], size: str) -> float:
    return 1e3 * torch.tensor([trial.error[size] for trial in trials]).quantile(0.5).item()


def _failed_seeds(trials: list[Trial], way: str) -> tuple[int, ...]:
    return tuple(trial.seed for trial in trials if not trial.succeeded[way])
