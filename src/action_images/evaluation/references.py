"""Policies to compare with: the expert, the expert seen through video, standing still, and moving at random."""

from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch

from action_images.control import Gripper, Hold, bridged, to_control_steps
from action_images.errors import ActionImagesError
from action_images.evaluation.ceiling import demonstrated, through_video
from action_images.geometry import Pose, Trajectory
from action_images.robot import Observation, Plan, Policy
from action_images.sim import Tabletop, demonstrate
from action_images.sim.motion import downward
from action_images.structs import concatenate, stack


@runtime_checkable
class Repeatable(Protocol):
    """A world in which a trial runs, that can make another one of the same scenes."""

    num_steps: int

    @property
    def control_hz(self) -> float:
        """Control steps in a second."""
        ...

    def twin(self) -> Tabletop:
        """A MuJoCo world of the same scenes, in which no trial has begun."""
        ...


@runtime_checkable
class Privileged(Protocol):
    """A policy that is told of each trial before its first observation, which no robot could tell it."""

    def begin(self, environment: Repeatable, seed: int) -> None:
        """The environment has begun the trial of this seed."""
        ...


class _Script:
    """A path that is known before the trial, from wherever the trial's clock stands; its last pose is held."""

    def __init__(self) -> None:
        self._environment: Repeatable | None = None
        self._path: Trajectory | None = None

    def follow(self, environment: Repeatable, path: Trajectory) -> None:
        """`path` has one frame for each control step from the first on."""
        self._environment, self._path = environment, path

    def plan(self, observation: Observation) -> Plan:  # noqa: ARG002 (it knows without looking)
        """What is left of the path, and then its last pose."""
        if self._environment is None or self._path is None:
            raise ActionImagesError(
                "this policy knows the trial beforehand; call begin(environment, seed) first"
            )
        now = min(self._environment.num_steps, self._path.num_frames - 1)
        left = self._path[now:]
        return Plan(left, confidence=torch.ones(left.num_frames))


class Expert(_Script):
    """The task's expert, run beforehand in a world of its own: the upper bound of any policy under this controller."""

    def begin(self, environment: Repeatable, seed: int) -> None:
        """Run the expert of this trial."""
        self.follow(environment, expert_path(environment, seed))


class DisplacedExpert(_Script):
    """The expert, all of whose path lies so many metres off, to a side of chance: as good a policy as one likes it to be."""

    def __init__(self, metres: float, seed: int = 0) -> None:
        super().__init__()
        self._metres, self._seed = metres, seed

    def begin(self, environment: Repeatable, seed: int) -> None:
        """Run the expert of this trial and move its path, in the plane of the table, from where the tool is to where it ends up."""
        path = expert_path(environment, seed)
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + seed)
        angle = 2 * torch.pi * torch.rand((), generator=generator)
        aside = self._metres * torch.stack([angle.cos(), angle.sin(), torch.zeros(())])
        # Little by little over a second: the arm must not be asked to jump.
        share = (torch.arange(1, path.num_frames + 1) / environment.control_hz).clamp(max=1)
        pose = path.world_from_tool
        self.follow(
            environment,
            replace(
                path, world_from_tool=replace(pose, translation=pose.translation + share[:, None] * aside)
            ),
        )


class ExpertThroughVideo(_Script):
    """The expert's recorded path at a model's frame rate, drawn, stored as H.264, read back and resampled to control steps.

    What perfect predictions of action images of this `size` (height, width) px and `fps` would score.
    """

    def __init__(
        self, size: tuple[int, int], fps: float = 5.0, gripper: Gripper = Gripper(), crf: int = 18
    ) -> None:
        super().__init__()
        self._size, self._fps, self._gripper, self._crf = size, fps, gripper, crf

    def begin(self, environment: Repeatable, seed: int) -> None:
        """Record the expert of this trial and send it through video."""
        recorded, cameras = demonstrated(environment.twin(), seed)
        stride = max(round(environment.control_hz / self._fps), 1)
        # The last pose is a frame of its own wherever the demonstration ends between two.
        frames = [*range(0, recorded.num_frames - 1, stride), *[recorded.num_frames - 1] * 2]
        known = through_video(recorded[frames], cameras.resize(*self._size)[:, frames], self._crf, self._fps)
        path = concatenate([recorded[:1], known[1:]])
        path = bridged(path, path.world_from_tool.translation.isfinite().all(-1))
        sure = torch.ones(len(frames))
        fps = (
            environment.control_hz / stride
        )  # of the frames that were taken: not every rate divides the arm's
        self.follow(
            environment, to_control_steps(path, sure, fps, environment.control_hz, self._gripper).trajectory
        )


class Random:
    """Moves evenly to places drawn from the workspace, with the gripper as chance has it: what a task scores for moving at all."""

    LOW, HIGH, SPEED, MAX_STEPS = (0.36, -0.2, 0.02), (0.58, 0.2, 0.3), 0.25, 40

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        self._hz = 20.0

    def begin(self, environment: Repeatable, seed: int) -> None:
        """Each trial has chances of its own, the same whenever it is run."""
        self._generator = torch.Generator().manual_seed(self._seed * 1_000_003 + seed)
        self._hz = environment.control_hz

    def plan(self, observation: Observation) -> Plan:
        """A straight move to a random place, pointing down."""
        low, high = torch.tensor(self.LOW), torch.tensor(self.HIGH)
        place = low + (high - low) * torch.rand(3, generator=self._generator)
        opening = torch.rand(1, generator=self._generator).round()
        goal = Pose(downward(place).rotation.to(torch.float32), place)
        metres, radians = observation.world_from_tool.distance(goal)
        num_steps = max(int(self._hz * max(metres.item() / self.SPEED, radians.item() / 1.2)), 4)
        ends = Trajectory(stack([observation.world_from_tool.to(torch.float32), goal]), opening.expand(2))
        return Plan(ends.at(torch.arange(1, num_steps + 1) / num_steps))


def expert_path(environment: Repeatable, seed: int) -> Trajectory:
    """What the expert tells the arm in this trial (step), run in a world of its own that is never rendered."""
    twin = environment.twin()
    twin.begin(seed)
    told = [(twin.told, twin.world.opening) for _ in demonstrate(twin)]
    poses, openings = zip(*told, strict=True)
    return Trajectory(stack(poses), torch.tensor(openings, dtype=torch.float64)).to(torch.float32)


REFERENCES = ("expert", "expert-video", "hold", "random")
"""Names of the policies to compare with."""


def reference(name: str, size: tuple[int, int], fps: float) -> Policy:
    """One of them, for images of a size (height, width) px and a model of so many frames a second."""
    if name == "expert-video":
        return ExpertThroughVideo(size, fps)
    return {"expert": Expert, "hold": Hold, "random": Random}[name]()
