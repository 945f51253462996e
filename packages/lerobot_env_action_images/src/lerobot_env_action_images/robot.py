"""A world as a robot: `--robot.type=action_images_world` in lerobot-record, -replay and -rollout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.robots import Robot, RobotConfig

from action_images.benchmarks import WorldConfig
from action_images.episodes.cameras_file import save_cameras
from action_images.episodes.lerobot_layout import TOOL_NAMES
from action_images.errors import ActionImagesError
from action_images.robot import RepeatableEnvironment
from lerobot_env_action_images.arrays import POINTING_DOWN, told, tool_row

AXES = tuple(f"{name}.pos" for name in TOOL_NAMES)
"""The names of state and action. lerobot-rollout leaves out names that do not end in `.pos` or `.vel`."""


@RobotConfig.register_subclass("action_images_world")
@dataclass
class ActionImagesWorldConfig(RobotConfig):
    """One trial of one task; raises ActionImagesError for names that the world lacks."""

    task: str = "push_button"
    seed: int = 0
    """The trial's seed: it decides the scene, the words and the cameras."""
    world: str = "tabletop"
    rig: str | None = "fixed"
    """The camera rig. `fixed`: the same camera poses in every trial, as on a real table."""
    look: str | None = None
    num_views: int = 2
    height: int = 64
    width: int = 64
    cameras_file: str | None = None
    """Where to write the views' cameras when the trial begins, for `--policy.cameras_file`; nowhere if not
    given."""

    @property
    def seen(self) -> WorldConfig:
        """The world with its cameras and look."""
        size = (self.height, self.width)
        return WorldConfig(self.world, rig=self.rig, look=self.look, num_views=self.num_views, size=size)


class ActionImagesWorld(Robot):
    """A simulated arm that takes absolute tool poses; a control step passes with each action.

    It stands still between actions, for any time. `connect` begins the trial of the config's seed.
    """

    config_class = ActionImagesWorldConfig
    name = "action_images_world"

    def __init__(self, config: ActionImagesWorldConfig):
        super().__init__(config)
        self.config = config
        self.cameras: dict[str, Any] = dict.fromkeys(self._views)
        self.environment: RepeatableEnvironment | None = None
        self._quaternion = POINTING_DOWN

    @property
    def _views(self) -> list[str]:
        return [f"view{number}" for number in range(self.config.num_views)]

    @property
    def observation_features(self) -> dict[str, Any]:
        """The tool's numbers, and each view's (height, width, 3)."""
        shown = (self.config.height, self.config.width, 3)
        return dict.fromkeys(AXES, float) | dict.fromkeys(self._views, shown)

    @property
    def action_features(self) -> dict[str, type]:
        """The tool's numbers: the pose to drive to."""
        return dict.fromkeys(AXES, float)

    @property
    def is_connected(self) -> bool:
        """Whether a trial has begun."""
        return self.environment is not None

    @property
    def is_calibrated(self) -> bool:
        """Always True: a simulated arm needs no calibration."""
        return True

    def connect(self, calibrate: bool = True) -> None:  # noqa: ARG002 LeRobot's own signature
        """Begin the trial."""
        self.environment = self.config.seen.environment(self.config.task)
        self.environment.begin(self.config.seed)
        self._quaternion = POINTING_DOWN
        if self.config.cameras_file is not None:
            cameras = self.environment.state().cameras
            views = {view: cameras[number] for number, view in enumerate(self._views)}
            save_cameras(Path(self.config.cameras_file), views)
        connected[:] = [self]

    def calibrate(self) -> None:
        """Nothing to do."""

    def configure(self) -> None:
        """Nothing to do."""

    def get_observation(self) -> dict[str, Any]:
        """The tool's numbers, and the cameras' images."""
        observation = self.trial.observation()
        row = tool_row(observation.world_from_tool, float(observation.opening), self._quaternion)
        self._quaternion = row[3:7].copy()
        pictures = np.ascontiguousarray(observation.images.movedim(-3, -1).numpy())
        numbers = dict(zip(AXES, row.tolist(), strict=True))
        return numbers | dict(zip(self._views, pictures, strict=True))

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        """Drive for one control step; returns the action. Raises ActionImagesError if it is no tool pose."""
        missing = [name for name in AXES if name not in action]
        if missing:
            raise ActionImagesError(
                f"{self.name}: an action has the numbers {', '.join(AXES)}; {', '.join(missing)} are "
                "missing. "
                "Joints need a step before: LeRobot's ForwardKinematicsJointsToEE"
            )
        pose, opening = told(np.array([action[name] for name in AXES], np.float32))
        self.trial.step(pose, opening)
        return action

    def disconnect(self) -> None:
        """End the trial."""
        if self.environment is not None:
            self.environment.close()
            self.environment = None

    @property
    def trial(self) -> RepeatableEnvironment:
        """The trial under way; raises ActionImagesError if none has begun."""
        if self.environment is None:
            raise ActionImagesError(f"{self.name}: is not connected; call connect first")
        return self.environment


connected: list[ActionImagesWorld] = []
"""The world that was connected last, which the expert uses."""
