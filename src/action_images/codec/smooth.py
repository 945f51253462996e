"""Smoothing over time: neighbouring generated frames share the truth but not the error."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import nearest_rotation


@dataclass(frozen=True)
class GaussianSmoother:
    """A weighted mean over neighbouring frames: near frames and well-known frames count more.

    `width` is the standard deviation of the window in frames. Frames of infinite `position_std` do not count
    and are filled from the others. Rotations are averaged as matrices and projected to the nearest rotation;
    openings, which jump by nature, stay unchanged. Smoothing bends sharp turns: a path of curvature k moves
    by about k * width^2 / 2.
    """

    width: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ActionImagesError(
                f"GaussianSmoother.width is {self.width}; give a positive number of frames, or no smoother "
                "at all"
            )

    def __call__(self, trajectory: Trajectory, position_std: Float[Tensor, "*frames"]) -> Trajectory:
        """Smooth over the last axis; raises ValueError if a path has no frame of finite `position_std`."""
        certainty = 1 / position_std.clamp_min(1e-5).square()
        if (certainty.sum(-1) == 0).any():
            raise ActionImagesError("nothing to smooth: a path has no frame whose pose is known")
        pose = trajectory.world_from_tool
        line = torch.arange(trajectory.num_frames, dtype=pose.dtype, device=pose.device)
        nearness = ((line[:, None] - line) / self.width) ** 2 * -0.5
        # Use logarithms: across a long gap the weights themselves would all be 0.
        weight = (nearness + certainty.log()[..., None, :]).softmax(-1)
        rotation, translation = pose.rotation.nan_to_num(0.0), pose.translation.nan_to_num(0.0)
        mean = (weight @ rotation.flatten(-2)).unflatten(-1, (3, 3))
        return Trajectory(Pose(nearest_rotation(mean), weight @ translation), trajectory.opening)


@dataclass(frozen=True)
class RotationSmoother:
    """A weighted mean of neighbouring rotations: near ones count more, and the first counts `first` times.

    A rotation follows from the difference of two spots' positions, so generated images determine it far less
    well than the position; and tools turn slowly. `first` is the weight of the first frame in frames: 4 if it
    was given, 1 if it was generated. Unknown poses (infinite `position_std`) do not count and stay unchanged,
    as do positions and openings.
    """

    width: float = 2.0
    first: float = 4.0

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.first > 0):
            raise ActionImagesError(
                f"RotationSmoother takes width and first greater than 0, got {self}; take no smoother to "
                "smooth nothing"
            )

    def __call__(self, trajectory: Trajectory, position_std: Float[Tensor, "*frames"]) -> Trajectory:
        """Smooth over the last axis."""
        pose = trajectory.world_from_tool
        known = position_std.isfinite() & pose.rotation.isfinite().all(-1).all(-1)
        line = torch.arange(trajectory.num_frames, dtype=pose.dtype, device=pose.device)
        count = torch.where(line == 0, self.first, 1.0).log()
        nearness = ((line[:, None] - line) / self.width) ** 2 * -0.5 + count
        # Without known frames the mean is not used; a finite floor keeps it a number.
        weight = torch.where(known[..., None, :], nearness, -1e4).softmax(-1)
        identity = torch.eye(3, dtype=pose.dtype, device=pose.device)
        rotation = torch.where(known[..., None, None], pose.rotation, identity)
        mean = nearest_rotation((weight @ rotation.flatten(-2)).unflatten(-1, (3, 3)))
        return replace(
            trajectory,
            world_from_tool=replace(pose, rotation=torch.where(known[..., None, None], mean, pose.rotation)),
        )
