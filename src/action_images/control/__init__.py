"""From a plan to an arm: control steps from frames, the use of plans, and the guard."""

from action_images.control.execution import Blend, Execution, PlanExecutor, Rejection, Target
from action_images.control.follower import Asked, Follower
from action_images.control.guard import Guard, GuardState, Objection
from action_images.control.hold import Hold
from action_images.control.resample import ControlSteps, Gripper, bridged, to_control_steps

__all__ = [
    "Asked",
    "Blend",
    "ControlSteps",
    "Execution",
    "Follower",
    "Gripper",
    "Guard",
    "GuardState",
    "Hold",
    "Objection",
    "PlanExecutor",
    "Rejection",
    "Target",
    "bridged",
    "to_control_steps",
]
