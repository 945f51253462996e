"""The tool's pose from its three spots, as several cameras see them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.codec.format import ActionImageFormat
from action_images.codec.locate import Spots
from action_images.geometry import Camera, Pose
from action_images.geometry import rotation as rotations
from action_images.geometry.triangulate import intersect_rays, project_with_jacobian
from action_images.structs import Struct

MAX_STEP = 0.3
"""The most that one step moves (m) and turns (rad): from a far start the first steps are too long."""


@dataclass(frozen=True)
class Solution(Struct):
    """A pose for each frame and how well it is known.

    `position_std` (m) and `rotation_std` (rad) are predicted from the spots' covariance, widened where the
    spots fit the pose worse than they claim; `residual_px` is the root mean square of that misfit and
    `spread` the widening of the variance (>= 1). `in_front` is False where a seen spot would lie behind its
    camera.
    """

    world_from_tool: Pose
    position_std: Float[Tensor, "*frames"]
    rotation_std: Float[Tensor, "*frames"]
    residual_px: Float[Tensor, "*frames"]
    chi_square: Float[Tensor, "*frames"]
    spread: Float[Tensor, "*frames"]
    in_front: Bool[Tensor, "*frames"]


def solve(spots: Spots, cameras: Camera, format: ActionImageFormat) -> Solution:
    """Weighted least squares over all spots of a frame at once.

    Spots are (frame view point), cameras (frame view).

    Means something only where two views see every point; `ambiguity.search` handles the other frames.
    """
    weight = spots.seen / spots.variance_px
    seen_at = torch.where(spots.seen[..., None], spots.position, 0.0)
    points = intersect_rays(cameras[:, None], seen_at.transpose(-2, -3), weight.mT)
    return refine(pose_from_points(points), spots, cameras, format)


def pose_from_points(points: Float[Tensor, "*batch 3 3"]) -> Pose:
    """The tool's pose from its three points (m, world), as near as their noise allows.

    The position is taken as it is; the axes are the nearest rotation (Procrustes).
    """
    position, ahead, below = points.unbind(-2)
    x, z = _unit(ahead - position), _unit(position - below)
    axes = torch.stack([x, torch.linalg.cross(z, x), z], -1)
    return Pose(rotations.nearest_rotation(axes), position)


def _unit(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def refine(
    start: Pose, spots: Spots, cameras: Camera, format: ActionImageFormat, *, num_steps: int = 4
) -> Solution:
    """Gauss-Newton on the six numbers of each pose; `start` and the solution are (*candidates frame)."""
    information = _information(spots)
    pose = start
    for _ in range(num_steps):
        system = _linearise(pose, spots, cameras, format, information)
        step = (
            torch.linalg.solve(system.normal, system.right[..., None]).squeeze(-1).clamp(-MAX_STEP, MAX_STEP)
        )
        move, turn = step[..., :3], step[..., 3:]
        pose = Pose(rotations.from_rotation_vector(turn) @ pose.rotation, pose.translation + move)
    return _assess(pose, _linearise(pose, spots, cameras, format, information), spots)


def _information(spots: Spots) -> Float[Tensor, "frame view 3 2 2"]:
    """The inverse covariance of each spot (1 / px^2), zero where it was not seen."""
    seen = spots.seen[..., None, None]
    eye = torch.eye(2, dtype=spots.covariance.dtype, device=spots.covariance.device)
    # The covariance of a spot that was not seen may have no inverse.
    invertible = torch.where(seen, spots.covariance, eye)
    return torch.where(seen, torch.linalg.inv(invertible), 0.0)


@dataclass(frozen=True)
class _System:
    """The normal equations at a pose, and the spots' misfit there (px, zero where not seen)."""

    normal: Float[Tensor, "*frames 6 6"]
    right: Float[Tensor, "*frames 6"]
    residual_px: Float[Tensor, "*frames view 3 2"]
    chi_square: Float[Tensor, "*frames"]
    in_front: Bool[Tensor, "*frames"]


def _linearise(
    pose: Pose, spots: Spots, cameras: Camera, format: ActionImageFormat, information: Tensor
) -> _System:
    """Normal equations of the whitened misfit.

    The six unknowns are a translation (m) and a turn (rad) about the pose's position.
    """
    points = format.points(pose)[..., None, :, :]
    projected, depth, pixels_by_points = project_with_jacobian(cameras[:, :, None], points)
    lever = points - pose.translation[..., None, None, :]
    eye = torch.eye(3, dtype=points.dtype, device=points.device).expand(*lever.shape, 3)
    # How the points move with the six unknowns, then how the pixels move with the points.
    points_by_pose = torch.cat([eye, -rotations.hat(lever)], -1)
    jacobian = pixels_by_points @ points_by_pose
    residual_px = torch.where(spots.seen[..., None], spots.position - projected, 0.0)
    weighted = jacobian.mT @ information
    chi_square = residual_px * (information @ residual_px[..., None]).squeeze(-1)
    return _System(
        normal=(weighted @ jacobian).sum((-4, -3)) + _faint_pull(points),
        right=(weighted @ residual_px[..., None]).squeeze(-1).sum((-3, -2)),
        residual_px=residual_px,
        chi_square=chi_square.sum((-3, -2, -1)),
        in_front=((depth > 0) | ~spots.seen).all(-1).all(-1),
    )


def _faint_pull(like: Tensor) -> Float[Tensor, "6 6"]:
    """A prior of 10 m and 30 rad: what no spot tells stays finite, and its variance shows it unknown."""
    return torch.diag(torch.tensor([1e-2] * 3 + [1e-3] * 3, dtype=like.dtype, device=like.device))


def _assess(pose: Pose, system: _System, spots: Spots) -> Solution:
    num_seen = spots.seen.sum((-2, -1))
    # Each spot gives two numbers; the pose takes six.
    degrees_of_freedom = (2 * num_seen - 6).clamp_min(1)
    spread = (system.chi_square / degrees_of_freedom).clamp_min(1)
    variance = torch.linalg.inv(system.normal).diagonal(dim1=-2, dim2=-1) * spread[..., None]
    mean_square_px = system.residual_px.square().sum((-3, -2, -1)) / num_seen.clamp_min(1)
    return Solution(
        pose,
        position_std=variance[..., :3].sum(-1).clamp_min(0).sqrt(),
        rotation_std=variance[..., 3:].sum(-1).clamp_min(0).sqrt(),
        residual_px=mean_square_px.sqrt(),
        chi_square=system.chi_square,
        spread=spread,
        in_front=system.in_front,
    )
