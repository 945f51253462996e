"""Smoothing over time for trajectories read from generated images, where neighbouring frames share the truth but not the error."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import nearest_rotation


@dataclass(frozen=True)
class GaussianSmoother:
    """A weighted mean over neighbouring frames: near ones count more, and so do those that are known better.

    `width` is the standard deviation of the window in frames. Frames of infinite `position_std` count nothing and are
    filled from the others. Rotations are averaged as matrices and brought back to the nearest rotation; openings,
    which jump by nature, stay as they are. It bends sharp turns: a path of curvature k moves by about k * width^2 / 2.
    """

    width: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"GaussianSmoother.width is {self.width}; give a positive number of frames, or no smoother at all")

    def __call__(self, trajectory: Trajectory, position_std: Float[Tensor, "*frames"]) -> Trajectory:
        """Smooth over the last axis; raises ValueError where a path has no frame of finite `position_std`."""
        certainty = 1 / position_std.clamp_min(1e-5).square()
        if (certainty.sum(-1) == 0).any():
            raise ValueError("nothing to smooth: a path has no frame whose pose is known")
        pose = trajectory.world_from_tool
        line = torch.arange(trajectory.num_frames, dtype=pose.dtype, device=pose.device)
        nearness = ((line[:, None] - line) / self.width) ** 2 * -0.5
        # Logarithms: across a long gap the weights themselves would all be 0.
        weight = (nearness + certainty.log()[..., None, :]).softmax(-1)
        rotation, translation = pose.rotation.nan_to_num(0.0), pose.translation.nan_to_num(0.0)
        mean = (weight @ rotation.flatten(-2)).unflatten(-1, (3, 3))
        return Trajectory(Pose(nearest_rotation(mean), weight @ translation), trajectory.opening)
