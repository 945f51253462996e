"""Conversion between joint angles and tool poses, by a URDF and LeRobot's solver, for joint-controlled arms.

The world is then the robot's base, and the tool is a frame of the URDF.
"""

import logging
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from lerobot.configs import PipelineFeatureType, PolicyFeature
from lerobot.lerobot_types import EnvTransition, TransitionKey
from lerobot.model.kinematics import RobotKinematics
from lerobot.processor import PolicyActionProcessorStep, ProcessorStep, ProcessorStepRegistry
from torch import Tensor

from action_images.episodes.lerobot_layout import STATE
from action_images.episodes.notation import BEYOND
from action_images.errors import ActionImagesError
from action_images.geometry import Pose, Trajectory
from lerobot_policy_action_images.observations import tool_path

MAX_ROUNDS, STILL_DEG = 50, 1e-3
WEIGHTS = 1.0, 1e-3
"""Of the squared errors of the tool's place (m) and rotation (rad). With LeRobot's usual 0.01 a turn of 10
degrees that an SO-101 lacks moves its tool by 5 mm, with these by 0.5 mm (packages/examples/reachable.py)."""
FAR_M, FAR_DEG = 5e-3, 10.0
"""A pose that is missed by more than either of these gives a warning."""
Features = dict[PipelineFeatureType, dict[str, PolicyFeature]]


@dataclass(frozen=True)
class Arm:
    """An arm: a URDF's joints in the order of the state (degrees, the gripper last), and the tool's frame."""

    urdf: str
    tool_frame: str
    joints: tuple[str, ...]
    closed: float
    open: float

    def __post_init__(self) -> None:
        if self.closed == self.open:
            raise ActionImagesError(
                f"the gripper reads {self.closed:g} both closed and open; give two different readings"
            )

    def poses(self, rows: Tensor) -> Tensor:
        """Tool poses (..., 8) of joint states (..., joints + 1); rows that are already poses are kept."""
        if rows.shape[-1] == 8 != len(self.joints) + 1:
            return rows
        if rows.shape[-1] != len(self.joints) + 1:
            raise ActionImagesError(
                f"{self.urdf}: the state has {rows.shape[-1]} numbers, {len(self.joints)} joints and a "
                "gripper are "
                f"{len(self.joints) + 1} (--policy.joint_names: {', '.join(self.joints)})"
            )
        solver, flat = _solver(self), rows.detach().cpu().double().reshape(-1, rows.shape[-1]).numpy()
        found = np.stack([solver.forward_kinematics(row[:-1]) for row in flat])
        opening = self._opening(flat[:, -1])
        pose = Pose.from_matrix(torch.from_numpy(found).float())
        vector = Trajectory(pose, torch.from_numpy(opening).float()).to_vector()
        return vector.reshape(*rows.shape[:-1], 8).to(rows)

    def _opening(self, readings: np.ndarray) -> np.ndarray:
        """The opening, 0 to 1; readings slightly beyond closed or open count as that, others are refused."""
        opening = (readings - self.closed) / (self.open - self.closed)
        if not ((opening >= -BEYOND) & (opening <= 1 + BEYOND)).all():
            raise ActionImagesError(
                f"the gripper reads {readings.min():.4g} to {readings.max():.4g}, beyond closed "
                f"({self.closed:g}) and open ({self.open:g}); give its own range"
            )
        return np.clip(opening, 0, 1)

    def angles(self, row: Tensor, start: np.ndarray) -> np.ndarray:
        """The joint state (joints + 1) that brings the tool to a pose (8 numbers), searched from `start`.

        A pose out of reach is approached as far as possible, with a warning. The tool's place counts more
        than its rotation, as an arm of five joints lacks a turn.
        """
        path, solver = tool_path(row[None], "action"), _solver(self)
        wanted = path.world_from_tool[0].matrix().double().numpy()
        angles = np.array(start[: len(self.joints)], float)
        solver.forward_kinematics(angles)  # the solver's first step begins where it was last
        for _ in range(MAX_ROUNDS):
            before, angles = angles, solver.inverse_kinematics(angles, wanted, *WEIGHTS)
            if np.abs(angles - before).max() < STILL_DEG:
                break
        found = solver.forward_kinematics(angles)
        missed = float(np.linalg.norm(found[:3, 3] - wanted[:3, 3]))
        turned = _angle_deg(found[:3, :3], wanted[:3, :3])
        if missed > FAR_M or turned > FAR_DEG:
            logging.warning(
                "inverse kinematics misses the pose by %.0f mm and %.0f degrees", 1e3 * missed, turned
            )
        return np.append(angles, self.closed + float(path.opening[0]) * (self.open - self.closed))


