"""For a repository on the Hub: the worlds of action-images by `lerobot-eval --env.hub_path=NAME/REPOSITORY`.

Needs `pip install lerobot_env_action_images`. `cfg`, if given, may have the fields `task`, `world`, `rig`,
`look`, `num_views`, `height`, `width` and `rotation` of its configuration.
"""

from dataclasses import fields
from typing import Any

from lerobot_env_action_images import ActionImagesEnvConfig


def make_env(n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None) -> dict[str, dict[int, Any]]:
    """Make the environments: {the world's name: {number of the task: a vector environment}}."""
    wanted = {"task", "world", "rig", "look", "num_views", "height", "width", "rotation"}
    known = wanted & {field.name for field in fields(ActionImagesEnvConfig)}
    told = {name: getattr(cfg, name) for name in known if getattr(cfg, name, None) is not None}
    return ActionImagesEnvConfig(**told).create_envs(n_envs, use_async_envs)
