"""A control: a policy that is given cameras which stand elsewhere than those that took its images."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from action_images.benchmarks import Box
from action_images.geometry import Camera, Pose
from action_images.geometry import rotation as rotations
from action_images.robot import Observation, Plan, Policy


@dataclass
class WrongCameras:
    """A policy whose given cameras are turned about the vertical through the middle of the workspace.

    Each view is turned by `degrees`, to a side of its own that the trial's seed decides. The middle of the
    workspace stays where it was in each image, and the images are those of the true cameras.
    """

    policy: Policy
    degrees: float
    workspace: Box
    seed: int

    def plan(self, observation: Observation) -> Plan:
        """The policy's plan from these images and the wrong cameras."""
        return self.policy.plan(replace(observation, cameras=self.turned(observation.cameras)))

    def turned(self, cameras: Camera) -> Camera:
        """The wrong cameras in place of these (axis: view)."""
        sides = np.random.default_rng(self.seed).choice([-1.0, 1.0], len(cameras.intrinsics))
        radians = torch.as_tensor(sides * math.radians(self.degrees), dtype=cameras.dtype)
        up = radians[:, None] * radians.new_tensor([0.0, 0.0, 1.0])
        turn = rotations.from_rotation_vector(up)
        middle = radians.new_tensor(self.workspace).mean(0)
        pose = cameras.world_from_camera
        eye = middle + (turn @ (pose.translation - middle)[..., None]).squeeze(-1)
        return replace(cameras, world_from_camera=Pose(turn @ pose.rotation, eye))
