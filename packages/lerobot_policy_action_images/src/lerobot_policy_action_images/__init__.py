"""action-images as a LeRobot policy; importing this registers `--policy.type=action_images` and its steps."""

from lerobot_policy_action_images.configuration_action_images import ActionImagesConfig
from lerobot_policy_action_images.kinematics import JointsToToolStep, ToolToJointsStep
from lerobot_policy_action_images.processor_action_images import AddCamerasStep

__all__ = ["ActionImagesConfig", "AddCamerasStep", "JointsToToolStep", "ToolToJointsStep"]
