"""Between a plan and an arm: control steps from frames, how much of a plan is used, and the guard."""

from action_images.control.execution import Blend, Execution, PlanExecutor, Rejection, Target
from action_images.control.guard import Guard, GuardState, Objection
from action_images.control.hold import Hold
from action_images.control.resample import ControlSteps, Gripper, bridged, to_control_steps

__all__ = [
    "Blend",
    "ControlSteps",
    "Execution",
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
