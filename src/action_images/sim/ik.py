"""Inverse kinematics: joint angles that bring the tool to a pose, by damped least squares."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

from dataclasses import dataclass

import mujoco
import numpy as np

HOME = np.array([0.0, 0.0, 0.0, -2.2, 0.0, 2.2, 0.785])
"""A comfortable posture (rad), the tool pointing down before the arm."""

TOLERANCE = 5e-4
"""The search stops below this error (metres, and half-radians)."""


@dataclass(frozen=True)
class Solution:
    """Joint angles (rad) inside their limits.

    `reachable` is False if the tool does not reach the pose.
    """

    joints: np.ndarray
    reachable: bool


class InverseKinematics:
    """Solves for one arm, whose joints must come first in the model."""

    def __init__(self, model: mujoco.MjModel, tool_site: int):
        self._model, self._data, self._site = model, mujoco.MjData(model), tool_site
        self._num = len(HOME)
        self._low, self._high = model.jnt_range[: self._num].T
        self._jacobian = np.zeros((6, model.nv))

    def solve(
        self, position: np.ndarray, rotation: np.ndarray, start: np.ndarray, num_iterations: int = 60
    ) -> Solution:
        """Joint angles for a tool position (m) and rotation matrix, searched from `start` (rad).

        Each step is J^T (J J^T + d I)^-1 times the remaining twist, with d growing with the twist (Nakamura
        and Hanafusa 1986). A pull towards HOME is added in the directions that do not move the tool.
        """
        joints, best = start.copy(), (np.inf, start)
        for _ in range(num_iterations):
            twist = self._twist(position, rotation, joints)
            error = float(np.linalg.norm(twist))
            if error < best[0]:
                best = (error, joints.copy())
            if error < TOLERANCE:
                break
            joints = np.clip(joints + self._step_within(twist, joints), self._low, self._high)
        return Solution(best[1], best[0] < 4 * TOLERANCE)

    def _twist(self, position: np.ndarray, rotation: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """The remaining error: metres, then half-radians (a radian counts as half a metre)."""
        self._data.qpos[: self._num] = joints
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        reached = self._data.site_xmat[self._site].reshape(3, 3)
        return np.concatenate(
            [position - self._data.site_xpos[self._site], 0.5 * rotation_vector(rotation @ reached.T)]
        )

    def _step_within(self, twist: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """A step without the joints that are at a limit and would pass it; the others compensate."""
        free = np.ones(self._num, dtype=bool)
        while True:
            step = self._step(twist, joints, free)
            blocked = free & (((joints >= self._high) & (step > 0)) | ((joints <= self._low) & (step < 0)))
            if not blocked.any():
                return step
            free &= ~blocked

    def _step(self, twist: np.ndarray, joints: np.ndarray, free: np.ndarray) -> np.ndarray:
        jacobian = self._jacobian[:, : self._num] * np.repeat([1.0, 0.5], 3)[:, None] * free
        damped = jacobian @ jacobian.T + (1e-5 + 0.02 * twist @ twist) * np.eye(6)
        inverse = np.linalg.solve(damped, jacobian).T
        pull = (HOME - joints) * free
        step = inverse @ twist + 0.1 * (pull - inverse @ (jacobian @ pull))
        return step * min(1.0, 0.4 / max(np.abs(step).max(), 1e-9))


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Axis times angle (rad) of a rotation matrix."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, matrix.ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector
