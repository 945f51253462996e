"""Refuse observations that no robot can have made, naming the field that is most likely wrong."""

from collections.abc import Iterator

import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.robot import Observation

FARTHEST_M = 20.0
"""The largest distance of a tool or a camera from the origin."""
MARGIN = 0.25
"""The largest distance of the tool beyond an image's border, as a share of the image's size."""
LEAST_CONTRAST = 3.0
"""Pictures with a lower standard deviation of levels (of 255) show nothing."""
BLACK = 8
"""Pictures without a brighter level (of 255) are black."""
OFF_CENTRE = 0.2
"""A principal point further than this from the image's middle, as a share of its size, gives a warning."""


def doubts(observation: Observation) -> tuple[str, ...]:
    """Warnings about an observation that is possible but unlikely: sentences for its sender.

    A picture of one colour shows nothing, but a policy may not look at it. The principal point usually lies
    near the middle of the picture. With intrinsics of an image twice or half as large it does not. But
    neither does it in cropped pictures, so the observation is not refused.
    """
    cameras = observation.cameras
    height, width = cameras.size
    size = cameras.intrinsics.new_tensor([width, height])
    centres = cameras.intrinsics[..., :2, 2].reshape(-1, 2)
    is_off = ((centres / size - 0.5).abs() > OFF_CENTRE).any(-1)
    told = list(_of_empty_pictures(observation.images))
    for view in is_off.nonzero().flatten().tolist():
        x, y = centres[view].tolist()
        told.append(
            f"'intrinsics' of view {view} have their centre at {x:.0f}, {y:.0f} px, far from the middle of "
            f"{width} x {height} px; are they those of another image size?"
        )
    return tuple(told)


def _of_empty_pictures(images: UInt8[Tensor, "view 3 h w"]) -> Iterator[str]:
    """Warnings about views that are black or of one colour throughout."""
    for view, picture in enumerate(images):
        if int(picture.max()) <= BLACK:
            cure = "was the camera on, or were levels from 0 to 1 cast to uint8? Send levels from 0 to 255"
            yield f"'images' of view {view} is black, no level is above {int(picture.max())} of 255; {cure}"
        elif float(picture.float().flatten(1).std(1).max()) < LEAST_CONTRAST:
            yield f"'images' of view {view} is of a single colour; was the camera on?"


def check_observation(observation: Observation) -> None:
    """Raise ActionImagesError if distances are not in metres, or a principal point lies outside its image."""
    tool, cameras = observation.world_from_tool.translation, observation.cameras
    _check_distance("world_from_tool", tool.norm().item())
    _check_distance("world_from_camera", cameras.world_from_camera.translation.norm(dim=-1).max().item())
    height, width = cameras.size
    centres = cameras.intrinsics[..., :2, 2]
    outside = (centres < 0).any(-1) | (centres > centres.new_tensor([width, height])).any(-1)
    if outside.any():
        view = int(outside.nonzero()[0])
        x, y = centres[view].tolist()
        raise ActionImagesError(
            f"'intrinsics' of view {view} have their centre at {x:.0f}, {y:.0f} px, outside the image of "
            f"{width} x {height} px; are they those of another image size?"
        )


def check_tool_is_seen(observation: Observation) -> None:
    """Raise ActionImagesError, with pixels, if no view shows the tool: policies that use images need it."""
    cameras = observation.cameras
    height, width = cameras.size
    tool = observation.world_from_tool.translation.to(cameras.intrinsics)
    pixels, depth = cameras.project(tool.expand(len(observation.images), 3))
    size = pixels.new_tensor([width, height])
    near = ((pixels >= -MARGIN * size) & (pixels <= (1 + MARGIN) * size)).all(-1)
    if (near & (depth > 0)).any():
        return
    places = []
    for view, (pixel, metres) in enumerate(zip(pixels.tolist(), depth.tolist(), strict=True)):
        at = f"at {pixel[0]:.0f}, {pixel[1]:.0f} px"
        where = at if metres > 0 else f"{-metres:.2f} m behind the camera"
        places.append(f"view {view}: {where}")
    raise ActionImagesError(
        f"the tool lies in no view ({'; '.join(places)}; images are {width} x {height} px). "
        "Are the intrinsics those of another image size? Is 'world_from_camera' inverted "
        "(camera_from_world), "
        "or of OpenGL axes (y up, z backward)?"
    )


def _check_distance(name: str, metres: float) -> None:
    if not metres <= FARTHEST_M or not torch.isfinite(torch.tensor(metres)):
        raise ActionImagesError(
            f"'{name}' lies {metres:.0f} m from the world's origin; positions are in metres, are these "
            "millimetres?"
        )
