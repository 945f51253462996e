"""A task's expert in a trial: its tool's path, its commands, and the scene that it leaves behind."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.robot import Observation, RepeatableEnvironment, StepReport, TrialState
from action_images.structs import stack


@runtime_checkable
class Twinned(Protocol):
    """A world in which a trial runs: its clock, and a second world in which the same trial can be run."""

    control_hz: float
    num_steps: int

    def twin(self) -> RepeatableEnvironment:
        """Make another environment of the same scenes, in which no trial has begun."""
        ...


def expert_steps(environment: RepeatableEnvironment) -> Iterator[StepReport]:
    """The expert's steps in the trial that has begun.

    Raises ActionImagesError if its task has no expert.
    """
    steps = environment.expert()
    if steps is None:
        raise ActionImagesError(
            f"'{environment.state().instruction}': this task has no expert, so there is no ceiling "
            "and nothing to compare with; choose another task"
        )
    return steps


def expert_path(environment: Twinned, seed: int) -> Trajectory | None:
    """The expert's commands to the arm in this trial (step), run in a twin that is never rendered.

    None if the task has no expert.
    """
    twin = environment.twin()
    twin.begin(seed)
    steps = twin.expert()
    if steps is None:
        return None
    states = [twin.state() for _ in steps]
    return _trajectory([state.told for state in states], states)


def reached_path(environment: RepeatableEnvironment) -> Trajectory:
    """The expert's tool poses (frame) in the trial that has begun: at its start and after each step.

    Raises ActionImagesError if the task has no expert.
    """
    states = list(_states(environment))
    return _trajectory([state.world_from_tool for state in states], states)


@dataclass(frozen=True)
class Demonstration:
    """An expert's trial without images: one frame for its start and one for each control step.

    `reached` has the tool's poses; `told` the poses last commanded, at the start the tool's own pose.
    `cameras` has the axes view and frame.
    """

    reached: Trajectory
    told: Trajectory
    cameras: Camera


def demonstration(
    environment: RepeatableEnvironment, seed: int, after_step: Callable[[], object] | None = None
) -> Demonstration:
    """Run the expert's trial of this seed; the environment stays as the expert left it.

    `after_step` is called after each control step. Raises ActionImagesError if the task has no expert.
    """
    environment.begin(seed)
    states = [environment.state()]
    for _ in expert_steps(environment):
        states.append(environment.state())
        if after_step is not None:
            after_step()
    reached = _trajectory([state.world_from_tool for state in states], states)
    told = _trajectory([states[0].world_from_tool, *(state.told for state in states[1:])], states)
    return Demonstration(reached, told, stack([state.cameras for state in states], 1))


def demonstrated(environment: RepeatableEnvironment, seed: int) -> tuple[Trajectory, Camera]:
    """The contents of a recording of the expert's trial: `reached_path`, and the cameras (view frame)."""
    shown = demonstration(environment, seed)
    return shown.reached, shown.cameras


def expert_end(environment: Twinned, seed: int) -> Observation:
    """The observation after the expert has done the task.

    Raises ActionImagesError if the task has no expert.
    """
    twin = environment.twin()
    twin.begin(seed)
    for _ in expert_steps(twin):
        pass
    seen = twin.observation()
    twin.close()
    return seen


def _states(environment: RepeatableEnvironment) -> Iterator[TrialState]:
    """The states at the start of the trial and after each control step of its expert."""
    yield environment.state()
    for _ in expert_steps(environment):
        yield environment.state()


def _trajectory(poses: Sequence[Pose], states: Sequence[TrialState]) -> Trajectory:
    opening = torch.tensor([state.opening for state in states], dtype=torch.float64)
    return Trajectory(stack(poses), opening).to(torch.float32)
