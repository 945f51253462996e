"""From LeRobot's batches to observations for planning and samples for training."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from action_images.episodes.lerobot_layout import ACTION, IMAGES, STATE
from action_images.episodes.notation import BEYOND
from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.fitting import fit_camera, fit_frames
from action_images.robot import Observation
from action_images.samples.sample import Sample
from action_images.structs import stack
from lerobot_policy_action_images.columns import WITH_MATRIX, calibrated, camera_keys

Batch = dict[str, Any]

JOINTS = (
    "a robot with joint angles needs kinematics before the policy and, as LeRobot's "
    "InverseKinematicsEEToJoints, after it: --policy.urdf=FILE --policy.joint_names='[...]'"
)


def observations_of(batch: Batch, views: Sequence[str]) -> list[Observation]:
    """One observation for each robot or environment of a batch, on the CPU.

    Raises ActionImagesError if cameras or the tool's pose are missing or invalid.
    """
    state = _required(batch, STATE)
    tools = tool_path(state[:, None] if state.ndim == 2 else state[:, -1:], STATE)[:, 0]
    pictures = _pictures(batch, views)
    cameras = [_camera(batch, view, shown.shape[-2:]) for view, shown in zip(views, pictures, strict=True)]
    size = tuple(pictures[0].shape[-2:])
    return [
        Observation(
            torch.stack([fit_frames(shown[place][None], size)[0] for shown in pictures]),
            stack([fit_camera(camera[place], size) for camera in cameras]),
            tools.world_from_tool[place],
            tools.opening[place],
            words,
        )
        for place, words in enumerate(instructions(batch, len(state)))
    ]


def sample_of(batch: Batch, views: Sequence[str], size: tuple[int, int]) -> Sample:
    """A batch of whole clips, video uint8 fitted to `size` (height, width); `valid` marks real frames.

    The path has the tool's pose in the first frame, and the commands to the arm in the frames after it.
    """
    state, action = _required(batch, STATE), _required(batch, ACTION)
    padded = batch.get(f"{STATE}_is_pad")
    valid = torch.ones(state.shape[:2], dtype=torch.bool) if padded is None else ~padded.bool().cpu()
    rows = torch.cat([state[:, :1], action], 1).cpu().float()
    path = tool_path(rows, f"{STATE} and {ACTION}")
    videos, rig = [], []
    for view in views:
        pixels = _uint8(_required(batch, f"{IMAGES}{view}")).cpu()
        videos.append(fit_frames(pixels.flatten(0, 1), size).unflatten(0, pixels.shape[:2]))
        rig.append(fit_camera(_camera(batch, view, pixels.shape[-2:]), size))
    cameras = Camera(
        torch.stack([camera.intrinsics for camera in rig], 1),
        Pose.from_matrix(torch.stack([camera.world_from_camera.matrix() for camera in rig], 1)),
        size,
    )
    words = tuple(one or None for one in instructions(batch, len(state)))
    return Sample(torch.stack(videos, 1), cameras, path, valid, words)


def tool_path(rows: Tensor, what: str) -> Trajectory:
    """Poses from the last axis's eight numbers (or thirteen, with a matrix).

    Quaternions are normalised. Raises ActionImagesError for another count of numbers, an invalid quaternion,
    or an opening outside [0, 1] by more than 0.05.
    """
    rows = rows.detach().cpu().float()
    if rows.shape[-1] == WITH_MATRIX:
        pose = Pose(rows[..., 3:12].unflatten(-1, (3, 3)), rows[..., :3])
        return Trajectory(pose, _opening(rows[..., 12], what)).check(what)
    if rows.shape[-1] != 8:
        raise ActionImagesError(
            f"'{what}' has {rows.shape[-1]} numbers, a tool's pose has eight: x y z qx qy qz qw "
            f"opening; {JOINTS}"
        )
    turn = rows[..., 3:7]
    length = turn.norm(dim=-1, keepdim=True)
    rows = torch.cat([rows[..., :3], turn / length, _opening(rows[..., 7:], what)], -1)
    off = (length - 1).abs().max().item()
    if not off < 0.05:  # Rounding and means of neighbours stay below this; other notations do not.
        raise ActionImagesError(
            f"'{what}': numbers 3 to 6 are no quaternion x y z w (its length is off by {off:.2g}); {JOINTS}"
        )
    return Trajectory.from_vector(rows)


def _opening(numbers: Tensor, what: str) -> Tensor:
    """The gripper's opening, 0 closed to 1 open; rounding and means of neighbours go slightly beyond."""
    low, high = float(numbers.min()), float(numbers.max())
    if low < -BEYOND or high > 1 + BEYOND:
        raise ActionImagesError(
            f"'{what}': the gripper's opening reads {low:.3g} to {high:.3g}, it is 0 closed to 1 open; "
            "scale the set's column"
        )
    return numbers.clamp(0, 1)


