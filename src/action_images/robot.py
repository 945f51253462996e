"""What a robot sees and is asked: the types and protocols that policies, environments and the wire share."""

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
    """One instant as a policy is shown it: calibrated images, where the tool is, and what to do."""

    images: UInt8[Tensor, "*batch view 3 h w"]
    cameras: Annotated[Camera, "*batch view"]
    world_from_tool: Pose
    opening: Float[Tensor, "*batch"]
    instruction: str


@dataclass(frozen=True)
class Plan(Struct):
    """What a policy means to do: tool targets from now on, and optionally what it imagined.

    `trajectory` starts one control step after the observation. `confidence` is in [0, 1] for each frame of
    it, None where the policy has no notion of it; where it is 0 the pose is a place-holder that must not be
    driven to.

    A policy that imagines may show how: `video` and `action_images` in [0, 1], at a frame rate of its own,
    frame 0 at the observation; `imagined_frame` says for each frame of the trajectory which frame of these it
    was taken from. `stage_ms` is how long each stage of planning took (ms), in their order.
    """

    trajectory: Annotated[Trajectory, "*batch frame"]
    video: Float[Tensor, "*batch view imagined 3 h w"] | None = None
    confidence: Float[Tensor, "*batch frame"] | None = None
    action_images: Float[Tensor, "*batch view imagined_action 3 h w"] | None = None
    imagined_frame: Float[Tensor, "*batch frame"] | None = None
    stage_ms: dict[str, float] | None = None


@runtime_checkable
class Policy(Protocol):
    """Anything that can be asked what to do next."""

    def plan(self, observation: Observation) -> Plan:
        """The tool targets to follow from this observation on."""
        ...


@runtime_checkable
class ClipPolicy(Policy, Protocol):
    """A policy that was trained on clips: it fits images to their size, and plans at their frame rate."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in px."""
        ...

    @property
    def fps(self) -> float:
        """Frames a second."""
        ...


@dataclass(frozen=True)
class WordsRead:
    """Which words of an instruction a policy reads, and which it leaves out because it never learnt them."""

    known: tuple[str, ...]
    unknown: tuple[str, ...] = ()


@runtime_checkable
class ReadsWords(Protocol):
    """A policy that can say what it will read of an instruction."""

    def words_read(self, instruction: str) -> WordsRead:
        """The words in their order."""
        ...


@runtime_checkable
class FindsTool(Protocol):
    """A policy that can find the tool in a picture without being told where it is."""

    def tool_misses(self, observation: Observation) -> Float[Tensor, "picture camera"]:
        """How far the tool that is found in each picture lies from where each camera has it.

        As a share of the pictures' width; NaN where it is not found, or lies behind the camera.
        """
        ...


@runtime_checkable
class Doubting(Protocol):
    """A policy that can say what is doubtful about its plans."""

    def doubts(self, observation: Observation, plans: Sequence[Plan]) -> tuple[str, ...]:
        """Sentences about what an observation shows, and about plans that were made: for whoever runs the
        robot."""
        ...


@dataclass(frozen=True)
class StepReport:
    """What became of one control step.

    `reachable` is False where inverse kinematics found no solution within limits. `position_error` (m) and
    `rotation_error` (rad) lie between the asked and the reached tool pose, `world_from_tool`.
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
        """Begin a new trial, the same for the same seed, and look at it."""
        ...

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drive towards a tool pose and a gripper opening for one control period.

        Never raises for a pose out of reach.
        """
        ...

    def observation(self) -> Observation:
        """What the cameras and the arm show now; images are made when asked for."""
        ...

    def succeeded(self) -> bool:
        """Whether the task is done, judged on the physical state."""
        ...


@dataclass(frozen=True)
class TrialState:
    """What is known of a trial under way without rendering anything.

    `told` is the tool pose (world) that the arm was last asked for, where the tool is before the first step.
    `opening` is what the gripper was last told, in [0, 1].
    """

    instruction: str
    world_from_tool: Pose
    told: Pose
    opening: float
    cameras: Annotated[Camera, "view"]


@runtime_checkable
class RepeatableEnvironment(Environment, Protocol):
    """An Environment whose trials follow from their seeds alone and can be run again: what judging needs.

    `num_steps` counts the control steps of the trial; `max_steps` is how many of them a policy is given.
    `controls_rotation` is False where the arm cannot turn its tool as it is told (four degrees of freedom).
    Nothing is rendered but by `reset` and `observation`.
    """

    num_steps: int
    max_steps: int
    controls_rotation: bool

    def begin(self, seed: int) -> None:
        """Begin the trial of this seed as `reset` does, without looking at it."""
        ...

    def state(self) -> TrialState:
        """How the trial stands."""
        ...

    def expert(self) -> Iterator[StepReport] | None:
        """Carry the trial to its end by the task's expert, one report for each control step.

        None where it has none.
        """
        ...

    def rephrased(self, rng: np.random.Generator) -> str | None:
        """The trial's instruction in words that no demonstration uses.

        None where the task has no such words.
        """
        ...

    def switch_goal(self, rng: np.random.Generator) -> str | None:
        """Give the trial that has just begun another goal that its scene allows; the new instruction.

        Returns None, and changes nothing, where the scene leaves no choice. `expert` and `succeeded` follow
        the new goal.
        """
        ...

    def twin(self) -> "RepeatableEnvironment":
        """Another environment of the same task, seen in the same way, in which no trial has begun."""
        ...

    def close(self) -> None:
        """Give graphics memory back; the next `reset` or `observation` takes it again."""
        ...
