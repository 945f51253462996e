"""The task's expert in place of a person: `--teleop.type=action_images_expert`."""

from dataclasses import dataclass
from typing import Any

from lerobot.teleoperators import Teleoperator, TeleoperatorConfig

from action_images.errors import ActionImagesError
from lerobot_env_action_images.arrays import tool_row
from lerobot_env_action_images.robot import AXES, connected


@TeleoperatorConfig.register_subclass("action_images_expert")
@dataclass
class ActionImagesExpertConfig(TeleoperatorConfig):
    """A configuration without options."""


class ActionImagesExpert(Teleoperator):
    """Gives the commands of the connected world's expert step by step, then stands still.

    The expert runs ahead in a twin of the world, which behaves the same from the same seed.
    """

    config_class = ActionImagesExpertConfig
    name = "action_images_expert"

    def __init__(self, config: ActionImagesExpertConfig):
        super().__init__(config)
        self._actions: list[dict[str, float]] | None = None
        self._step = 0
        self._is_connected = False

    @property
    def action_features(self) -> dict[str, type]:
        """The tool's numbers: the pose to drive to."""
        return dict.fromkeys(AXES, float)

    @property
    def feedback_features(self) -> dict[str, type]:
        """There is no feedback."""
        return {}

    @property
    def is_connected(self) -> bool:
        """Whether it was connected."""
        return self._is_connected

    @property
    def is_calibrated(self) -> bool:
        """Always True: nothing needs calibration."""
        return True

    def connect(self, calibrate: bool = True) -> None:  # noqa: ARG002 LeRobot's own signature
        """Restart the expert's path."""
        self._actions, self._step, self._is_connected = None, 0, True

    def calibrate(self) -> None:
        """Nothing to do."""

    def configure(self) -> None:
        """Nothing to do."""

    def get_action(self) -> dict[str, float]:
        """The expert's command at this step; after its end, the last command."""
        if self._actions is None:
            self._actions = _path()
        action = self._actions[min(self._step, len(self._actions) - 1)]
        self._step += 1
        return dict(action)

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """Ignore feedback."""

    def disconnect(self) -> None:
        """Forget the path."""
        self._actions, self._is_connected = None, False


def _path() -> list[dict[str, float]]:
    """The expert's whole path in the connected world's trial."""
    if not connected or not connected[0].is_connected:
        raise ActionImagesError(
            "action_images_expert: there is no world to move in; give --robot.type=action_images_world"
        )
    world = connected[0]
    twin = world.trial.twin()
    twin.begin(world.config.seed)
    reports = twin.expert()
    if reports is None:
        raise ActionImagesError(f"{world.config.task}: has no expert; teleoperate by other means")
    rows = []
    for _ in reports:
        state = twin.state()
        row = (
            tool_row(state.told, state.opening, rows[-1][3:7])
            if rows
            else tool_row(state.told, state.opening)
        )
        rows.append(row)
    twin.close()
    return [dict(zip(AXES, row.tolist(), strict=True)) for row in rows]
