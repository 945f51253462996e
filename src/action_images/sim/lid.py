"""Close parts on a hinge at the far edge, such as the lid of a box or the screen of a laptop."""

import math
from collections.abc import Iterator

import torch

from action_images.geometry import Pose
from action_images.sim.grasp import yaw_of
from action_images.sim.motion import Motion, downward, move
from action_images.sim.world import World

GAP = 0.030
"""The distance (m) behind the lid at which the tool moves down, and above it at the end."""


def shut(world: World, lid: str, radius: float, height: float) -> Iterator[Motion]:
    """Reach over the open lid and push it from behind along the arc of its hinge, the hand pointing down.

    The lid's frame has its origin on the hinge and y along it; the lid lies along -x when shut (joint 0). It
    is pushed `radius` (m) from the hinge; `height` (m) is its thickness above the hinge.
    """
    angle = world.joint(lid)
    behind = _pushing(world, lid, radius, GAP, angle)
    above = Pose(behind.rotation, behind.translation + torch.tensor([0.0, 0.0, 0.10], dtype=torch.float64))
    yield move(above, behind, opening=0.0)
    num = 14
    angles = [angle * (1 - (i + 1) / num) for i in range(num)]
    yield move(*(_pushing(world, lid, radius, height + _reach(a), a) for a in angles), opening=0.0, pace=0.8)


def _pushing(world: World, lid: str, radius: float, off: float, angle: float) -> Pose:
    """The tool `radius` along a lid that is at `angle`, `off` m from its outer face."""
    hinge = world.pose(lid)
    # The lid turns about its own y, so its shut frame is that of the hinge's fixed side.
    yaw = yaw_of(_shut_frame(world, lid))
    along, out = _plane(angle)
    x = radius * along[0] + off * out[0]
    z = radius * along[1] + off * out[1]
    cos, sin = math.cos(yaw), math.sin(yaw)
    at = hinge.translation + torch.tensor([cos * x, sin * x, z], dtype=torch.float64)
    return downward(at, yaw)


def _shut_frame(world: World, lid: str) -> Pose:
    parent = world.model.body(int(world.model.body(lid).parentid[0])).name
    return world.pose(parent)


def _plane(angle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Directions in the vertical plane (x, z): along the lid from its hinge, and out of its outer face."""
    return (-math.cos(angle), math.sin(angle)), (math.sin(angle), math.cos(angle))


def _reach(angle: float) -> float:
    """The distance of the tool point from the lid's face: half a finger beside it, a finger tip above it."""
    return 0.011 * math.sin(min(angle, math.pi / 2)) + 0.006 * math.cos(angle)
