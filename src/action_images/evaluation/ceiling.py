"""What perfect predictions would score: experts' paths sent through codec and video, then executed.

No model that answers in action images can be judged without it: a trial that is lost here is lost by the
codec or the controller.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from action_images.benchmarks import WorldConfig
from action_images.codec import draw_uint8, read
from action_images.episodes.video import read_video, write_video
from action_images.errors import ActionImagesError
from action_images.evaluation.expert import demonstrated
from action_images.evaluation.statistics import wilson_interval
from action_images.geometry import Camera, Trajectory
from action_images.parallel.pool import pool_of
from action_images.robot import RepeatableEnvironment

EXPERT, RECORDED = "expert", "recorded"
"""Ways of executing a trial beside the sizes in px: the expert itself, and its recorded trajectory played
again."""


@dataclass(frozen=True)
class Gate:
    """How trials are recorded and sent through video: image sizes (px, height and width), H.264 quality.

    Of `world` the size does not matter: nothing is rendered.
    """

    world: WorldConfig = WorldConfig()
    sizes: tuple[int, ...] = (64, 128, 256)
    crf: int = 18


@dataclass(frozen=True)
class Trial:
    """What became of one seed, by way of execution.

    `error` is the median position error (m) of what was read, by size.
    """

    task: str
    seed: int
    succeeded: dict[str, bool]
    error: dict[str, float]


def run_trials(task: str, seeds: Iterable[int], gate: Gate, *, num_workers: int = 1) -> Iterator[Trial]:
    """Each seed of a task executed in every way, in the order of the seeds."""
    trial = partial(run_trial, task, gate=gate)
    if num_workers <= 1:
        yield from map(trial, seeds)
        return
    with pool_of(num_workers, torch.set_num_threads, (1,)) as pool:
        yield from pool.map(trial, seeds)


def run_trial(task: str, seed: int, gate: Gate) -> Trial:
    """One seed: demonstrated, played again as recorded, and played again as read from video at each size.

    Raises ActionImagesError where the task has no expert.
    """
    environment = gate.world.environment(task)
    recorded, cameras = demonstrated(environment, seed)
    succeeded, error = {EXPERT: environment.succeeded()}, {}
    succeeded[RECORDED] = _executed(environment, seed, recorded)
    for size in gate.sizes:
        known = through_video(recorded, cameras.resize(size, size), crf=gate.crf)
        metres, _ = recorded.world_from_tool.distance(known.world_from_tool)
        error[str(size)] = metres.quantile(0.5).item()
        all_read = bool(known.world_from_tool.translation.isfinite().all())
        succeeded[str(size)] = all_read and _executed(environment, seed, known)
    return Trial(task, seed, succeeded=succeeded, error=error)


def through_video(trajectory: Trajectory, cameras: Camera, *, crf: int = 18, fps: float = 20.0) -> Trajectory:
    """A trajectory (frame) drawn into cameras (view frame), stored as H.264 of 8 bits and read back.

    NaN where nothing could be read.
    """
    images = draw_uint8(trajectory, cameras)
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{view}.mp4" for view in range(len(images))]
        for path, view in zip(paths, images, strict=True):
            write_video(path, view, fps, crf)
        stored = torch.stack([read_video(path) for path in paths])
        return read(stored, cameras).trajectory


def _executed(environment: RepeatableEnvironment, seed: int, trajectory: Trajectory) -> bool:
    environment.begin(seed)
    for frame in range(1, trajectory.num_frames):
        environment.step(trajectory.world_from_tool[frame], trajectory.opening[frame].item())
    return environment.succeeded()


@dataclass(frozen=True)
class Ceiling:
    """A task's ceiling by way of execution: how many of its trials succeeded."""

    task: str
    num_trials: int
    num_succeeded: dict[str, int]
    error_mm: dict[str, float]
    failed_seeds: dict[str, tuple[int, ...]]

    def interval(self, way: str) -> tuple[float, float]:
        """The Wilson interval (95 %) of the success rate."""
        return wilson_interval(self.num_succeeded[way], self.num_trials)

    def lost(self, way: str) -> float:
        """How many points of success (0 to 100) this way loses against the trajectory as recorded."""
        return 100 * (self.num_succeeded[RECORDED] - self.num_succeeded[way]) / self.num_trials


def summarise(task: str, trials: list[Trial]) -> Ceiling:
    """The ceiling of a task, or of all together, from its trials.

    Raises ActionImagesError where there is none.
    """
    if not trials:
        raise ActionImagesError(f"{task}: no trial was run; ask for at least one")
    ways = list(trials[0].succeeded)
    sizes = list(trials[0].error)
    return Ceiling(
        task,
        num_trials=len(trials),
        num_succeeded={way: _num_succeeded(trials, way) for way in ways},
        error_mm={size: _median_mm(trials, size) for size in sizes},
        failed_seeds={way: _failed_seeds(trials, way) for way in ways},
    )


def _num_succeeded(trials: list[Trial], way: str) -> int:
    return sum(trial.succeeded[way] for trial in trials)


def _median_mm(trials: list[Trial], size: str) -> float:
    return 1e3 * torch.tensor([trial.error[size] for trial in trials]).quantile(0.5).item()


def _failed_seeds(trials: list[Trial], way: str) -> tuple[int, ...]:
    return tuple(trial.seed for trial in trials if not trial.succeeded[way])