def instructions(batch: Batch, count: int) -> list[str]:
    """The instruction of each: LeRobot's `task`."""
    said = batch.get("task") or ""
    return [said] * count if isinstance(said, str) else [str(one) for one in said]


def _pictures(batch: Batch, views: Sequence[str]) -> list[Tensor]:
    """The pictures of each view (b 3 h w), uint8; the newest if there are several."""
    shown = [_uint8(_required(batch, f"{IMAGES}{view}")).cpu() for view in views]
    return [pixels[:, -1] if pixels.ndim == 5 else pixels for pixels in shown]


def _uint8(pixels: Tensor) -> Tensor:
    if pixels.dtype == torch.uint8:
        return pixels
    if pixels.shape[-3] != 3:
        raise ActionImagesError(f"pictures have three channels, these have the shape {tuple(pixels.shape)}")
    return pixels.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _camera(batch: Batch, view: str, size: Sequence[int]) -> Camera:
    """A view's camera (b) or (b frame) for pictures of this (height, width); raises if it is invalid."""
    keys = camera_keys(view)
    if any(key not in batch for key in keys):
        raise ActionImagesError(f"the camera of '{view}' is not known {calibrated('SET')}")
    intrinsics, matrix = (batch[key].detach().cpu().float() for key in keys)
    newest = batch[f"{IMAGES}{view}"].ndim == 4 and intrinsics.ndim == 3
    if newest:
        intrinsics, matrix = intrinsics[:, -1], matrix[:, -1]
    if intrinsics.ndim == 1:
        intrinsics, matrix = intrinsics[None], matrix[None]
    if not (intrinsics.isfinite().all() and matrix.isfinite().all()):
        raise ActionImagesError(
            f"the camera of '{view}' is not known in this episode {calibrated('SET')}, "
            "or leave the episode out (--dataset.episodes)"
        )
    height, width = size
    intrinsics, pose = intrinsics.unflatten(-1, (3, 3)), Pose.from_matrix(matrix.unflatten(-1, (4, 4)))
    x, y = intrinsics[..., 0, 2], intrinsics[..., 1, 2]
    if (x < 0).any() or (x > width).any() or (y < 0).any() or (y > height).any():
        raise ActionImagesError(
            f"the camera of '{view}' has its principal point at ({x.max():.0f}, {y.max():.0f}) px, "
            "outside of its "
            f"pictures of {height} x {width} px: it was calibrated for another size; scale the intrinsics "
            "with the "
            "pictures, or import the set anew with a cameras file for these"
        )
    return Camera(intrinsics, pose, (height, width)).check(f"the camera of '{view}'")


def _required(batch: Batch, key: str) -> Tensor:
    if key not in batch:
        raise ActionImagesError(
            f"this policy is shown '{key}', and it is not there; a column of another name is renamed by "
            f'--rename_map=\'{{"NAME": "{key}"}}\''
        )
    return batch[key]
