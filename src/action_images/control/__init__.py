"""Between a plan and an arm: control steps from a model's frames, how much of a plan is used, and the rails that stop it."""

from action_images.control.execution import Blend, Execution, Follower, Target
from action_images.control.guard import Guard, Objection, Watch
from action_images.control.hold import Hold
from action_images.control.resample import ControlSteps, Gripper, bridged, to_control_steps

__all__ = [
    "Blend",
    "ControlSteps",
    "Execution",
    "Follower",
    "Gripper",
    "Guard",
    "Hold",
    "Objection",
    "Target",
    "Watch",
    "bridged",
    "to_control_steps",
]
