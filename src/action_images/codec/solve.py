"""The tool's pose from its three spots, as several cameras see them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.codec.locate import Spots
from action_images.geometry import Camera, Pose
from action_images.geometry import rotation as rotations
from action_images.geometry.triangulate import projection_jacobian, triangulate
from action_images.structs import Struct


@dataclass(frozen=True)
class Solution(Struct):
    """A pose for each frame and how well it is known.

    `position_std` (m) and `rotation_std` (rad) are predicted from the spots' covariance, widened where the spots fit
    the pose worse than they claim; `residual_px` is the root mean square of that misfit and `spread` the widening of
    the variance (>= 1). `in_front` is False where a seen spot would lie behind its camera.
    """

    world_from_tool: Pose
    position_std: Float[Tensor, "*frames"]
    rotation_std: Float[Tensor, "*frames"]
    residual_px: Float[Tensor, "*frames"]
    chi_square: Float[Tensor, "*frames"]
    spread: Float[Tensor, "*frames"]
    in_front: Bool[Tensor, "*frames"]


def solve(spots: Spots, cameras: Camera, format: ActionImageFormat) -> Solution:
    """Weighted least squares over all spots of a frame at once; spots are (frame view point), cameras (frame view).

    Means something only where two views see every point; `ambiguity.search` handles the other frames.
    """
    weight = spots.seen / _trace(spots.covariance)
    points, _ = triangulate(cameras[:, None], spots.position.transpose(-2, -3), weight.mT)
    return refine(pose_from_points(points.nan_to_num(0.0)), spots, cameras, format)


def pose_from_points(points: Float[Tensor, "*batch 3 3"]) -> Pose:
    """The tool's pose from its three points (m, world), as near as their noise allows: position as is, axes by Procrustes."""
    position, ahead, below = points.unbind(-2)
    x, z = (
        axis / axis.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        for axis in (ahead - position, position - below)
    )
    return Pose(rotations.nearest_rotation(torch.stack([x, torch.linalg.cross(z, x), z], -1)), position)


def refine(
    start: Pose, spots: Spots, cameras: Camera, format: ActionImageFormat, num_steps: int = 4
) -> Solution:
    """Gauss-Newton on the six numbers of each pose; `start` is (*candidates frame), and so is the solution."""
    information = torch.where(spots.seen[..., None, None], torch.linalg.inv(_or_eye(spots)), 0.0)
    pose = start
    for _ in range(num_steps):
        system = _linearise(pose, spots, cameras, format, information)
        step = torch.linalg.solve(system.normal, system.right[..., None]).squeeze(-1).clamp(-0.3, 0.3)
        pose = Pose(
            rotations.from_rotation_vector(step[..., 3:]) @ pose.rotation, pose.translation + step[..., :3]
        )
    return _assess(pose, _linearise(pose, spots, cameras, format, information), spots)


@dataclass(frozen=True)
class _System:
    normal: Tensor
    right: Tensor
    residual: Tensor
    chi_square: Tensor
    in_front: Tensor


def _linearise(
    pose: Pose, spots: Spots, cameras: Camera, format: ActionImageFormat, information: Tensor
) -> _System:
    """Normal equations of the whitened misfit; the pose moves by a translation (m) and a turn (rad) about its position."""
    points = format.points(pose)[..., None, :, :]
    projected, depth = cameras[:, :, None].project(points)
    lever = points - pose.translation[..., None, None, :]
    eye = torch.eye(3, dtype=points.dtype, device=points.device).expand(*lever.shape, 3)
    jacobian = projection_jacobian(cameras[:, :, None], points) @ torch.cat([eye, -rotations.hat(lever)], -1)
    residual = torch.where(spots.seen[..., None], spots.position - projected, 0.0)
    weighted = jacobian.mT @ information
    # A faint pull (10 m, 30 rad) keeps what no spot tells of finite: its variance then says that it is not known.
    faint = torch.tensor([1e-2] * 3 + [1e-3] * 3, dtype=points.dtype, device=points.device)
    normal = (weighted @ jacobian).sum((-4, -3)) + torch.diag(faint)
    right = (weighted @ residual[..., None]).squeeze(-1).sum((-3, -2))
    chi_square = (residual * (information @ residual[..., None]).squeeze(-1)).sum((-3, -2, -1))
    return _System(normal, right, residual, chi_square, ((depth > 0) | ~spots.seen).all(-1).all(-1))


def _assess(pose: Pose, system: _System, spots: Spots) -> Solution:
    num_seen = spots.seen.sum((-2, -1))
    spread = (system.chi_square / (2 * num_seen - 6).clamp_min(1)).clamp_min(1)
    variance = torch.linalg.inv(system.normal).diagonal(dim1=-2, dim2=-1) * spread[..., None]
    square = system.residual.square().sum((-3, -2, -1)) / num_seen.clamp_min(1)
    return Solution(
        pose,
        variance[..., :3].sum(-1).clamp_min(0).sqrt(),
        variance[..., 3:].sum(-1).clamp_min(0).sqrt(),
        square.sqrt(),
        system.chi_square,
        spread,
        system.in_front,
    )


def _or_eye(spots: Spots) -> Tensor:
    eye = torch.eye(2, dtype=spots.covariance.dtype, device=spots.covariance.device)
    return torch.where(spots.seen[..., None, None], spots.covariance, eye)


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
