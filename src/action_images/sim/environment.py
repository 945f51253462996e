"""The embedded world as an Environment: one task on a table, seen by calibrated cameras."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import zlib
from collections.abc import Iterator

import mujoco
import numpy as np
import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Camera, Pose
from action_images.robot import Observation, StepReport, TrialState
from action_images.sim.arm import CONTROL_HZ
from action_images.sim.cameras import RIGS, Cameras, Rig
from action_images.sim.expert import demonstrate
from action_images.sim.grammar import Wording
from action_images.sim.look import Look
from action_images.sim.look_family import LookFamily
from action_images.sim.looks import LOOKS
from action_images.sim.motion import about, downward
from action_images.sim.render import Renderer
from action_images.sim.scene import Scene
from action_images.sim.sensor import Sensors
from action_images.sim.task import Task
from action_images.sim.tasks import find_task
from action_images.sim.world import World


class Tabletop:
    """One task (a RepeatableEnvironment), one trial at a time. Each trial draws everything from its seed.

    `size` is (height, width) of the images in px, `wording` the kind of instructions. After `reset` or
    `begin`, `trial` is the task with its drawn values, `world` the physical state, and `told` the pose last
    commanded. `num_steps` counts the control steps so far, `num_unreachable` those with a pose out of reach.
    """

    control_hz = CONTROL_HZ
    controls_rotation = True
    trial: Task
    world: World
    told: Pose
    instruction: str

    def __init__(
        self,
        task: str | type[Task],
        rig: Rig = RIGS["sampled"],
        look: Look | LookFamily = LOOKS["train"],
        num_views: int = 2,
        size: tuple[int, int] = (128, 128),
        wording: Wording = "phrasings",
    ):
        self.task = find_task(task) if isinstance(task, str) else task
        self.max_steps = self.task.max_steps
        self.num_steps = self.num_unreachable = 0
        self._rig, self._look, self._num_views, self._size = rig, look, num_views, size
        self._wording: Wording = wording
        self._cameras: Cameras | None = None
        self._sensors: Sensors | None = None
        self._renderer: Renderer | None = None

    def reset(self, seed: int) -> Observation:
        """Begin the trial of this seed and return its first observation."""
        self.begin(seed)
        return self.observation()

    def begin(self, seed: int) -> None:
        """Begin the trial of this seed; nothing is rendered until `observation` is called."""
        self.close()
        # One random stream for each concern, so that another look or rig does not change the layout.
        *children, sensor = self._entropy(seed).spawn(7)
        layout, words, start, cameras, look, sizes = (np.random.default_rng(child) for child in children)
        scene = Scene(self._look, look, sizes)
        self.trial = self.task.lay_out(scene, layout)
        self.instruction = self.trial.instruction(words, self._wording)
        self.world = World(scene.compile())
        self._cameras = self._rig.draw(cameras, self._num_views, self._size)
        self._sensors = None
        if isinstance(self._look, LookFamily):
            self._sensors = self._look.sensor.draw(sensor, self._num_views)
        self.trial.prepare(self.world)
        self._place_arm(start)
        self.told = self.world.tool
        self.num_steps = self.num_unreachable = 0

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drive towards a tool pose and an opening for 1/20 s.

        A pose out of reach is approached as far as possible, reported and counted.
        """
        report = self.world.arm.drive(world_from_tool, opening)
        self.told = world_from_tool
        self.num_steps += 1
        self.num_unreachable += not report.reachable
        return report

    def state(self) -> TrialState:
        """The trial's current state."""
        return TrialState(
            self.instruction,
            world_from_tool=self.world.tool,
            told=self.told,
            opening=self.world.opening,
            cameras=self.cameras,
        )

    def expert(self) -> Iterator[StepReport]:
        """Carry the trial to its end with the task's expert, one control step for each report."""
        return demonstrate(self)

    def rephrased(self, rng: np.random.Generator) -> str | None:
        """The instruction in words that no demonstration uses; None if the task has no such words."""
        return self.trial.rephrased(rng, self._wording)

    def switch_goal(self, rng: np.random.Generator) -> str | None:
        """Give the trial another goal that its scene allows.

        Returns the new instruction, or None if there is no other goal.
        """
        other = self.trial.with_another_goal()
        if other is None:
            return None
        self.trial = other
        self.instruction = other.instruction(rng, self._wording)
        return self.instruction

    def twin(self) -> "Tabletop":
        """Another world of the same task, with the same views, in which no trial has begun."""
        seen = {"look": self._look, "num_views": self._num_views, "size": self._size}
        return type(self)(self.task, self._rig, wording=self._wording, **seen)

    def observation(self) -> Observation:
        """The current images; `opening` is the last command to the gripper."""
        images = self._render(self.cameras)
        opening = torch.tensor(self.world.opening, dtype=torch.float32)
        return Observation(images, self.cameras, self.world.tool.to(torch.float32), opening, self.instruction)

    def succeeded(self) -> bool:
        """Whether the task is done, judged on the physical state."""
        return self.trial.succeeded(self.world)

    @property
    def cameras(self) -> Camera:
        """The current cameras (axis: view)."""
        if self._cameras is None:
            raise ActionImagesError("no trial has begun; call reset(seed) first")
        return self._cameras.at(self.num_steps / CONTROL_HZ)

    def close(self) -> None:
        """Free the graphics memory; the next `reset` or `observation` allocates it again."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _entropy(self, seed: int) -> np.random.SeedSequence:
        # The task's name is mixed in, as one seed of two tasks must not share cameras, colours and start.
        return np.random.SeedSequence([seed, zlib.crc32(self.task.__name__.encode())])

    def _render(self, cameras: Camera) -> torch.Tensor:
        if self._renderer is None:
            self._renderer = Renderer(self.world.model, self._size)
        images = self._renderer.images(self.world.data, cameras)
        return images if self._sensors is None else self._sensors.images(images, self.num_steps)

    def _place_arm(self, rng: np.random.Generator) -> None:
        """Place the arm at random above the table without contact, then let everything come to rest."""
        for _ in range(100):
            place = rng.uniform((0.37, -0.13, 0.22), (0.48, 0.13, 0.30))
            lean = about((1, 0, 0), rng.uniform(-0.2, 0.2)) @ about((0, 1, 0), rng.uniform(-0.2, 0.2))
            upright = downward(place, rng.uniform(-0.4, 0.4))
            if (
                self.world.arm.place(Pose(lean @ upright.rotation, upright.translation))
                and not self.world.hand_touches_anything()
            ):
                break
        mujoco.mj_step(self.world.model, self.world.data, 40)
        mujoco.mj_forward(self.world.model, self.world.data)
