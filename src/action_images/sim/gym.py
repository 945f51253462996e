"""Gymnasium environments: `import action_images.sim; gymnasium.make("action_images/reach_target")`."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory
from action_images.robot import Observation
from action_images.sim.cameras import RIGS, Rig
from action_images.sim.environment import Tabletop
from action_images.sim.instruction_space import InstructionSpace
from action_images.sim.look import Look
from action_images.sim.look_family import LookFamily
from action_images.sim.looks import LOOKS
from action_images.sim.tasks import TASKS

LOW = np.array([0.2, -0.5, 0.0, -1, -1, -1, -1, 0], np.float32)
HIGH = np.array([0.8, 0.5, 0.7, 1, 1, 1, 1, 1], np.float32)
STEADY_STEPS = 3
"""The number of consecutive control steps for which a task must be done, as in evaluation, so passing by is
not success."""
POINTING_DOWN = np.array([1, 0, 0, 0], np.float32)
"""The quaternion x y z w of a tool that points down."""


class TabletopEnv(gymnasium.Env):
    """One task with sparse reward: 1 and the end once the task has been done for `STEADY_STEPS`.

    An action is the absolute tool pose to drive to and the gripper's opening: x y z (m), quaternion x y z w
    (normalised), opening. An observation has images (view h w 3), intrinsics (px), world_from_camera, the
    tool in the format of an action, and the instruction.

    A quaternion and its negative are the same rotation. An observation has the one nearer to the previous
    observation's, so consecutive numbers never jump. The first one is nearer to the tool pointing down
    (1 0 0 0).

    Make vector environments with processes before anything is rendered in this process, or give
    `vector_kwargs={"context": "spawn"}`, as OpenGL does not survive a fork.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["rgb_array"],
        "render_fps": 20,
    }

    def __init__(
        self,
        task: str,
        rig: Rig = RIGS["sampled"],
        look: Look | LookFamily = LOOKS["train"],
        num_views: int = 2,
        size: tuple[int, int] = (128, 128),
        render_mode: str | None = None,
    ):
        self.render_mode = render_mode
        self._tabletop = Tabletop(task, rig, look=look, num_views=num_views, size=size)
        self._num_steady = 0
        self._quaternion = POINTING_DOWN
        self.action_space = spaces.Box(LOW, HIGH, dtype=np.float32)
        self.observation_space = spaces.Dict(
            {
                "images": spaces.Box(0, 255, (num_views, *size, 3), np.uint8),
                "intrinsics": spaces.Box(-np.inf, np.inf, (num_views, 3, 3), np.float32),
                "world_from_camera": spaces.Box(-np.inf, np.inf, (num_views, 4, 4), np.float32),
                "tool": spaces.Box(-np.inf, np.inf, (8,), np.float32),
                "instruction": InstructionSpace(),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the trial of `seed`, or one drawn by the generator of the last seed; there are no options."""
        super().reset(seed=seed, options=options)
        self._num_steady = 0
        self._quaternion = POINTING_DOWN
        trial = seed if seed is not None else int(self.np_random.integers(2**31))
        return self._arrays(self._tabletop.reset(trial)), {"seed": trial}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Drive for one control period, with the opening clamped to [0, 1].

        Raises ValueError for numbers that are not finite or a quaternion of zeros.
        """
        vector = torch.as_tensor(np.asarray(action), dtype=torch.float32).clone()
        if not vector.isfinite().all():
            raise ActionImagesError(f"an action's numbers are finite, these are {vector.tolist()}")
        vector[7] = vector[7].clamp(0, 1)
        length = vector[3:7].norm()
        if not length > 1e-6:
            raise ActionImagesError(
                "an action's numbers 3 to 6 are a quaternion x y z w, these are zeros; "
                "the tool pointing down is 1 0 0 0"
            )
        vector[3:7] /= length
        asked = Trajectory.from_vector(vector[None])
        report = self._tabletop.step(asked.world_from_tool[0], float(asked.opening[0]))
        self._num_steady = self._num_steady + 1 if self._tabletop.succeeded() else 0
        done = self._num_steady >= STEADY_STEPS
        errors = {"position_error": report.position_error, "rotation_error": report.rotation_error}
        info = {"success": done, "reachable": report.reachable, **errors}
        return self._arrays(self._tabletop.observation()), float(done), done, False, info

    def render(self) -> np.ndarray | None:
        """The views side by side, (h, views * w, 3)."""
        if self.render_mode is None:
            return None
        return np.concatenate(list(_pictures(self._tabletop.observation())), axis=1)

    def close(self) -> None:
        """Free the graphics memory."""
        self._tabletop.close()

    def _arrays(self, observation: Observation) -> dict[str, Any]:
        tool = Trajectory(observation.world_from_tool[None], observation.opening[None]).to_vector()[0].numpy()
        if tool[3:7] @ self._quaternion < 0:
            tool[3:7] *= -1
        self._quaternion = tool[3:7].copy()
        return {
            "images": _pictures(observation),
            "intrinsics": observation.cameras.intrinsics.numpy(),
            "world_from_camera": observation.cameras.world_from_camera.matrix().numpy(),
            "tool": tool,
            "instruction": observation.instruction,
        }


def _pictures(observation: Observation) -> np.ndarray:
    """The images as (view, h, w, 3)."""
    return np.ascontiguousarray(observation.images.movedim(-3, -1).numpy())


def register_all() -> None:
    """Register every task with Gymnasium as action_images/<task>."""
    for name, task in TASKS.items():
        gymnasium.register(
            f"action_images/{name}",
            "action_images.sim.gym:TabletopEnv",
            max_episode_steps=task.max_steps,
            kwargs={"task": name},
        )
