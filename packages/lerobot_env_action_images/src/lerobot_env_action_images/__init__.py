"""The worlds of action-images in LeRobot; importing this registers `--env.type=action_images`."""

from lerobot_env_action_images.configuration import ActionImagesEnvConfig
from lerobot_env_action_images.environment import CalibratedEnv
from lerobot_env_action_images.robot import ActionImagesWorld, ActionImagesWorldConfig
from lerobot_env_action_images.teleoperator import ActionImagesExpert, ActionImagesExpertConfig

__all__ = [
    "ActionImagesEnvConfig",
    "ActionImagesExpert",
    "ActionImagesExpertConfig",
    "ActionImagesWorld",
    "ActionImagesWorldConfig",
    "CalibratedEnv",
]
