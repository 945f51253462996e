"""Pluecker maps: for every pixel, the line in space that it sees."""

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.geometry.camera import Camera
from action_images.geometry.pose import Pose


def plucker_map(camera: Camera, world_from_reference: Pose | None = None) -> Float[Tensor, "*batch 6 h w"]:
    """Unit direction and moment (origin x direction, m) of each pixel's ray, on channels.

    Rays run through pixel centres (+0.5). Direction and moment are in the axes and about the origin of the
    reference frame (None: the world). The method uses the first frame's camera of the first view (paper
    section on cameras; see docs/conventions.md). The reference's batch axes broadcast against the cameras'.
    """
    if world_from_reference is not None:
        camera = camera.moved(world_from_reference.inverse())
    height, width = camera.size
    y = torch.arange(height, dtype=camera.dtype, device=camera.device) + 0.5
    x = torch.arange(width, dtype=camera.dtype, device=camera.device) + 0.5
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    origin, direction = camera[..., None, None].rays(pixels)
    moment = torch.linalg.cross(origin.expand_as(direction), direction)
    return torch.cat([direction, moment], -1).movedim(-1, -3)
