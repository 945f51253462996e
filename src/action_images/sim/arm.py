"""The arm, which drives its tool towards poses at the control rate."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math

import mujoco
import numpy as np
import torch

from action_images.geometry import Pose
from action_images.robot import StepReport
from action_images.sim.ik import HOME, InverseKinematics

CONTROL_HZ = 20.0
MAX_JOINT_SPEED = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
"""rad/s, as published for the Panda; poses that need more are approached at these limits."""

FINGER_TRAVEL = 0.04
"""Metres that each finger moves between closed (opening 0) and open (opening 1)."""


class Arm:
    """Seven position servos and a gripper in a compiled scene.

    `opening` is the last command to the gripper.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData):
        self._model, self._data = model, data
        self._site = model.site("tool").id
        self._ik = InverseKinematics(model, self._site)
        self._num_substeps = round(1 / CONTROL_HZ / model.opt.timestep)
        # A servo lags behind a moving target by kv / kp seconds, so its command leads by as much.
        self._lead = -model.actuator_biasprm[: len(HOME), 2] / model.actuator_gainprm[: len(HOME), 0]
        self._joints = HOME.copy()
        self.opening = 1.0

    @property
    def world_from_tool(self) -> Pose:
        """The tool's pose: +z points out of the hand, the fingers close along y."""
        rotation = torch.from_numpy(self._data.site_xmat[self._site].reshape(3, 3).copy())
        return Pose(rotation, torch.from_numpy(self._data.site_xpos[self._site].copy()))

    def place(self, world_from_tool: Pose, opening: float = 1.0) -> bool:
        """Set the arm to a pose at once, at rest.

        Returns False if the pose is out of reach and the nearest was taken.
        """
        solution = self._ik.solve(*_numpy(world_from_tool), HOME, num_iterations=200)
        self._joints, self.opening = solution.joints, opening
        self._data.qpos[: len(HOME)] = solution.joints
        self._data.qpos[len(HOME) : len(HOME) + 2] = opening * FINGER_TRAVEL
        self._data.ctrl[:] = [*solution.joints, opening * FINGER_TRAVEL]
        mujoco.mj_forward(self._model, self._data)
        return solution.reachable

    def drive(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drive for one control period towards a tool pose (world) and gripper opening in [0, 1].

        NaN is not followed and counts as out of reach.
        """
        target = self._ik.solve(*_numpy(world_from_tool), self._joints)
        known = math.isfinite(opening)
        self.opening = min(max(float(opening), 0.0), 1.0) if known else self.opening
        self._move(self._within_speed(target.joints))
        reached = self.world_from_tool
        metres, radians = reached.distance(world_from_tool.to(torch.float64))
        return StepReport(target.reachable and known, metres.item(), radians.item(), reached)

    def _within_speed(self, joints: np.ndarray) -> np.ndarray:
        change = joints - self._joints
        excess = float((np.abs(change) * CONTROL_HZ / MAX_JOINT_SPEED).max())
        return self._joints + change / max(1.0, excess)

    def _move(self, joints: np.ndarray) -> None:
        data, start = self._data, self._joints
        lead = (joints - start) * CONTROL_HZ * self._lead
        data.ctrl[len(HOME)] = self.opening * FINGER_TRAVEL
        for substep in range(1, self._num_substeps + 1):
            data.ctrl[: len(HOME)] = start + (joints - start) * (substep / self._num_substeps) + lead
            mujoco.mj_step(self._model, data)
        # Positions of bodies and sites stay those of the previous step until they are computed again.
        mujoco.mj_forward(self._model, data)
        self._joints = joints


def _numpy(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    return pose.translation.double().numpy(), pose.rotation.double().numpy()
