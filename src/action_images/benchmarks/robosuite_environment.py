"""robosuite 1.5 as an Environment: a Panda arm that follows poses by operational space control."""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# MuJoCo's names are in compiled modules without types; robosuite need not be installed.

import logging
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from action_images.benchmarks.foreign import MuJoCoViews, Pointing
from action_images.benchmarks.foreign_environment import ScriptedEnvironment
from action_images.benchmarks.robosuite_room import MovableRoom
from action_images.geometry import Pose
from action_images.geometry import rotation as rotations
from action_images.robot import Observation, StepReport
from action_images.sim.motion import Motion

SITE_FROM_TOOL = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
"""The grip site's fingers close along its x axis, ours along the tool's y axis."""

Script = Callable[["Robosuite"], Iterator[Motion]]
"""Motions of an expert; each is carried out before the next is requested."""


def quiet() -> None:
    """Suppress robosuite's warnings about unused parts; call this before importing robosuite.

    robosuite sets its logger's level while it is imported, so setting the level would not help.
    """
    os.environ.setdefault("MUJOCO_GL", "egl")
    logging.getLogger("robosuite_logs").addFilter(_matters)


def _matters(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def make_simulator(task: str) -> Any:
    """robosuite's own environment of a task, its arm controlled by absolute poses in the world."""
    quiet()
    import robosuite
    from robosuite.controllers import load_composite_controller_config

    config = load_composite_controller_config(controller="BASIC", robot="Panda")
    config["body_parts"]["right"].update(input_type="absolute", input_ref_frame="world", kp=150)
    return robosuite.make(
        task,
        robots="Panda",
        controller_configs=config,
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        control_freq=20,
        horizon=1_000_000,
        hard_reset=False,
        ignore_done=True,
        seed=0,  # sizes of objects are drawn once, with the model
    )


class Robosuite(ScriptedEnvironment):
    """One task (a RepeatableEnvironment); `simulator` is robosuite's environment.

    With `moves_room` the floor and the walls are elsewhere in each trial.
    """

    control_hz = 20.0
    controls_rotation = True
    lead = 3.3
    """Control steps of lag: 2 zeta / omega at a stiffness of 150, at 20 Hz."""
    settling_steps = 8
    """Control steps before a trial begins: objects fall into place from above, and the fingers open."""

    def __init__(
        self,
        task: str,
        phrasings: tuple[str, ...],
        views: MuJoCoViews,
        *,
        max_steps: int,
        script: Script | None,
        make: Callable[[str], Any] = make_simulator,
        moves_room: bool = False,
    ):
        self.task, self.max_steps, self.num_steps = task, max_steps, 0
        self._phrasings, self._views, self._script, self._make = phrasings, views, script, make
        self._moves_room, self._room = moves_room, None
        self.simulator = make(task)
        # robosuite refers to itself in a circle: without this, 280 MB of a scene of LIBERO would stay.
        weakref.finalize(self, self.simulator.close).atexit = False

    def begin(self, seed: int) -> None:
        """Draw the places of objects, the words, the cameras and the room from this seed."""
        layout, words, cameras, room = Pointing(self.task, seed).streams(4)
        self._lay_out(layout, seed)
        if self._moves_room:
            if self._room is None or self._room.model is not self.model:
                self._room = MovableRoom(self.model)
            self._room.move(room)
        names = self.simulator.sim.model.site_names
        self._site = self.simulator.sim.model.site_name2id(
            next(name for name in names if name.endswith("grip_site"))
        )
        self._instruction = self._phrasings[int(words.integers(len(self._phrasings)))]
        self.cameras = self._views.begin(self.model, self.data, cameras)
        self.num_steps, self._opening, self._done = 0, 1.0, False
        here = self.tool
        for _ in range(self.settling_steps):
            self.simulator.step(np.append(self._arm_action(here), -1.0))
        self._told = self.tool

    def _lay_out(self, rng: np.random.Generator, seed: int) -> None:  # noqa: ARG002
        simulator = self.simulator
        simulator.rng = rng
        placing = getattr(simulator, "placement_initializer", None)
        for sampler in (placing, *getattr(placing, "samplers", {}).values()):
            if sampler is not None:
                sampler.rng = rng
        simulator.reset()

    @property
    def model(self) -> Any:
        """MuJoCo's model."""
        return getattr(self.simulator.sim.model, "_model", self.simulator.sim.model)

    @property
    def data(self) -> Any:
        """MuJoCo's state."""
        return getattr(self.simulator.sim.data, "_data", self.simulator.sim.data)

    @property
    def tool(self) -> Pose:
        """world_from_tool, as reached."""
        turn = self.data.site_xmat[self._site].reshape(3, 3) @ SITE_FROM_TOOL
        return Pose(torch.from_numpy(turn), torch.from_numpy(self.data.site_xpos[self._site].copy()))

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drive towards a tool pose and an opening for 1/20 s."""
        asked = world_from_tool.to(torch.float64)
        ahead = self._ahead(asked)
        self._told, self._opening = asked, float(opening)
        self.simulator.step(np.append(self._arm_action(ahead), 1 - 2 * self._opening))
        self.num_steps += 1
        self._done = bool(self.simulator._check_success())
        metres, radians = self.tool.distance(asked)
        return StepReport(True, metres.item(), radians.item(), self.tool)

    def _arm_action(self, goal: Pose) -> np.ndarray:
        """The action that moves the grip site there: an absolute position and a rotation vector."""
        site_turn = goal.rotation @ torch.from_numpy(SITE_FROM_TOOL.T)
        return np.concatenate([goal.translation.numpy(), rotations.to_rotation_vector(site_turn).numpy()])

    def observation(self) -> Observation:
        """The current images; `opening` is the last command to the gripper."""
        images = self._views.images(self.data, self.cameras)
        opening = torch.tensor(self._opening, dtype=torch.float32)
        return Observation(images, self.cameras, self.tool.to(torch.float32), opening, self._instruction)

    def body(self, name: str) -> Pose:
        """world_from_body."""
        number = self.simulator.sim.model.body_name2id(name)
        turn, place = self.data.xmat[number].reshape(3, 3).copy(), self.data.xpos[number].copy()
        return Pose(torch.from_numpy(turn), torch.from_numpy(place))

    def twin(self) -> "Robosuite":
        """Another environment of the same task with the same views."""
        views = self._views.twin()
        return type(self)(
            self.task,
            self._phrasings,
            views,
            max_steps=self.max_steps,
            script=self._script,
            make=self._make,
            moves_room=self._moves_room,
        )
