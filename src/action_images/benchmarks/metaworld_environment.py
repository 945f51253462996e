"""Meta-World v3 as an Environment: a Sawyer arm whose hand follows a mocap body and cannot be turned."""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# MuJoCo's names are in compiled modules without types; Meta-World need not be installed.

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from action_images.benchmarks.foreign import MuJoCoViews, Pointing
from action_images.benchmarks.foreign_environment import ForeignEnvironment
from action_images.benchmarks.metaworld import METAWORLD
from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.robot import Observation, StepReport

HAND_FROM_TOOL = np.array([[0.0, 0, 1], [0, -1, 0], [1, 0, 0]])
"""The hand's x axis points down, its y lies across the fingers."""
TOOL_IN_HAND = np.array([0.045, 0.0, 0.0])
"""The point between the finger tips, in the hand's frame (m)."""
LEAD = 2.0
"""Control steps by which the hand lags behind the mocap body that drags it."""
GIVING_WAY = 0.1
"""Share of the hand's position error that is added to the mocap body's position at each step. The weld is
soft, and the hand hangs 27 mm below it."""
MOST_GIVEN_WAY = 0.05
"""Limit of this correction (m), so that it does not wind up when the hand pushes against a wall."""
STEPS_AFTER = 5
"""Control steps for which an expert continues once the task is done."""


