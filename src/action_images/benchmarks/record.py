"""Record demonstrations of any world's experts as episodes."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Literal

import numpy as np
import torch

from action_images.benchmarks.benchmark import Box
from action_images.benchmarks.world_config import WorldConfig
from action_images.episodes.episode import Episode
from action_images.errors import ActionImagesError
from action_images.robot import RepeatableEnvironment, StepReport
from action_images.sim.record import Film

WorldActor = Literal["expert", "disturbed"]
"""The task's expert, or the expert pushed aside once and recorded from there on."""
LATEST_PUSH = 80
"""A push begins after fewer control steps than this; an expert that is faster is not pushed."""
FARTHEST_PUSH = ((-0.08, -0.08, -0.03), (0.08, 0.08, 0.08))
"""The offsets of a push along the axes of the world (m), lowest and highest."""
PUSH_STEP = 0.01
"""The tool's way in each control step of a push (m)."""
PUSH_REST = 3
"""Control steps at the end of a push in which the tool comes to rest."""


@dataclass(frozen=True)
class WorldRecording:
    """The settings for recording demonstrations of a world (a `sim.record.Recording`).

    A frame is recorded every `every` control steps. After the task the expert keeps still for `hold` steps.
    A `disturbed` expert is pushed aside once, at a random step if the environment's `expert_resumes` is True,
    else before it begins; what was recorded before the end of the push is dropped.
    """

    world: WorldConfig
    every: int = 1
    hold: int = 0
    actor: WorldActor = "expert"

    @property
    def fps(self) -> float:
        """Recorded frames a second."""
        return self.world.benchmark.control_hz / self.every

    @property
    def num_views(self) -> int:
        """The number of cameras."""
        return self.world.num_views

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of their images in px."""
        return self.world.size

    def episode_id(self, task: str, seed: int) -> str:
        """The name of a seed's demonstration in a data set."""
        return f"{self.world.benchmark_name}/{task}/{seed:07d}"

    def demonstration(self, task: str, seed: int) -> Episode | None:
        """The expert's trial of a seed; None if an evaluation would not count it as success.

        Raises ActionImagesError if the task has no expert.
        """
        environment = _environment_for(self.world, task)
        film = Film(environment, self.every, environment.reset(seed))
        num_steady, done = 0, False
        for pushed in self._steps(environment, task, seed):
            film.after_step(forget=pushed)
            num_steady = num_steady + 1 if environment.succeeded() and not pushed else 0
            done = done or num_steady >= self.world.benchmark.steady_steps
        for _ in range(self.hold if done else 0):
            state = environment.state()
            environment.step(state.told, state.opening)
            film.after_step()
        environment.close()
        return film.episode(self.episode_id(task, seed), self.fps) if done else None

    def _steps(self, environment: RepeatableEnvironment, task: str, seed: int) -> Iterator[bool]:
        """Carry the trial to its end; yields after each control step whether it was part of a push."""
        if self.actor == "disturbed":
            rng = np.random.default_rng([seed, zlib.crc32(f"disturbed {task}".encode())])
            resumes = getattr(environment, "expert_resumes", False)
            num_before, num_done = int(rng.integers(LATEST_PUSH)) if resumes else 0, 0
            for _ in islice(_expert(environment, task), num_before):
                yield False
                num_done += 1
            if num_done < num_before:
                return
            yield from _push(environment, rng, self.world.benchmark.workspace)
        for _ in _expert(environment, task):
            yield False


@lru_cache(maxsize=1)
def _environment_for(world: WorldConfig, task: str) -> RepeatableEnvironment:
    """The environment of a task, kept for its next demonstration.

    One of LIBERO's takes seconds to make, and 200 MB that a process does not give back.
    """
    return world.environment(task)


def _expert(environment: RepeatableEnvironment, task: str) -> Iterator[StepReport]:
    steps = environment.expert()
    if steps is None:
        raise ActionImagesError(f"the task '{task}' has no expert to record; choose another task")
    return steps


def _push(environment: RepeatableEnvironment, rng: np.random.Generator, workspace: Box) -> Iterator[bool]:
    """Lead the tool aside in a straight line, not out of the workspace; the gripper stays as it is."""
    state = environment.state()
    start = state.told.translation
    place = state.world_from_tool.translation.numpy()
    low, high = (
        limit(place, bound) for limit, bound in zip((np.minimum, np.maximum), workspace, strict=True)
    )
    aside = np.clip(place + rng.uniform(*FARTHEST_PUSH), low, high)
    way = torch.from_numpy(aside).to(start) - start
    num_moving = max(1, round(way.norm().item() / PUSH_STEP))
    for step in range(1, num_moving + PUSH_REST + 1):
        share = min(step / num_moving, 1.0)
        environment.step(replace(state.told, translation=start + share * way), state.opening)
        yield True
