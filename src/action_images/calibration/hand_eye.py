"""The closed form: a camera's pose from the board's poses in it and the tool's poses in the world."""

import math

import numpy as np
import torch

from action_images.calibration.opencv import CalibrationError, opencv
from action_images.geometry import Pose
from action_images.geometry.rotation import nearest_rotation, to_rotation_vector

LEAST_TURN_DEG = 3.0
"""Positions stay undetermined if the tool turns less than this about the second of its axes (std)."""


def check_turns(world_from_tool: Pose, name: str) -> None:
    """Raise CalibrationError, naming the remedy, unless the poses (frame) turn about at least two axes."""
    rotation = world_from_tool.rotation
    middle = nearest_rotation(rotation.mean(0))
    turns = to_rotation_vector(middle.mT @ rotation)
    spread_deg = torch.linalg.svdvals(turns - turns.mean(0)) / math.sqrt(len(turns)) * 180 / math.pi
    if spread_deg[1] >= LEAST_TURN_DEG:
        return
    if spread_deg[0] < LEAST_TURN_DEG:
        what = f"the tool hardly turns (by {spread_deg[0]:.1f} degrees, standard deviation)"
    else:
        what = (
            f"the tool turns about one axis only ({spread_deg[0]:.1f} degrees, but {spread_deg[1]:.1f} about "
            "any other)"
        )
    raise CalibrationError(
        f"{name}: {what}, so the positions of camera and board cannot be told apart; "
        "take pictures with the tool tilted by 20 degrees or more about at least two axes"
    )


def closed_form(camera_from_board: Pose, mount_from_holder: Pose) -> tuple[Pose, Pose]:
    """(mount_from_camera, holder_from_board) from a pose of each kind for every picture (axis: picture).

    Solves camera_from_board @ board_from_holder = camera_from_mount @ mount_from_holder (Shah 2013, by
    OpenCV). The mount carries the camera, the holder carries the board: they are the world and the tool, or
    the other way round.
    """
    cv2 = opencv()
    lists = [
        (list(pose.rotation.numpy()), list(pose.translation.numpy()))
        for pose in (camera_from_board, mount_from_holder)
    ]
    board_r, board_t, camera_r, camera_t = cv2.calibrateRobotWorldHandEye(
        *lists[0], *lists[1], method=cv2.CALIB_ROBOT_WORLD_HAND_EYE_SHAH
    )
    board_from_holder, camera_from_mount = _pose(board_r, board_t), _pose(camera_r, camera_t)
    if not (
        board_from_holder.translation.isfinite().all() and camera_from_mount.translation.isfinite().all()
    ):
        raise CalibrationError(
            "the closed form finds no solution; take pictures with the tool turned about at least two axes"
        )
    return camera_from_mount.inverse(), board_from_holder.inverse()


def disagreement(
    camera_from_board: Pose, mount_from_holder: Pose, mount_from_camera: Pose, holder_from_board: Pose
) -> float:
    """Distance between the board's origin as seen and as carried by the robot: the median (m)."""
    seen = (mount_from_camera @ camera_from_board).translation
    return (seen - (mount_from_holder @ holder_from_board).translation).norm(dim=-1).median().item()


def middle(poses: Pose) -> Pose:
    """One pose for several measurements of it (axis: picture): their mean rotation and median position."""
    return Pose(nearest_rotation(poses.rotation.mean(0)), poses.translation.median(0).values)


def _pose(rotation: np.ndarray, translation: np.ndarray) -> Pose:
    return Pose(
        nearest_rotation(torch.from_numpy(rotation).double()), torch.from_numpy(translation).double().ravel()
    )
