"""Runs a task's expert: its motions, one tool pose for each control step."""

from collections.abc import Iterator

from action_images.robot import StepReport
from action_images.sim.environment import Tabletop
from action_images.sim.motion import Motion, grip


def demonstrate(environment: Tabletop) -> Iterator[StepReport]:
    """Carry the trial that has begun to its end, one control step for each report."""
    told = environment.world.tool
    for motion in _motions(environment):
        for world_from_tool in motion.poses(told):
            yield environment.step(world_from_tool, motion.opening)
            told = world_from_tool


def _motions(environment: Tabletop) -> Iterator[Motion]:
    yield from environment.trial.motions(environment.world)
    # The last pose is reached, not only asked for.
    yield grip(environment.world.opening, num_steps=3)
