"""A world of another package, as small as can be: a point that cannot turn, seen by one fixed rig."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from action_images.benchmarks import Seeds
from action_images.control import Guard
from action_images.geometry import Camera, Pose
from action_images.robot import Observation, StepReport, TrialState

SEEDS = Seeds("A seed draws the place at which the tool begins.", 100, 3)
DOWN = torch.diag(torch.tensor([1.0, -1.0, -1.0]))


class PointEnvironment:
    """The tool moves up to 1 cm a step and never turns. Done while it is beyond x = 1.02 m."""

    control_hz = 20.0
    controls_rotation = False
    max_steps = 12

    def __init__(self, task: str, num_views: int, size: tuple[int, int]):
        self.task, self.num_views, self.size, self.num_steps = task, num_views, size, 0

    def begin(self, seed: int) -> None:
        start = torch.tensor([1.0, 0.01 * (seed % 5), 0.5])
        self.num_steps, self.opening, self.world_from_tool = 0, 1.0, Pose(DOWN, start)
        self.told = self.world_from_tool

    def reset(self, seed: int) -> Observation:
        self.begin(seed)
        return self.observation()

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        way = world_from_tool.translation - self.world_from_tool.translation
        reached = self.world_from_tool.translation + way.clamp(-0.01, 0.01)
        self.world_from_tool, self.told, self.opening = Pose(DOWN, reached), world_from_tool, opening
        self.num_steps += 1
        metres, radians = world_from_tool.distance(self.world_from_tool)
        return StepReport(True, metres.item(), radians.item(), self.world_from_tool)

    @property
    def cameras(self) -> Camera:
        eye, target = torch.tensor([1.0, -1.0, 1.0]), torch.tensor([1.0, 0.0, 0.5])
        return Camera.look_at(eye.expand(self.num_views, 3), target.expand(self.num_views, 3), 0.8, self.size)

    def observation(self) -> Observation:
        images = torch.zeros(self.num_views, 3, *self.size, dtype=torch.uint8)
        opening = torch.tensor(self.opening)
        return Observation(images, self.cameras, self.world_from_tool, opening, "go right")

    def state(self) -> TrialState:
        return TrialState("go right", self.world_from_tool, self.told, self.opening, self.cameras)

    def succeeded(self) -> bool:
        return self.world_from_tool.translation[0].item() > 1.0199

    def expert(self):
        return self._move_right() if self.task == "right" else None

    def _move_right(self):
        for _ in range(3):
            goal = self.world_from_tool.translation + torch.tensor([0.01, 0.0, 0.0])
            yield self.step(replace(self.world_from_tool, translation=goal), 1.0)

    def rephrased(self, rng):  # noqa: ARG002 (there is one way to say it)
        return None

    def switch_goal(self, rng):  # noqa: ARG002 (there is one goal)
        return None

    def twin(self) -> "PointEnvironment":
        return PointEnvironment(self.task, self.num_views, self.size)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class PointBenchmark:
    name: str = "point"
    version: str = "0.1"
    description: str = "a point that goes right"
    requires: tuple[str, ...] = ()
    install: str = "pip install point-world"
    tried: Mapping[str, str] = field(default_factory=dict)
    control_hz: float = 20.0
    trained: tuple[str, ...] = ("right", "right-without-expert")
    held_out: tuple[str, ...] = ()
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rigs: tuple[str, ...] = ("front",)
    held_out_rig: str | None = None
    looks: tuple[str, ...] = ()
    held_out_look: str | None = None
    guard: Guard = Guard(low=(0.9, -0.5, 0.0), high=(1.5, 0.5, 1.0), min_confidence=0.0)
    workspace: tuple = ((0.95, -0.1, 0.4), (1.1, 0.1, 0.6))
    steady_steps: int = 1
    seeds: Seeds = SEEDS

    def tasks(self) -> tuple[str, ...]:
        return self.trained

    def instructions(self, task: str) -> tuple[str, ...]:  # noqa: ARG002 (all tasks are told alike)
        return ("go right",)

    def seen(self, rig: str, look: str | None) -> dict[str, str]:  # noqa: ARG002 (it has one look)
        return {"rig": rig}

    def make(self, task: str, *, rig: str, look: str | None, num_views: int, size: tuple[int, int]):
        assert (rig, look) == ("front", None)
        return PointEnvironment(task, num_views, size)


POINT = PointBenchmark()
