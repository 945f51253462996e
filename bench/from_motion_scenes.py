"""Recordings with still cameras for `from_motion.py`."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
from rich.console import Console

from action_images.benchmarks import DEFAULT, find_benchmark
from action_images.episodes.episode import Episode
from action_images.robot import StepReport
from action_images.sim import LOOKS
from action_images.sim.arm import CONTROL_HZ
from action_images.sim.cameras import Rig
from action_images.sim.environment import Tabletop
from action_images.sim.expert import demonstrate
from action_images.sim.record import Film, RecordingConfig, record

CONSOLE = Console(width=200)


@dataclass(frozen=True)
class Scene:
    """Still cameras, how large their pictures are, and how many they take in a control step of 1/20 s.

    `is_glossy`: the lamp is reflected by all surfaces, in places that move over them.
    """

    name: str
    azimuth_deg: tuple[float, ...]
    elevation_deg: float
    distance: float
    fov_deg: float
    size: int
    num_episodes: int
    per_step: int = 1
    is_glossy: bool = False

    @property
    def rig(self) -> Rig:
        """The cameras."""
        sectors = tuple((one, one) for one in self.azimuth_deg)
        elevation, distance, fov = ((one, one) for one in (self.elevation_deg, self.distance, self.fov_deg))
        return Rig(sectors, elevation, distance, fov)


SCENES = (
    Scene("a", (-47.0, 31.0), 33.0, 1.03, 44.0, 256, 40),
    Scene("b", (-28.0, 55.0), 45.0, 0.98, 41.0, 256, 24),
    Scene("c", (8.0, 66.0), 27.0, 1.10, 50.0, 256, 24),
    Scene("large", (40.0,), 35.0, 1.05, 42.0, 720, 8),
    Scene("d", (-60.0, 25.0), 38.0, 1.00, 46.0, 256, 24),
    Scene("fast", (-47.0, 31.0), 33.0, 1.03, 44.0, 256, 16, per_step=3),
    Scene("glossy", (-47.0, 31.0), 33.0, 1.03, 44.0, 256, 16, is_glossy=True),
)


@dataclass(frozen=True)
class Filming(RecordingConfig):
    """Settings of a recording with `per_step` pictures in a control step.

    Between steps the joints are interpolated; poses and pictures are of the same moments.
    """

    per_step: int = 1
    is_glossy: bool = False

    @property
    def fps(self) -> float:
        """Recorded frames a second."""
        return CONTROL_HZ * self.per_step

    def demonstration(self, task: str, seed: int) -> Episode | None:
        """The expert's demonstration of a seed; None if it failed."""
        if self.per_step == 1 and not self.is_glossy:
            return super().demonstration(task, seed)
        environment = self.environment(task)
        environment.begin(seed)
        if self.is_glossy:
            environment.world.model.light_specular[:] = 1.0
        film = Film(environment, 1, environment.observation())
        for _ in between(environment, demonstrate(environment, self.hold), self.per_step):
            film.after_step()
        done = environment.succeeded() and film.num_frames > 1
        environment.close()
        return film.episode(self.episode_id(task, seed), self.fps) if done else None


def between(environment: Tabletop, steps: Iterator[StepReport], count: int) -> Iterator[None]:
    """Stops `count` times on the way of each step, the last time where the step ended."""
    world = environment.world
    before = world.data.qpos.copy()
    for _ in steps:
        now = world.data.qpos.copy()
        for part in range(1, count + 1):
            world.data.qpos[:] = now if part == count else before + part / count * (now - before)
            mujoco.mj_forward(world.model, world.data)
            yield
        before = now


def record_scenes(out: Path, names: Sequence[str]) -> None:
    """Record experts' episodes of all trained tasks before each scene's cameras."""
    tasks = find_benchmark(DEFAULT).trained
    for place, scene in enumerate(SCENES):
        if names and scene.name not in names:
            continue
        size, kind = (scene.size, scene.size), {"per_step": scene.per_step, "is_glossy": scene.is_glossy}
        config = Filming(scene.rig, LOOKS["train"], len(scene.azimuth_deg), size, **kind)
        seeds = range(1000 * place, 1000 * place + scene.num_episodes)
        wanted = [(tasks[number % len(tasks)], seed) for number, seed in enumerate(seeds)]
        for one, succeeded in record(out / scene.name, wanted, config):
            CONSOLE.print(scene.name, *one, "recorded" if succeeded else "failed")
