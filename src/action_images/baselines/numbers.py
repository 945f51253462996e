"""Conversion of a tool's path to the numbers that a vector policy predicts, and back."""

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_six_numbers, to_six_numbers

PARTS = (3, 6, 1)
"""Numbers of the tool's position, its rotation and its gripper's opening."""
NUM_NUMBERS = sum(PARTS)


def reference(cameras: Camera) -> Pose:
    """`world_from_first`: the first view's camera in the first frame, of cameras (b view frame).

    The network gets rays in this frame too, so its input determines the numbers. In the robot's base frame it
    would not, as the network's input does not contain the base's position.
    """
    return cameras.world_from_camera[:, 0, 0]


def to_numbers(path: Trajectory, world_from_first: Pose) -> Float[Tensor, "b frame 10"]:
    """A path (b frame) relative to its own frame 0.

    - the tool's displacement (m, along the axes of the first camera)
    - its rotation (the first two columns of the rotation from the old tool's axes to the new one's)
    - its opening in [0, 1]
    """
    pose = path.world_from_tool
    now = pose[:, :1]
    moved = (pose.translation - now.translation) @ world_from_first.rotation
    return torch.cat([moved, to_six_numbers(now.rotation.mT @ pose.rotation), path.opening[..., None]], -1)


def from_numbers(numbers: Float[Tensor, "b frame 10"], now: Trajectory, world_from_first: Pose) -> Trajectory:
    """The path (b frame) of these numbers, starting at `now` (b 1); openings are clamped to [0, 1]."""
    moved, turned, opening = numbers.split(PARTS, -1)
    pose = now.world_from_tool
    translation = pose.translation + moved @ world_from_first.rotation.mT
    return Trajectory(
        Pose(pose.rotation @ from_six_numbers(turned), translation), opening.squeeze(-1).clamp(0, 1)
    )


def tool_now(path: Trajectory, world_from_first: Pose) -> Float[Tensor, "b 10"]:
    """The tool in frame 0 of a path (b frame), in the first camera's frame.

    The numbers are position (m), rotation, opening.
    """
    pose = world_from_first.inverse() @ path.world_from_tool[:, 0]
    return torch.cat([pose.translation, to_six_numbers(pose.rotation), path.opening[:, :1]], -1)
