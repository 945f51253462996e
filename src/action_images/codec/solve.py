"""The tool's pose from its three spots in several cameras."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import Self

from action_images.codec.format import ActionImageFormat
from action_images.codec.locate import Spots
from action_images.geometry import Camera, Pose
from action_images.geometry import rotation as rotations
from action_images.geometry.triangulate import Projection, intersect_rays
from action_images.structs import Struct

MAX_STEP = 0.3
"""The largest move (m) and turn (rad) of one step: from a far start the first steps are too long."""


@dataclass(frozen=True)
class Solution(Struct):
    """A pose for each frame and how well it is known.

    `position_std` (m) and `rotation_std` (rad) are predicted from the spots' covariance, and widened if the
    spots fit the pose worse than their covariance says. `residual_px` is the root mean square of that misfit
    and `spread` the widening of the variance (>= 1). `in_front` is False if a seen spot would lie behind its
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

    Meaningful only if two views see every point; `ambiguity.search` handles the other frames.
    """
    weight = spots.seen / spots.variance_px
    seen_at = torch.where(spots.seen[..., None], spots.position, 0.0)
    points = intersect_rays(cameras[:, None], seen_at.transpose(-2, -3), weight.mT)
    return refine(pose_from_points(points), spots, cameras, format)


def pose_from_points(points: Float[Tensor, "*batch 3 3"]) -> Pose:
    """The tool's pose from its three points (m, world), as near as their noise allows.

    The position is taken unchanged; the axes are the nearest rotation (Procrustes).
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
    seen = _Seen.of(spots, cameras)
    pose = start
    for _ in range(num_steps):
        system = _linearise(pose, seen, format)
        step = torch.linalg.solve(system.normal, system.right).clamp(-MAX_STEP, MAX_STEP)
        move, turn = step[..., :3], step[..., 3:]
        pose = Pose(_small_rotation(turn) @ pose.rotation, pose.translation + move)
    return _assess(pose, _linearise(pose, seen, format), spots)


def _small_rotation(turn: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """A rotation with the derivative of the rotation vector (rad) at zero, which is enough for a step."""
    return rotations.from_quaternion_xyzw(torch.cat([turn / 2, torch.ones_like(turn[..., :1])], -1))


@dataclass(frozen=True)
class _Seen:
    """Data shared by all steps on some frames."""

    projection: Projection
    """The projection of each view, with an axis for its points (frame view 1)."""
    position: Float[Tensor, "frame view 3 2"]
    is_seen: Bool[Tensor, "frame view 3"]
    information: Float[Tensor, "frame view 3 2 2"]
    pull: Float[Tensor, "6 6"]

    @classmethod
    def of(cls, spots: Spots, cameras: Camera) -> Self:
        """Spots (frame view point) and the cameras (frame view) that see them."""
        projection = Projection.of(cameras)[..., None]
        return cls(projection, spots.position, spots.seen, _information(spots), _faint_pull(spots.position))


def _information(spots: Spots) -> Float[Tensor, "frame view 3 2 2"]:
    """The inverse covariance of each spot (1 / px^2), zero if it was not seen."""
    seen = spots.seen[..., None, None]
    eye = torch.eye(2, dtype=spots.covariance.dtype, device=spots.covariance.device)
    # The covariance of an unseen spot may have no inverse.
    invertible = torch.where(seen, spots.covariance, eye)
    return torch.where(seen, torch.linalg.inv(invertible), 0.0)


@dataclass(frozen=True)
class _System:
    """The normal equations at a pose, and the spots' misfit there (px, zero if not seen)."""

    normal: Float[Tensor, "*frames 6 6"]
    right: Float[Tensor, "*frames 6"]
    residual_px: Float[Tensor, "*frames view 3 2"]
    chi_square: Float[Tensor, "*frames"]
    in_front: Bool[Tensor, "*frames"]


def _linearise(pose: Pose, seen: _Seen, format: ActionImageFormat) -> _System:
    """Normal equations of the whitened misfit.

    The six unknowns are a translation (m) and a turn (rad) about the pose's position.
    """
    points = format.points(pose)[..., None, :, :]
    projected, depth, by_point = seen.projection.with_jacobian(points)
    lever = points - pose.translation[..., None, None, :]
    # A turn moves a point by turn x lever, and so its pixels by their Jacobian times that.
    by_turn = torch.linalg.cross(lever[..., None, :], by_point, dim=-1)
    residual_px = torch.where(seen.is_seen[..., None], seen.position - projected, 0.0)
    # With the misfit as a seventh column, one product holds everything that the equations need.
    columns = torch.cat([by_point, by_turn, residual_px[..., None]], -1)
    weighted = seen.information @ columns
    products = columns.flatten(-4, -2).mT @ weighted.flatten(-4, -2)
    return _System(
        normal=products[..., :6, :6] + seen.pull,
        right=products[..., :6, 6],
        residual_px=residual_px,
        chi_square=products[..., 6, 6],
        in_front=((depth > 0) | ~seen.is_seen).all(-1).all(-1),
    )


def _faint_pull(like: Tensor) -> Float[Tensor, "6 6"]:
    """A prior of 10 m and 30 rad: undetermined numbers stay finite, and their variance shows them unknown."""
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
