"""A tool's path as the numbers that a vector policy answers with, and back."""

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_six_numbers, to_six_numbers

PARTS = (3, 6, 1)
"""How many numbers say where the tool is, how it is turned, and how far its gripper is open."""
NUM_NUMBERS = sum(PARTS)


def reference(cameras: Camera) -> Pose:
    """`world_from_first`: the first view's camera in the first frame, of cameras (b view frame).

    Rays are given to the network in this very frame, so what it sees determines the numbers. In the robot's
    base frame it does not: nothing that the network is told says where the base is.
    """
    return cameras.world_from_camera[:, 0, 0]


def to_numbers(path: Trajectory, world_from_first: Pose) -> Float[Tensor, "b frame 10"]:
    """A path (b frame) against its own frame 0.

    Where the tool is seen from where it was (m, along the axes of the first camera), how it is turned (the
    first two columns of the rotation from the old tool's axes to the new one's), and its opening in [0, 1].
    """
    pose = path.world_from_tool
    now = pose[:, :1]
    moved = (pose.translation - now.translation) @ world_from_first.rotation
    return torch.cat([moved, to_six_numbers(now.rotation.mT @ pose.rotation), path.opening[..., None]], -1)


def from_numbers(numbers: Float[Tensor, "b frame 10"], now: Trajectory, world_from_first: Pose) -> Trajectory:
    """The path (b frame) that the numbers mean from `now` (b 1) on; openings are cut to [0, 1]."""
    moved, turned, opening = numbers.split(PARTS, -1)
    pose = now.world_from_tool
    translation = pose.translation + moved @ world_from_first.rotation.mT
    return Trajectory(
        Pose(pose.rotation @ from_six_numbers(turned), translation), opening.squeeze(-1).clamp(0, 1)
    )


def tool_now(path: Trajectory, world_from_first: Pose) -> Float[Tensor, "b 10"]:
    """Where the tool is in frame 0 of a path (b frame), in the frame of the first camera.

    Position (m), rotation, opening.
    """
    pose = world_from_first.inverse() @ path.world_from_tool[:, 0]
    return torch.cat([pose.translation, to_six_numbers(pose.rotation), path.opening[:, :1]], -1)
