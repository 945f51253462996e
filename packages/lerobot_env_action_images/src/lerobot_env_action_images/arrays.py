"""Observations and actions as the arrays of LeRobot's columns (see docs/lerobot.md)."""

import numpy as np
import torch

from action_images.episodes.lerobot_layout import TOOL_NAMES
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory

POINTING_DOWN = np.array([1, 0, 0, 0], np.float32)
"""The quaternion x y z w of a tool that points down; a first pose uses its quaternion nearer to this."""


MATRIX_NAMES = [*TOOL_NAMES[:3], *(f"r{place // 3}{place % 3}" for place in range(9)), TOOL_NAMES[-1]]
"""A pose without rounding: x y z (m), the rotation row by row, and the gripper's opening."""


def matrix_row(world_from_tool: Pose, opening: float) -> np.ndarray:
    """A tool's pose and its gripper as the thirteen numbers of `MATRIX_NAMES`, float32."""
    pose = world_from_tool.to(torch.float32)
    return torch.cat([pose.translation, pose.rotation.reshape(9), torch.tensor([opening])]).numpy()


def tool_row(world_from_tool: Pose, opening: float, near: np.ndarray = POINTING_DOWN) -> np.ndarray:
    """A tool's pose and its gripper as the eight numbers of `TOOL_NAMES`, float32.

    It uses the rotation's quaternion that is nearer to `near` (x y z w).
    """
    told = torch.tensor(opening, dtype=torch.float32)
    row = Trajectory(world_from_tool.to(torch.float32)[None], told[None]).to_vector()[0].numpy()
    if row[3:7] @ near < 0:
        row[3:7] *= -1
    return row


def told(action: np.ndarray) -> tuple[Pose, float]:
    """The tool pose (world_from_tool) and the opening of an action's eight numbers, or its thirteen.

    Quaternions are normalised, and the opening is clamped to [0, 1]. Raises ActionImagesError for another
    count of numbers, for numbers that are not finite, and for a quaternion of zeros.
    """
    vector = torch.as_tensor(np.asarray(action), dtype=torch.float32).clone()
    if vector.shape not in ((len(TOOL_NAMES),), (len(MATRIX_NAMES),)):
        raise ActionImagesError(
            f"an action is the eight numbers {', '.join(TOOL_NAMES)} (m, unit quaternion, 0 closed to 1 "
            "open), "
            f"this has the shape {tuple(vector.shape)}; a policy that answers in joints needs forward "
            "kinematics"
        )
    if not vector.isfinite().all():
        raise ActionImagesError(f"an action's numbers are finite, these are {vector.tolist()}")
    opening = float(vector[-1].clamp(0, 1))
    if len(vector) == len(MATRIX_NAMES):
        return Pose(vector[3:12].unflatten(0, (3, 3)), vector[:3]).check("an action"), opening
    length = vector[3:7].norm()
    if not length > 1e-6:
        raise ActionImagesError(
            "an action's numbers 3 to 6 are a quaternion x y z w, these are zeros; "
            "the tool pointing down is 1 0 0 0"
        )
    vector[3:7] /= length
    vector[7] = opening
    return Trajectory.from_vector(vector[None]).world_from_tool[0], opening


def camera_rows(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A camera's intrinsics (9 numbers, px) and its pose world_from_camera (16 numbers, m), row by row."""
    intrinsics = camera.intrinsics.to(torch.float32).reshape(9)
    matrix = camera.world_from_camera.matrix().to(torch.float32).reshape(16)
    return intrinsics.numpy(), matrix.numpy()
