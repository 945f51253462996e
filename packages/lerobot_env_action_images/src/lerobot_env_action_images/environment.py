"""One task of a world as a Gymnasium environment; LeRobot converts its observations to our columns."""

import logging
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from action_images.benchmarks import WorldConfig
from action_images.episodes.lerobot_layout import CAMERAS, STATE, TOOL_NAMES
from action_images.errors import ActionImagesError
from action_images.robot import Observation
from lerobot_env_action_images.arrays import (
    MATRIX_NAMES,
    POINTING_DOWN,
    camera_rows,
    matrix_row,
    told,
    tool_row,
)

Rotation = Literal["quaternion", "matrix"]


def num_numbers(rotation: Rotation) -> int:
    """The count of numbers in an action."""
    return len(MATRIX_NAMES if rotation == "matrix" else TOOL_NAMES)


class CalibratedEnv(gymnasium.Env):
    """A task with sparse reward: 1 and the end once it has been done for the world's required steps.

    An action is eight numbers: the absolute tool pose to drive to (x y z in m, quaternion x y z w) and the
    gripper's opening (0 closed, 1 open), all in the world's frame. An observation has

    | key | content | LeRobot's column |
    |---|---|---|
    | `pixels` | view -> (h, w, 3) uint8 | `observation.images.<view>` |
    | `agent_pos` | the tool, in an action's format | `observation.state` |
    | `cameras.<view>.intrinsics` | 3 x 3, row by row, px | the same after `observation.` |
    | `cameras.<view>.world_from_camera` | 4 x 4, row by row, m | the same after `observation.` |

    State and cameras are also present under their columns' names, under which `lerobot-eval` records them
    (`--eval.recording=true`).

    With `rotation` "matrix", an action and the tool are thirteen numbers, with 3 x 3 in place of the
    quaternion. Then nothing is rounded, and a policy acts as it does outside LeRobot.

    Graphics memory is allocated at the first observation, so environments can be made in any process.
    """

    def __init__(
        self,
        world: WorldConfig,
        task: str,
        rotation: Rotation = "quaternion",
        render_mode: str | None = "rgb_array",
    ):
        benchmark = world.benchmark
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": round(benchmark.control_hz)}
        self.render_mode, self.task = render_mode, task
        self._environment = world.environment(task)
        self._max_episode_steps = self._environment.max_steps
        self._steady_steps = benchmark.steady_steps
        self._views = [f"view{number}" for number in range(world.num_views)]
        self._first_for_judging, self._has_warned = benchmark.seeds.first_for_judging, False
        self._num_steady = 0
        self._quaternion = POINTING_DOWN
        self._seen: Observation | None = None
        self._rotation = rotation
        numbers = num_numbers(rotation)
        low = np.array([-np.inf] * 3 + [-1] * (numbers - 4) + [0], np.float32)
        high = np.array([np.inf] * 3 + [1] * (numbers - 4) + [1], np.float32)
        self.action_space = spaces.Box(low, high, dtype=np.float32)
        self.observation_space = _space(self._views, world.size, numbers)

    @property
    def task_description(self) -> str:
        """The instruction of this trial; empty before the first."""
        return "" if self._seen is None else self._seen.instruction

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the trial of `seed`, or one drawn by the generator of the last seed; options are not read."""
        super().reset(seed=seed, options=options)
        self._num_steady, self._quaternion = 0, POINTING_DOWN
        trial = seed if seed is not None else int(self.np_random.integers(2**31))
        if trial < self._first_for_judging and not self._has_warned:
            self._has_warned = True
            logging.warning(
                "seed %d is one of those that demonstrations are recorded from; judge policies with seeds "
                "from %d on (lerobot-eval --seed)",
                trial,
                self._first_for_judging,
            )
        observation = self._arrays(self._environment.reset(trial))
        return observation, {"is_success": False, "seed": trial}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Drive for one control period; raises ActionImagesError as `arrays.told` does."""
        pose, opening = told(action)
        report = self._environment.step(pose, opening)
        self._num_steady = self._num_steady + 1 if self._environment.succeeded() else 0
        done = self._num_steady >= self._steady_steps
        is_late = self._environment.num_steps >= self._max_episode_steps
        info = {
            "is_success": done,
            "reachable": report.reachable,
            "position_error": report.position_error,
            "rotation_error": report.rotation_error,
        }
        return self._arrays(self._environment.observation()), float(done), done, is_late and not done, info

    def render(self) -> np.ndarray:
        """The views of the last observation side by side, (h, views * w, 3) uint8."""
        if self._seen is None:
            raise ActionImagesError(f"{self.task}: no trial has begun; call reset first")
        return np.concatenate([picture for _, picture in self._pictures(self._seen)], axis=1)

    def close(self) -> None:
        """Free the graphics memory."""
        self._environment.close()

    def _tool(self, observation: Observation) -> np.ndarray:
        pose, opening = observation.world_from_tool, float(observation.opening)
        if self._rotation == "matrix":
            return matrix_row(pose, opening)
        tool = tool_row(pose, opening, self._quaternion)
        self._quaternion = tool[3:7].copy()
        return tool

    def _pictures(self, observation: Observation) -> list[tuple[str, np.ndarray]]:
        pictures = np.ascontiguousarray(observation.images.movedim(-3, -1).numpy())
        return list(zip(self._views, pictures, strict=True))

    def _arrays(self, observation: Observation) -> dict[str, Any]:
        self._seen = observation
        tool = self._tool(observation)
        arrays: dict[str, Any] = {"pixels": dict(self._pictures(observation)), "agent_pos": tool, STATE: tool}
        for number, view in enumerate(self._views):
            intrinsics, matrix = camera_rows(observation.cameras[number])
            arrays |= dict.fromkeys((f"cameras.{view}.intrinsics", f"{CAMERAS}{view}.intrinsics"), intrinsics)
            key = f"{view}.world_from_camera"
            arrays |= dict.fromkeys((f"cameras.{key}", f"{CAMERAS}{key}"), matrix)
        return arrays


def _space(views: list[str], size: tuple[int, int], numbers: int) -> spaces.Dict:
    picture = spaces.Box(0, 255, (*size, 3), np.uint8)
    known: dict[str, spaces.Space] = {"pixels": spaces.Dict(dict.fromkeys(views, picture))}
    known |= dict.fromkeys(("agent_pos", STATE), _numbers(numbers))
    for view in views:
        for prefix in ("cameras.", CAMERAS):
            known[f"{prefix}{view}.intrinsics"] = _numbers(9)
            known[f"{prefix}{view}.world_from_camera"] = _numbers(16)
    return spaces.Dict(known)


def _numbers(count: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (count,), np.float32)
