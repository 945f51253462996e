"""World points from their pixels in several calibrated cameras."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.geometry.camera import Camera
from action_images.structs import Struct


def intersect_rays(
    cameras: Camera, pixels: Float[Tensor, "*batch view 2"], weight: Float[Tensor, "*batch view"]
) -> Float[Tensor, "*batch 3"]:
    """The points (m) with the least weighted squared distance to each view's ray.

    `weight` >= 0 is the weight of each view. With fewer than two views above zero, the result is the point
    nearest to the cameras' centroid on the remaining rays, and is meaningless by itself.
    """
    origin, direction = cameras.rays(pixels)
    origin = origin.expand_as(direction)
    eye = torch.eye(3, dtype=pixels.dtype, device=pixels.device)
    across = weight[..., None, None] * (eye - direction[..., :, None] * direction[..., None, :])
    centre = origin.mean(-2)
    # The tiny pull towards the cameras' centroid keeps the system solvable if rays are missing or parallel.
    pull = 1e-9 * (weight.sum(-1)[..., None, None] + 1e-12) * eye
    right = (across @ (origin - centre[..., None, :])[..., None]).sum(-3).squeeze(-1)
    return centre + torch.linalg.solve(across.sum(-3) + pull, right)


def triangulate(
    cameras: Camera,
    pixels: Float[Tensor, "*batch view 2"],
    weight: Float[Tensor, "*batch view"] | None = None,
) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch view"]]:
    """The points (m) with the least weighted squared reprojection error, and that error in each view (px).

    Each point needs at least two views with a positive weight; otherwise it is NaN. A negative depth in any
    view shows as an infinite error.
    """
    weight = torch.ones_like(pixels[..., 0]) if weight is None else weight
    seen = (weight > 0).sum(-1) >= 2
    safe = torch.where((weight > 0)[..., None], pixels, 0.0)
    points = intersect_rays(cameras, safe, weight)
    for _ in range(3):
        points = points + _step(cameras, safe, weight, points)
    projected, depth = cameras.project(points[..., None, :])
    error = torch.where(depth > 0, (projected - pixels).norm(dim=-1), torch.inf)
    return torch.where(seen[..., None], points, torch.nan), error


def _step(cameras: Camera, pixels: Tensor, weight: Tensor, points: Tensor) -> Tensor:
    """One Gauss-Newton step on the reprojection error."""
    projected, _, jacobian = project_with_jacobian(cameras, points[..., None, :])
    weighted = jacobian.mT * weight[..., None, None]
    normal = (weighted @ jacobian).sum(-3)
    right = (weighted @ (pixels - projected)[..., None]).sum(-3)
    damping = 1e-9 * normal.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] + 1e-12
    eye = torch.eye(3, dtype=pixels.dtype, device=pixels.device)
    return torch.linalg.solve(normal + damping * eye, right).squeeze(-1)


@dataclass(frozen=True)
class Projection(Struct):
    """Cameras as matrices from world points to pixels, for points that are projected many times."""

    matrix: Float[Tensor, "*batch 3 3"]
    offset: Float[Tensor, "*batch 3"]

    @classmethod
    def of(cls, cameras: Camera) -> Self:
        """The same cameras."""
        camera_from_world = cameras.world_from_camera.inverse()
        matrix = cameras.intrinsics @ camera_from_world.rotation
        return cls(matrix, (cameras.intrinsics @ camera_from_world.translation[..., None]).squeeze(-1))

    def with_jacobian(
        self, points: Float[Tensor, "*points 3"]
    ) -> tuple[Float[Tensor, "*result 2"], Float[Tensor, "*result"], Float[Tensor, "*result 2 3"]]:
        """`Camera.project` and its Jacobian, pixels (px) by world points (m); batch axes broadcast."""
        homogeneous = (self.matrix * points[..., None, :]).sum(-1) + self.offset
        depth = homogeneous[..., 2]
        z = torch.where(depth.abs() < 1e-6, 1e-6, depth)[..., None]
        pixels = homogeneous[..., :2] / z
        across, along = self.matrix[..., :2, :], self.matrix[..., 2:, :]
        return pixels, depth, (across - pixels[..., None] * along) / z[..., None]


def project_with_jacobian(
    cameras: Camera, points: Float[Tensor, "*points 3"]
) -> tuple[Float[Tensor, "*result 2"], Float[Tensor, "*result"], Float[Tensor, "*result 2 3"]]:
    """See `Projection.with_jacobian`."""
    return Projection.of(cameras).with_jacobian(points)
