"""Observations, plans and protocols that policies, environments and the network protocol share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from action_images.geometry import Camera, Pose, Trajectory
from action_images.structs import Struct


@dataclass(frozen=True)
class Observation(Struct):
    """One instant as a policy sees it: calibrated images, the tool's pose, and what to do."""

    images: UInt8[Tensor, "*batch view 3 h w"]
    cameras: Annotated[Camera, "*batch view"]
    world_from_tool: Pose
    opening: Float[Tensor, "*batch"]
    instruction: str


@dataclass(frozen=True)
class Plan(Struct):
    """A policy's intention: tool targets from now on, and optionally what it imagined.

    `trajectory` starts one control step after the observation. `confidence` is in [0, 1] for each of its
    frames, None if the policy has none; a pose with confidence 0 is a placeholder that must not be driven to.

    A policy that imagines may show what: `video` and `action_images` in [0, 1], at a frame rate of their own,
    with frame 0 at the observation. `imagined_frame` is the frame of these from which each frame of the
    trajectory was taken. `stage_ms` is the time of each stage of planning (ms), in their order.
    """

    trajectory: Annotated[Trajectory, "*batch frame"]
    video: Float[Tensor, "*batch view imagined 3 h w"] | None = None
    confidence: Float[Tensor, "*batch frame"] | None = None
    action_images: Float[Tensor, "*batch view imagined_action 3 h w"] | None = None
    imagined_frame: Float[Tensor, "*batch frame"] | None = None
    stage_ms: dict[str, float] | None = None


@runtime_checkable
class Policy(Protocol):
    """Anything that plans what to do next."""

    def plan(self, observation: Observation) -> Plan:
        """The tool targets to follow from this observation on."""
        ...


@runtime_checkable
class ClipPolicy(Policy, Protocol):
    """A policy that was trained on clips: it resizes images to their size, and plans at their frame rate."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in px."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second."""
        ...


@dataclass(frozen=True)
class WordsRead:
    """The words of an instruction that a policy reads, and the unknown ones that it skips."""

    known: tuple[str, ...]
    unknown: tuple[str, ...] = ()


@runtime_checkable
class ReadsWords(Protocol):
    """A policy that can say which words of an instruction it reads."""

    def words_read(self, instruction: str) -> WordsRead:
        """The words in their order."""
        ...


@runtime_checkable
class FindsTool(Protocol):
    """A policy that can find the tool in a picture without knowing its pose."""

    def tool_misses(self, observation: Observation) -> Float[Tensor, "picture camera"]:
        """Distance between the tool found in each picture and its projection by each camera.

        As a fraction of the pictures' width; NaN if the tool is not found, or lies behind the camera.
        """
        ...


@runtime_checkable
class Doubting(Protocol):
    """A policy that can say what is doubtful about its plans."""

    def doubts(self, observation: Observation, plans: Sequence[Plan]) -> tuple[str, ...]:
        """Sentences about doubts on an observation and on plans made from it, for the robot's operator."""
        ...


@dataclass(frozen=True)
class StepReport:
    """The outcome of one control step.

    `reachable` is False if inverse kinematics found no solution within limits. `position_error` (m) and
    `rotation_error` (rad) are between the requested and the reached tool pose, `world_from_tool`.
    """

    reachable: bool
    position_error: float
    rotation_error: float
    world_from_tool: Pose


@runtime_checkable
class Environment(Protocol):
    """A world with one arm in it, real, simulated or imagined, driven by absolute tool poses."""

    control_hz: float

    def reset(self, seed: int) -> Observation:
        """Begin a new trial, the same for the same seed, and observe it."""
        ...

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drive towards a tool pose and a gripper opening for one control period.

        Never raises for a pose out of reach.
        """
        ...

    def observation(self) -> Observation:
        """What the cameras and the arm show now; images are rendered when requested."""
        ...

    def succeeded(self) -> bool:
        """Whether the task is done, judged on the physical state."""
        ...


@dataclass(frozen=True)
class TrialState:
    """The state of a running trial, known without rendering.

    `told` is the tool pose (world) last commanded to the arm; before the first step it is the tool's own
    pose. `opening` is the gripper's last commanded opening, in [0, 1].
    """

    instruction: str
    world_from_tool: Pose
    told: Pose
    opening: float
    cameras: Annotated[Camera, "view"]


@runtime_checkable
class RepeatableEnvironment(Environment, Protocol):
    """An Environment whose trials depend on their seeds alone and can be repeated, as evaluation requires.

    `num_steps` counts the control steps of the trial; `max_steps` is a policy's limit. `controls_rotation` is
    False if the arm cannot turn its tool as commanded (four degrees of freedom). Only `reset` and
    `observation` render.
    """

    num_steps: int
    max_steps: int
    controls_rotation: bool

    def begin(self, seed: int) -> None:
        """Begin the trial of this seed as `reset` does, without observing it."""
        ...

    def state(self) -> TrialState:
        """The current state of the trial."""
        ...

    def expert(self) -> Iterator[StepReport] | None:
        """Finish the trial with the task's expert, one report for each control step.

        None if the task has no expert. An environment whose expert can be stopped, and begun again from any
        state, says so by an attribute `expert_resumes = True`; others can begin at the trial's start alone.
        """
        ...

    def rephrased(self, rng: np.random.Generator) -> str | None:
        """The trial's instruction in words that no demonstration uses.

        None if the task has no such words.
        """
        ...

    def switch_goal(self, rng: np.random.Generator) -> str | None:
        """Give a trial that has just begun another goal that its scene allows; returns the new instruction.

        Returns None, and changes nothing, if the scene allows no other. `expert` and `succeeded` follow the
        new goal.
        """
        ...

    def twin(self) -> "RepeatableEnvironment":
        """Another environment of the same task and cameras, in which no trial has begun."""
        ...

    def close(self) -> None:
        """Release graphics memory; the next `reset` or `observation` takes it again."""
        ...