def _angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    """The angle between two rotations (3 x 3), degrees."""
    cosine = (np.trace(one.T @ other) - 1) / 2
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


@lru_cache(maxsize=8)
def _solver(arm: Arm) -> RobotKinematics:
    return RobotKinematics(arm.urdf, arm.tool_frame, list(arm.joints))


_last: dict[Arm, np.ndarray] = {}
"""The current joints (robot, joints + 1) of robots with such an arm; the step after the policy needs them."""


@dataclass
class _OfArm:
    urdf: str = ""
    tool_frame: str = "gripper_frame_link"
    joints: list[str] = field(default_factory=list)
    gripper_range: list[float] = field(default_factory=lambda: [0.0, 100.0])

    @property
    def arm(self) -> Arm:
        """The arm as a hashable value."""
        closed, opened = self.gripper_range
        return Arm(self.urdf, self.tool_frame, tuple(self.joints), closed, opened)

    def get_config(self) -> dict[str, Any]:
        """The saved configuration; the URDF is named, not copied."""
        names = ("urdf", "tool_frame", "joints", "gripper_range")
        return {name: getattr(self, name) for name in names}

    def transform_features(self, features: Features) -> Features:
        """Return the features unchanged."""
        return features


@dataclass
@ProcessorStepRegistry.register(name="action_images_joints_to_tool")
class JointsToToolStep(_OfArm, ProcessorStep):
    """Replaces joint angles in `observation.state` with the tool's pose, one arm at a time."""

    def __call__(self, transition: EnvTransition) -> EnvTransition:
        """Make the new transition."""
        observation = dict(transition.get(TransitionKey.OBSERVATION) or {})
        state = observation.get(STATE)
        if isinstance(state, Tensor):
            observation[STATE] = self.arm.poses(state)
            if state.shape[-1] == len(self.joints) + 1:
                newest = state[:, -1] if state.ndim == 3 else state.reshape(-1, state.shape[-1])
                _last[self.arm] = newest.detach().cpu().double().numpy()
        return {**transition, TransitionKey.OBSERVATION: observation}  # type: ignore[misc]


@dataclass
@ProcessorStepRegistry.register(name="action_images_tool_to_joints")
class ToolToJointsStep(_OfArm, PolicyActionProcessorStep):
    """Replaces tool poses with joint angles, as LeRobot's InverseKinematicsEEToJoints does for one pose.

    It takes one pose of each robot (robot, 8), or chunks (robot, step, 8). Each robot's search begins at its
    own joints, and goes on from pose to pose.
    """

    def action(self, action: Tensor) -> Tensor:
        """(..., joints + 1) from (..., 8)."""
        arm, rows = self.arm, action.detach().cpu()
        starts = _last.get(arm)
        is_one_chunk = rows.ndim == 2 and starts is not None and len(starts) == 1
        rows = rows[None] if is_one_chunk else rows
        chunks = rows if rows.ndim == 3 else rows.reshape(-1, 1, rows.shape[-1])
        if starts is None:
            starts = np.zeros((len(chunks), len(arm.joints) + 1))
        if len(starts) != len(chunks):
            raise ActionImagesError(
                f"{self.urdf}: these are plans of {len(chunks)} robots, but the joints of {len(starts)} "
                "were seen; give the observations of the same robots to the step before the policy"
            )
        found = [self._followed(chunk, start) for chunk, start in zip(chunks, starts, strict=True)]
        told = torch.from_numpy(np.stack(found)).float()
        return told.reshape(*action.shape[:-1], -1).to(action.device)

    def _followed(self, chunk: Tensor, start: np.ndarray) -> np.ndarray:
        """The joints (step, joints + 1) of one robot's poses (step, 8)."""
        arm, found = self.arm, []
        for row in chunk:
            start = arm.angles(row, start)
            found.append(start)
        return np.stack(found)
