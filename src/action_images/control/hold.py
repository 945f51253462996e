"""A policy that stands still: a floor to compare with, and a way to test a robot without weights."""

from dataclasses import dataclass

import torch

from action_images.geometry import Trajectory
from action_images.robot import Observation, Plan


@dataclass(frozen=True)
class Hold:
    """Plans the observed tool pose and opening, `num_steps` times."""

    num_steps: int = 16

    def plan(self, observation: Observation) -> Plan:
        """The tool's current pose, repeated."""
        opening = observation.opening.expand(self.num_steps)
        held = observation.world_from_tool[None].expand(self.num_steps)
        return Plan(Trajectory(held, opening), confidence=torch.ones(self.num_steps))