class MetaWorld(ForeignEnvironment):
    """One task (a RepeatableEnvironment); a control step is one of Meta-World's and counts as 1/20 s.

    `close_effort` in (0, 1] is the force of the fingers at opening 0, as full force breaks some grasps.
    """

    control_hz = 20.0
    controls_rotation = False
    expert_resumes = True
    """Its policies read the simulator's state alone, so a new `expert()` goes on from anywhere."""
    max_steps = 500

    def __init__(self, task: str, phrasings: tuple[str, ...], views: MuJoCoViews, close_effort: float):
        os.environ.setdefault("MUJOCO_GL", "egl")
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        self.task, self.num_steps = task, 0
        self._phrasings, self._views, self._close_effort = phrasings, views, close_effort
        with warnings.catch_warnings(), _names_an_untried_mujoco():
            warnings.simplefilter("ignore")
            self._env: Any = ALL_V3_ENVIRONMENTS[task]()
        self._env._partially_observable = False
        self._env.__dict__.pop("sawyer_observation_space", None)  # it was cached for hidden goals
        self._env._freeze_rand_vec, self._env.seeded_rand_vec = False, True
        self._env._set_task_called = True
        self._env.max_path_length = 1_000_000_000

    def begin(self, seed: int) -> None:
        """Draw the places of objects, the words and the cameras from this seed."""
        layout, words, cameras = Pointing(self.task, seed).streams(3)
        self._env.seed(int(layout.integers(2**31)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._seen, _ = self._env.reset()
        self._instruction = self._phrasings[int(words.integers(len(self._phrasings)))]
        self.cameras = self._views.begin(self._env.model, self._env.data, cameras)
        self.num_steps, self._opening, self._done = 0, 1.0, False
        self._told = self.tool
        self._wanted = self._hand_place()
        self._given_way = self._env.data.mocap_pos[0] - self._wanted

    @property
    def tool(self) -> Pose:
        """world_from_tool, as reached."""
        turn = self._hand_turn()
        place = self._hand_place() + turn @ TOOL_IN_HAND
        return Pose(torch.from_numpy(turn @ HAND_FROM_TOOL), torch.from_numpy(place))

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drag the hand towards a position for one step; the commanded rotation has no effect."""
        asked = world_from_tool.to(torch.float64)
        wanted = asked.translation.numpy() - self._hand_turn() @ TOOL_IN_HAND
        given_way = self._given_way_for(wanted)
        self._drag_to(wanted + LEAD * (wanted - self._wanted) + given_way, opening)
        self._wanted, self._given_way, self._told = wanted, given_way, asked
        metres, radians = self.tool.distance(asked)
        return StepReport(True, metres.item(), radians.item(), self.tool)

    def observation(self) -> Observation:
        """The current images; `opening` is the last command to the gripper."""
        images = self._views.images(self._env.data, self.cameras)
        opening = torch.tensor(self._opening, dtype=torch.float32)
        return Observation(images, self.cameras, self.tool.to(torch.float32), opening, self._instruction)

    def expert(self) -> Iterator[StepReport]:
        """Meta-World's scripted policy, until the task is done and a few steps longer.

        It gives steps of the mocap body. Each is converted into the pose for which `step` makes exactly this
        step, so replaying the commands repeats the expert.
        """
        from metaworld.policies import ENV_POLICY_MAP

        policy, num_after = ENV_POLICY_MAP[self.task](), 0
        while self.num_steps < self.max_steps and num_after < STEPS_AFTER:
            with warnings.catch_warnings():  # it warns in every step that an answer beyond 1 is clipped
                warnings.simplefilter("ignore")
                answer = policy.get_action(self._seen.copy())
            action = np.clip(answer, -1, 1)
            is_open = action[3] < self._close_effort / 2
            mocap = self._env.data.mocap_pos[0] + action[:3] * self._env.action_scale
            told = np.clip(mocap, self._env.mocap_low, self._env.mocap_high)
            place = self._wanted_for(told) + self._hand_turn() @ TOOL_IN_HAND
            yield self.step(Pose(_UPRIGHT, torch.from_numpy(place)), float(is_open))
            num_after += self._done or num_after > 0

    def twin(self) -> "MetaWorld":
        """Another environment of the same task with the same views."""
        return MetaWorld(self.task, self._phrasings, self._views.twin(), self._close_effort)

    def _hand_turn(self) -> np.ndarray:
        return self._env.data.body("hand").xmat.reshape(3, 3).copy()

    def _hand_place(self) -> np.ndarray:
        return self._env.data.body("hand").xpos.copy()

    def _given_way_for(self, wanted: np.ndarray) -> np.ndarray:
        """The correction of the mocap body's position for a wanted position of the hand."""
        more = self._given_way + GIVING_WAY * (wanted - self._hand_place())
        return np.clip(more, -MOST_GIVEN_WAY, MOST_GIVEN_WAY)

    def _wanted_for(self, mocap: np.ndarray) -> np.ndarray:
        """The wanted position of the hand for which `step` puts the mocap body there (inverse of `step`)."""
        free = mocap + LEAD * self._wanted - self._given_way + GIVING_WAY * self._hand_place()
        wanted = free / (1 + LEAD + GIVING_WAY)
        given_way = self._given_way_for(wanted)
        bound = (mocap + LEAD * self._wanted - given_way) / (1 + LEAD)
        return np.where(np.abs(given_way) < MOST_GIVEN_WAY, wanted, bound)

    def _drag_to(self, mocap: np.ndarray, opening: float) -> None:
        """One step of Meta-World, which moves the mocap body by up to a centimetre an axis."""
        step = (mocap - self._env.data.mocap_pos[0]) / self._env.action_scale
        effort = self._close_effort - (1 + self._close_effort) * min(max(opening, 0.0), 1.0)
        action = np.array([*np.clip(step, -1, 1), effort])
        self._seen, _, _, _, info = self._env.step(action)
        self._done, self._opening = bool(info["success"]), float(opening)
        self.num_steps += 1


_UPRIGHT = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
"""The tool's axes in the world when the hand hangs straight down."""


@contextmanager
def _names_an_untried_mujoco() -> Iterator[None]:
    """Raise ActionImagesError, with the version to install, for a ValueError with another mujoco than tried.

    From 4.0 on a weld has 12 numbers, and Meta-World 3.1.1 writes 11.
    """
    try:
        yield
    except ValueError as error:
        here, tried = version("mujoco"), METAWORLD.tried["mujoco"]
        if here == tried:
            raise
        raise ActionImagesError(
            f"Meta-World {version('metaworld')} does not run with mujoco {here} ({error}); install "
            f"the version that was tried: pip install mujoco=={tried}, in a clone make env-metaworld"
        ) from error
