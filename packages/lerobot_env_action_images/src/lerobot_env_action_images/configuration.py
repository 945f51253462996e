"""`--env.type=action_images`: the world, its task, and the cameras."""

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.envs.utils import _LazyAsyncVectorEnv, freeze_after_episode_end

from action_images.benchmarks import WorldConfig
from action_images.benchmarks.registry import require_installed, tasks_named, untried
from action_images.episodes.lerobot_layout import ACTION, CAMERAS, IMAGES, STATE
from action_images.errors import ActionImagesError
from lerobot_env_action_images.environment import CalibratedEnv, num_numbers


@EnvConfig.register_subclass("action_images")
@dataclass
class ActionImagesEnvConfig(EnvConfig):
    """A world's tasks as LeRobot environments. Raises ActionImagesError for names that the world lacks."""

    task: str | None = "push_button"
    """A task, several tasks separated by commas, or a group: trained, held_out, all."""
    fps: int = 20
    """The world's control steps a second; set by the world."""
    world: str = "tabletop"
    """The world's name; `action-images envs` lists them."""
    rig: str | None = None
    """The camera rig; the world's rig of training if not given."""
    look: str | None = None
    """The look of scenes; the world's look of training if not given."""
    num_views: int = 2
    """Number of cameras; they are called view0, view1, ..."""
    height: int = 64
    """Height of each picture, px. The shipped models were trained on 64 x 64."""
    width: int = 64
    rotation: str = "quaternion"
    """Format of rotations in state and action: quaternion (8 numbers) or matrix (13), without rounding."""
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fps = round(self.seen.benchmark.control_hz)
        if self.rotation not in ("quaternion", "matrix"):
            raise ActionImagesError(f"--env.rotation is quaternion or matrix, not '{self.rotation}'")
        numbers = num_numbers(self.rotation)  # type: ignore[arg-type]
        shown = PolicyFeature(FeatureType.VISUAL, (self.height, self.width, 3))
        features = {ACTION: PolicyFeature(FeatureType.ACTION, (numbers,)), STATE: _state(numbers)}
        for view in (f"view{number}" for number in range(self.num_views)):
            features[f"{IMAGES}{view}"] = shown
            features[f"{CAMERAS}{view}.intrinsics"] = _state(9)
            features[f"{CAMERAS}{view}.world_from_camera"] = _state(16)
        self.features = features
        self.features_map = {key: key for key in features}

    @property
    def package_name(self) -> str:
        """The prefix of `gym_id`."""
        return "action_images"

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """The arguments for `gymnasium.make("action_images/TASK")` of action_images.sim."""
        return {"num_views": self.num_views, "size": (self.height, self.width)}

    @property
    def seen(self) -> WorldConfig:
        """The world with its cameras and look."""
        size = (self.height, self.width)
        return WorldConfig(self.world, rig=self.rig, look=self.look, num_views=self.num_views, size=size)

    def tasks(self) -> tuple[str, ...]:
        """The names of the selected tasks."""
        names = [name.strip() for name in (self.task or "").split(",") if name.strip()]
        return tasks_named(self.seen.benchmark, names)

    def create_envs(
        self, n_envs: int, use_async_envs: bool = False
    ) -> dict[str, dict[int, gymnasium.vector.VectorEnv]]:
        """Make {the world's name: {number of the task: its environments}}, in the order of the names."""
        require_installed(self.seen.benchmark)
        if (other_versions := untried(self.seen.benchmark)) is not None:
            logging.warning(other_versions)
        make = _processes if use_async_envs and n_envs > 1 else _one_process
        made: dict[int, gymnasium.vector.VectorEnv] = {}
        for number, task in enumerate(self.tasks()):
            one = partial(CalibratedEnv, self.seen, task, self.rotation)
            made[number] = make([one] * n_envs)  # type: ignore[arg-type]
        return {self.world: made}


def _state(count: int) -> PolicyFeature:
    return PolicyFeature(FeatureType.STATE, (count,))


def _processes(makers: list[Any]) -> Any:
    """Environments in separate processes, which start when the first environment is used."""
    return _LazyAsyncVectorEnv(makers)


def _one_process(makers: list[Any]) -> gymnasium.vector.SyncVectorEnv:
    """Environments in sequence; a finished one costs nothing while the others continue."""
    mode = gymnasium.vector.AutoresetMode.NEXT_STEP
    return gymnasium.vector.SyncVectorEnv(
        [freeze_after_episode_end(make) for make in makers], autoreset_mode=mode
    )
