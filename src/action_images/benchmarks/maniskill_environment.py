"""ManiSkill 3 as an Environment: a Panda arm told absolute poses, its physics on the processor."""
# pyright: reportMissingImports=false
# ManiSkill need not be installed.

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_images.benchmarks.foreign import Pointing
from action_images.benchmarks.foreign_environment import ScriptedEnvironment
from action_images.benchmarks.maniskill_views import SapienViews, require_driver
from action_images.geometry import Pose
from action_images.robot import Observation, StepReport
from action_images.sim.motion import Motion

CACHES = {
    "MS_ASSET_DIR": "maniskill",
    "MESA_SHADER_CACHE_DIR": "mesa",
    "MPLCONFIGDIR": "matplotlib",
}
"""Variables of ManiSkill, of Mesa and of matplotlib, which ManiSkill imports, and folders of this Python's
environment: without them these programs write into the home folder."""

Script = Callable[["ManiSkill"], Iterator[Motion]]
"""Motions of an expert; each is carried out before the next is requested."""


def make_simulator(task: str) -> Any:
    """ManiSkill's own environment of a task, its arm controlled by absolute poses of its tool.

    Raises ActionImagesError if there is no Vulkan driver.
    """
    for variable, folder in CACHES.items():
        os.environ.setdefault(variable, str(Path(sys.prefix) / "var" / folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require_driver()
        import mani_skill.envs  # noqa: F401 (registers the tasks)
        from mani_skill.utils.logging_utils import logger
        from mani_skill.utils.registration import REGISTERED_ENVS

        # It warns of its own tasks: that they give things no pose before the first trial.
        logger.setLevel(logging.ERROR)
        return REGISTERED_ENVS[task].cls(
            robot_uids="panda",
            obs_mode="none",
            reward_mode="none",
            control_mode="pd_ee_pose",
            sim_backend="physx_cpu",
            render_backend="cpu",
        )


class ManiSkill(ScriptedEnvironment):
    """One task (a RepeatableEnvironment); `simulator` is ManiSkill's environment."""

    control_hz = 20.0
    controls_rotation = True
    lead = 2.0
    """Control steps by which the arm lags behind its target: damping / stiffness = .1 s, at 20 Hz."""
    settling_steps = 4
    """Control steps before a trial begins, in which objects come to rest."""

    def __init__(
        self,
        task: str,
        phrasings: tuple[str, ...],
        views: SapienViews,
        *,
        max_steps: int,
        script: Script | None,
    ):
        self.task, self.max_steps, self.num_steps = task, max_steps, 0
        self._phrasings, self._views, self._script = phrasings, views, script
        self.simulator = make_simulator(task)

    def begin(self, seed: int) -> None:
        """Draw the places of objects, the arm's joints, the words and the cameras from this seed."""
        layout, words, cameras = Pointing(self.task, seed).streams(3)
        self.simulator.reset(seed=int(layout.integers(2**31)))
        self._instruction = self._phrasings[int(words.integers(len(self._phrasings)))]
        self.cameras = self._views.begin(self.simulator, cameras)
        self._told = self.tool
        for _ in range(self.settling_steps):
            self._act(self._told, 1.0)
        self.num_steps, self._opening, self._done = 0, 1.0, False

    @property
    def tool(self) -> Pose:
        """world_from_tool, as reached."""
        return pose_of(self.simulator.agent.tcp)

    def thing(self, name: str) -> Pose:
        """world_from_thing, by ManiSkill's name of an object or a goal."""
        return pose_of(getattr(self.simulator, name))

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drive towards a tool pose and an opening for 1/20 s."""
        asked = world_from_tool.to(torch.float64)
        ahead = self._ahead(asked)
        self._told, self._opening = asked, float(opening)
        self._done, reachable = self._act(ahead, self._opening)
        self.num_steps += 1
        metres, radians = self.tool.distance(asked)
        return StepReport(reachable, metres.item(), radians.item(), self.tool)

    def _act(self, goal: Pose, opening: float) -> tuple[bool, bool]:
        """One control step: whether it is a success to ManiSkill, and whether joints were found for it."""
        from mani_skill.utils.geometry.rotation_conversions import matrix_to_euler_angles

        base = pose_of(self.simulator.agent.robot).inverse()
        place = base.apply(goal.translation)
        angles = matrix_to_euler_angles((base.rotation @ goal.rotation)[None], "XYZ")[0]
        action = torch.cat([place, angles, place.new_tensor([2 * min(max(opening, 0.0), 1.0) - 1])])
        _, _, _, _, info = self.simulator.step(action.to(torch.float32))
        arm = self.simulator.agent.controller.controllers["arm"]
        return bool(info["success"].item()), arm._target_qpos is not arm._start_qpos

    def observation(self) -> Observation:
        """The current images, goals drawn; `opening` is the last command to the gripper."""
        images = self._views.images(self.cameras)
        opening = torch.tensor(self._opening, dtype=torch.float32)
        return Observation(images, self.cameras, self.tool.to(torch.float32), opening, self._instruction)

    def twin(self) -> "ManiSkill":
        """Another environment of the same task with the same views."""
        views = self._views.twin()
        return ManiSkill(self.task, self._phrasings, views, max_steps=self.max_steps, script=self._script)


def pose_of(thing: Any) -> Pose:
    """world_from_thing in double precision; `thing` is ManiSkill's actor, link or robot."""
    matrix = torch.from_numpy(np.asarray(thing.pose.sp.to_transformation_matrix(), np.float64))
    return Pose(matrix[:3, :3], matrix[:3, 3])
