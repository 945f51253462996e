"""The grasp of a block from above."""

import math

from action_images.geometry import Pose
from action_images.sim.motion import downward

CLEARANCE = 0.09
"""Height (m) above a grasp from which the hand moves down."""


def grasp_from_above(world_from_body: Pose, height: float = 0.0, symmetry: float = math.pi / 2) -> Pose:
    """The tool pointing down at a body's origin (plus `height` m), x along the body's.

    `symmetry` (rad) is the rotation after which the body is the same to the fingers.

    Of the equivalent grasps, it is the one nearest to no rotation, which every arm can reach.
    """
    turn = yaw_of(world_from_body)
    x, y, z = world_from_body.translation.tolist()
    return downward((x, y, z + height), math.remainder(turn, symmetry))


def yaw_of(world_from_body: Pose) -> float:
    """The rotation (rad) of a body's x axis about the world's z."""
    return math.atan2(world_from_body.rotation[1, 0].item(), world_from_body.rotation[0, 0].item())
