"""The motion of the arm in a demonstration: by a task's expert, disturbed or not, or at random."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from action_images.geometry import Pose
from action_images.robot import StepReport
from action_images.sim.motion import Motion, about, downward, grip, move

if TYPE_CHECKING:
    from action_images.sim.environment import Tabletop

SETTLING = 3
"""Control steps for which an expert keeps its last pose, so that the pose is reached."""


@dataclass
class Disturbance:
    """Pushes the arm aside once within a straight motion, so that demonstrations show the way back.

    `under_way` says that it is happening; steps before its end are not part of the demonstration.
    """

    rng: np.random.Generator
    happened: bool = False
    under_way: bool = False
    PROBABILITY = 0.05
    """The probability of beginning at each control step."""

    def strikes(self, motion: Motion) -> bool:
        """Whether it begins now.

        It never begins in motions through several poses, as it would be unclear where these continue.
        """
        return not self.happened and len(motion.through) == 1 and self.rng.uniform() < self.PROBABILITY

    def aside(self, pose: Pose) -> Pose:
        """A pose off by up to 5 cm and a quarter radian, more often higher than lower."""
        offset = torch.from_numpy(self.rng.uniform((-0.05, -0.05, -0.01), (0.05, 0.05, 0.06)))
        axis = self.rng.normal(size=3)
        turn = about((axis / np.linalg.norm(axis)).tolist(), self.rng.uniform(0, 0.25))
        return Pose(turn @ pose.rotation, pose.translation + offset)


@dataclass
class Blunder:
    """A first attempt that goes wrong, so that demonstrations show a second one.

    All places are off by `offset` (m) and `yaw` (rad). The attempt is given up after `num_steps` control
    steps. `under_way` says that it is not given up yet; steps before that are not part of the demonstration.
    It is not given up while the gripper holds something, even at its end, because a demonstration without a
    mistake continues from such an image.
    """

    offset: np.ndarray
    yaw: float
    num_steps: int
    under_way: bool = True

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Blunder":
        """Draw two to five centimetres to any side, up to 23 degrees, and a time of one to five seconds."""
        direction = rng.uniform(-np.pi, np.pi)
        offset = rng.uniform(0.02, 0.05) * np.array([np.cos(direction), np.sin(direction), 0.0])
        return cls(offset, rng.uniform(-0.4, 0.4), int(rng.integers(20, 110)))

    def mistaken(self, motion: Motion) -> Motion:
        """The motion with its poses displaced."""
        turn, offset = about((0, 0, 1), self.yaw), torch.from_numpy(self.offset)
        return replace(
            motion,
            through=tuple(Pose(turn @ pose.rotation, pose.translation + offset) for pose in motion.through),
        )


def demonstrate(
    environment: "Tabletop",
    hold: int = SETTLING,
    *,
    disturbance: Disturbance | None = None,
    blunder: Blunder | None = None,
) -> Iterator[StepReport]:
    """Carry the trial that has begun to its end, one control step for each report.

    Then keep still for `hold` steps.

    With a blunder, a second attempt follows, unless the first succeeded or ended holding something.
    """
    driver, trial, world = _Driver(environment, disturbance), environment.trial, environment.world
    motions = trial.motions(world)
    if blunder is not None:
        yield from driver.blundering(blunder, motions)
        if blunder.under_way or environment.succeeded():
            return
        motions = trial.second_attempt(world)
    for motion in motions:
        yield from driver.run(motion)
    yield from driver.run(grip(environment.world.opening, num_steps=hold))


def correct(environment: "Tabletop", hold: int = SETTLING) -> Iterator[StepReport]:
    """Make a second attempt, as after a blunder, from the tool pose that another controller left.

    It does nothing if the task is done, or if the gripper holds something.
    """
    if environment.succeeded() or environment.world.holds_something():
        return
    driver = _Driver(environment, None)
    for motion in environment.trial.second_attempt(environment.world):
        yield from driver.run(motion)
    yield from driver.run(grip(environment.world.opening, num_steps=hold))


def wander(environment: "Tabletop", rng: np.random.Generator, num_steps: int) -> Iterator[StepReport]:
    """Move between random poses above the table for `num_steps` control steps, gripping at random.

    These motions follow neither from an instruction nor from the first image.
    """
    driver = _Driver(environment, None)
    while True:
        place, opening = rng.uniform((0.36, -0.2, 0.04), (0.58, 0.2, 0.32)), float(rng.uniform() < 0.5)
        axis = rng.normal(size=3)
        lean = about((axis / np.linalg.norm(axis)).tolist(), rng.uniform(0, 0.4))
        upright = downward(place, rng.uniform(-0.8, 0.8))
        pose = Pose(lean @ upright.rotation, upright.translation)
        for report in driver.run(move(pose, opening=opening, pace=rng.uniform(0.6, 1.4))):
            yield report
            num_steps -= 1
            if num_steps <= 0:
                return


@dataclass
class _Driver:
    """Sends motions to the arm step by step and remembers the last command."""

    environment: "Tabletop"
    disturbance: Disturbance | None
    told: Pose = field(init=False)

    def __post_init__(self) -> None:
        self.told = self.environment.world.tool

    def run(self, motion: Motion) -> Iterator[StepReport]:
        """Carry one motion to its end; after a disturbance, from the pose that the arm was pushed to."""
        opening = motion.opening
        for pose in motion.poses(self.told):
            if self.disturbance is not None and self.disturbance.strikes(motion):
                yield from self._pushed(self.disturbance, opening)
                yield from self.run(motion)
                return
            yield self.environment.step(pose, opening)
            self.told = pose

    def blundering(self, blunder: Blunder, motions: Iterator[Motion]) -> Iterator[StepReport]:
        """Carry out the displaced motions until they are given up."""
        num_steps = 0
        for motion in motions:
            for report in self.run(blunder.mistaken(motion)):
                yield report
                num_steps += 1
                if num_steps >= blunder.num_steps and not self.environment.world.holds_something():
                    blunder.under_way = False
                    return
        blunder.under_way = self.environment.world.holds_something()

    def _pushed(self, disturbance: Disturbance, opening: float) -> Iterator[StepReport]:
        disturbance.happened = disturbance.under_way = True
        yield from self.run(move(disturbance.aside(self.told), opening=opening, pace=2.0))
        disturbance.under_way = False
