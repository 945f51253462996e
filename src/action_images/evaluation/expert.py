"""What a task's expert does in a trial: where its tool goes, what it is told, and what it leaves behind."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.robot import Observation, RepeatableEnvironment, StepReport
from action_images.structs import stack


class Twinned(Protocol):
    """A world in which a trial runs: its clock, and another world in which the same trial can be run."""

    control_hz: float
    num_steps: int

    def twin(self) -> RepeatableEnvironment:
        """Another environment of the same scenes, in which no trial has begun."""
        ...


def expert_steps(environment: RepeatableEnvironment) -> Iterator[StepReport]:
    """The expert's steps in the trial that has begun; raises ActionImagesError where its task has no expert."""
    steps = environment.expert()
    if steps is None:
        raise ActionImagesError(
            f"'{environment.instruction}': this task has no expert, so it has no ceiling and nothing to compare with; "
            "choose another task"
        )
    return steps


def expert_path(environment: Twinned, seed: int) -> Trajectory | None:
    """What the expert tells the arm in this trial (step), run in a twin that is never rendered.

    None where the task has no expert.
    """
    twin = environment.twin()
    twin.begin(seed)
    steps = twin.expert()
    if steps is None:
        return None
    return _trajectory((twin.told, twin.opening) for _ in steps)


def reached_path(environment: RepeatableEnvironment) -> Trajectory:
    """Where the expert's tool is (frame) in the trial that has begun: at its start and after each control step.

    Raises ActionImagesError where the task has no expert.
    """
    return _trajectory(_reached(environment))


def demonstrated(environment: RepeatableEnvironment, seed: int) -> tuple[Trajectory, Camera]:
    """What a recording of the expert's trial would hold: `reached_path`, and the cameras (view frame) meanwhile.

    Nothing is rendered. Afterwards the environment stands where the expert has left it.
    """
    environment.begin(seed)
    reached: list[tuple[Pose, float]] = []
    cameras: list[Camera] = []
    for pose, opening in _reached(environment):
        reached.append((pose, opening))
        cameras.append(environment.cameras)
    return _trajectory(reached), stack(cameras, 1)


def expert_end(environment: Twinned, seed: int) -> Observation:
    """What the cameras show when the expert has done the task; raises ActionImagesError where it has no expert."""
    twin = environment.twin()
    twin.begin(seed)
    for _ in expert_steps(twin):
        pass
    seen = twin.observation()
    twin.close()
    return seen


def _reached(environment: RepeatableEnvironment) -> Iterator[tuple[Pose, float]]:
    yield environment.world_from_tool, environment.opening
    for _ in expert_steps(environment):
        yield environment.world_from_tool, environment.opening


def _trajectory(frames: Iterable[tuple[Pose, float]]) -> Trajectory:
    poses, openings = zip(*frames, strict=True)
    return Trajectory(stack(poses), torch.tensor(openings, dtype=torch.float64)).to(torch.float32)
