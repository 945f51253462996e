"""The part of the physical state that a task may know: bodies, joints, and the gripper's command."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import mujoco
import torch

from action_images.geometry import Pose
from action_images.sim.arm import Arm


class World:
    """The state of one trial, by the task's names.

    Poses in the world frame (m), joints in m or rad.
    """

    def __init__(self, model: mujoco.MjModel):
        self.model, self.data = model, mujoco.MjData(model)
        mujoco.mj_forward(model, self.data)
        self.arm = Arm(model, self.data)

    @property
    def tool(self) -> Pose:
        """world_from_tool, as reached."""
        return self.arm.world_from_tool

    @property
    def opening(self) -> float:
        """The last command to the gripper, in [0, 1]."""
        return self.arm.opening

    def pose(self, body: str) -> Pose:
        """world_from_body."""
        state = self.data.body(body)
        return Pose(torch.from_numpy(state.xmat.reshape(3, 3).copy()), torch.from_numpy(state.xpos.copy()))

    def joint(self, name: str) -> float:
        """The displacement of a hinge (rad) or slide (m) from its zero."""
        return float(self.data.joint(name).qpos[0])

    def set_joint(self, name: str, value: float) -> None:
        """Set a hinge or slide to a value at once."""
        self.data.joint(name).qpos[0] = value
        mujoco.mj_forward(self.model, self.data)

    def holds_something(self) -> bool:
        """Whether the gripper's command is to close and an object keeps its fingers more than 4 mm apart."""
        gap = float(self.data.joint("left_finger").qpos[0] + self.data.joint("right_finger").qpos[0])
        return self.opening < 0.5 and gap > 0.004

    def hand_touches_anything(self) -> bool:
        """Whether the hand or a finger is in contact."""
        hand = {self.model.geom(name).id for name in ("hand", "left_finger", "right_finger")}
        return any(hand & set(pair.tolist()) for pair in self.data.contact.geom)
