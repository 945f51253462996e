"""Reference policies: the expert, the expert through video, the expert displaced, and random moves."""

from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch

from action_images.benchmarks import DEFAULT, Box, find_benchmark
from action_images.control import Gripper
from action_images.errors import ActionImagesError
from action_images.evaluation.ceiling import model_frames, steps_between, through_video
from action_images.evaluation.expert import Twinned, demonstrated, expert_path
from action_images.geometry import Pose, Trajectory
from action_images.robot import Observation, Plan
from action_images.structs import concatenate, stack

NOISE_SEEDS_APART = 1_000_003
"""Distance of seeds such that no two trials share random numbers, for any seed of the policy."""


@runtime_checkable
class Privileged(Protocol):
    """A policy that knows each trial before its first observation, as is not possible on a robot."""

    def begin(self, environment: Twinned, seed: int) -> None:
        """Called when the environment has begun the trial of this seed."""
        ...


class _Script:
    """A path that is known before the trial, followed from the trial's current step on.

    Its last pose is held.
    """

    def __init__(self) -> None:
        self._environment: Twinned | None = None
        self._path: Trajectory | None = None

    def follow(self, environment: Twinned, path: Trajectory) -> None:
        """Follow `path`, which has one frame for each control step from the first on."""
        self._environment, self._path = environment, path

    def plan(self, observation: Observation) -> Plan:  # noqa: ARG002 (it knows without looking)
        """The rest of the path, or its last pose after its end."""
        if self._environment is None or self._path is None:
            raise ActionImagesError(
                "this policy knows the trial beforehand; call begin(environment, seed) first"
            )
        now = min(self._environment.num_steps, self._path.num_frames - 1)
        left = self._path[now:]
        return Plan(left, confidence=torch.ones(left.num_frames))


class Expert(_Script):
    """The task's expert, run beforehand in its own world: an upper bound for this controller."""

    def begin(self, environment: Twinned, seed: int) -> None:
        """Run the expert of this trial; raises ActionImagesError if its task has none."""
        self.follow(environment, _required_path(environment, seed))


class DisplacedExpert(_Script):
    """The expert with its path displaced by `metres`, in a random direction for each trial."""

    def __init__(self, metres: float, seed: int = 0) -> None:
        super().__init__()
        self._metres, self._seed = metres, seed

    def begin(self, environment: Twinned, seed: int) -> None:
        """Run the expert of this trial and displace its path in the table's plane, starting at the tool.

        Raises ActionImagesError if the task has no expert.
        """
        path = _required_path(environment, seed)
        generator = _chances(self._seed, seed)
        angle = 2 * torch.pi * torch.rand((), generator=generator)
        aside = self._metres * torch.stack([angle.cos(), angle.sin(), torch.zeros(())])
        # The displacement grows over one second, so that the arm is not asked to jump.
        share = (torch.arange(1, path.num_frames + 1) / environment.control_hz).clamp(max=1)
        pose = path.world_from_tool
        moved = replace(pose, translation=pose.translation + share[:, None] * aside)
        self.follow(environment, replace(path, world_from_tool=moved))


class ExpertThroughVideo(_Script):
    """The expert's path at a model's frame rate: drawn, stored as H.264, read back, then executed.

    Its score is that of perfect predictions of action images of this `size` (height, width) px and `fps`.
    """

    def __init__(
        self, size: tuple[int, int], fps: float = 5.0, *, gripper: Gripper = Gripper(), crf: int = 18
    ) -> None:
        super().__init__()
        self._size, self._fps, self._gripper, self._crf = size, fps, gripper, crf

    def begin(self, environment: Twinned, seed: int) -> None:
        """Record the expert of this trial and send it through video.

        Raises ActionImagesError if the task has no expert.
        """
        control_hz, fps = environment.control_hz, self._fps
        recorded, cameras = demonstrated(environment.twin(), seed)
        frames = model_frames(recorded.num_frames, fps=fps, control_hz=control_hz)
        seen_by = cameras.resize(*self._size)[:, frames]
        known = through_video(recorded[frames], seen_by, crf=self._crf, fps=fps)
        path = concatenate([recorded[:1], known[1:]])
        steps = steps_between(path, fps=fps, control_hz=control_hz, gripper=self._gripper)
        self.follow(environment, steps)


class Random:
    """Moves at constant speed to random places in the workspace, with a random gripper.

    It shows what a task scores for any motion. `workspace` is a box of the world (m), None for the default
    benchmark's.
    """

    SPEED, TURNING_SPEED = 0.25, 1.2
    """Mean speeds of a move (m/s, rad/s)."""

    def __init__(self, seed: int = 0, workspace: Box | None = None) -> None:
        self._seed = seed
        self._workspace = workspace or find_benchmark(DEFAULT).workspace
        self._generator = torch.Generator().manual_seed(seed)
        self._hz = 20.0

    def begin(self, environment: Twinned, seed: int) -> None:
        """Seed the random numbers of this trial: each trial has its own, the same in every run."""
        self._generator = _chances(self._seed, seed)
        self._hz = environment.control_hz

    def plan(self, observation: Observation) -> Plan:
        """Plan a straight move to a random place, pointing down."""
        low, high = (torch.tensor(corner) for corner in self._workspace)
        place = low + (high - low) * torch.rand(3, generator=self._generator)
        opening = torch.rand(1, generator=self._generator).round()
        down = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        here, goal = observation.world_from_tool.to(torch.float32), Pose(down, place)
        metres, radians = observation.world_from_tool.distance(goal)
        seconds = max(metres.item() / self.SPEED, radians.item() / self.TURNING_SPEED)
        num_steps = max(int(self._hz * seconds), 4)
        ends = Trajectory(stack([here, goal]), opening.expand(2))
        return Plan(ends.at(torch.arange(1, num_steps + 1) / num_steps))


def _required_path(environment: Twinned, seed: int) -> Trajectory:
    path = expert_path(environment, seed)
    if path is None:
        raise ActionImagesError(
            "this task has no expert, so it has no ceiling; choose another task or policy"
        )
    return path


def _chances(policy_seed: int, trial_seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(policy_seed * NOISE_SEEDS_APART + trial_seed)
