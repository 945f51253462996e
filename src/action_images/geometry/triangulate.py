"""World points from the pixels in which several calibrated cameras see them."""

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.geometry.camera import Camera


def intersect_rays(
    cameras: Camera, pixels: Float[Tensor, "*batch view 2"], weight: Float[Tensor, "*batch view"]
) -> Float[Tensor, "*batch 3"]:
    """The points (m) with the least weighted squared distance to each view's ray.

    `weight` >= 0 says how much each view counts; with fewer than two views above zero the answer is the
    nearest point on what is there to the cameras' centroid, and means nothing by itself.
    """
    origin, direction = cameras.rays(pixels)
    origin = origin.expand_as(direction)
    eye = torch.eye(3, dtype=pixels.dtype, device=pixels.device)
    across = weight[..., None, None] * (eye - direction[..., :, None] * direction[..., None, :])
    centre = origin.mean(-2)
    # The tiny pull towards the cameras' centroid keeps the system solvable when rays are missing or parallel.
    pull = 1e-9 * (weight.sum(-1)[..., None, None] + 1e-12) * eye
    right = (across @ (origin - centre[..., None, :])[..., None]).sum(-3).squeeze(-1)
    return centre + torch.linalg.solve(across.sum(-3) + pull, right)


def triangulate(
    cameras: Camera,
    pixels: Float[Tensor, "*batch view 2"],
    weight: Float[Tensor, "*batch view"] | None = None,
) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch view"]]:
    """The points (m) with the least weighted squared reprojection error, and that error in each view (px).

    At least two views with a positive weight are needed for each point; where fewer see it the point is NaN.
    A negative depth in any view shows as an infinite error.
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


def project_with_jacobian(
    cameras: Camera, points: Float[Tensor, "*points 3"]
) -> tuple[Float[Tensor, "*result 2"], Float[Tensor, "*result"], Float[Tensor, "*result 2 3"]]:
    """`Camera.project`, and how its pixels (px) move with the world points (m); batch axes broadcast."""
    camera_from_world = cameras.world_from_camera.inverse()
    in_camera = camera_from_world.apply(points)
    projected, depth = cameras.project_from_camera(in_camera)
    x, y, z = in_camera.unbind(-1)
    z = torch.where(z.abs() < 1e-6, 1e-6, z)
    zero = torch.zeros_like(z)
    rows = [1 / z, zero, -x / z**2, zero, 1 / z, -y / z**2]
    normalised = torch.stack(rows, -1).unflatten(-1, (2, 3))
    jacobian = cameras.intrinsics[..., :2, :2] @ normalised @ camera_from_world.rotation
    return projected, depth, jacobian
