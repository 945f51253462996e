"""Push the door of a microwave shut; held out of all training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import Self

from action_images.sim.door import Door, add_cupboard, add_door, shut_door
from action_images.sim.grammar import CLOSE, Grammar
from action_images.sim.motion import Motion
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, ghost
from action_images.sim.task import Task
from action_images.sim.world import World

BLACK, GREEN = (0.08, 0.08, 0.10, 1.0), (0.30, 0.85, 0.45, 1.0)


@dataclass(frozen=True)
class CloseMicrowave(Task):
    """Success: the door within 6 degrees of shut."""

    phrasings = (
        "close the microwave",
        "shut the microwave",
        "push the microwave door shut",
        "close the door of the microwave",
    )
    kept_out = ("swing the microwave door shut", "push the microwave closed")
    grammar = Grammar(
        CLOSE,
        ("the microwave", "the microwave door", "the door of the microwave", "the microwave oven"),
    )
    max_steps = 140
    clear_height = 0.2
    door: Door
    open_angle: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A microwave with its panel on the right; the door is hinged on the left, 35 to 90 degrees open."""
        drawn = Door.draw(rng, width=(0.12, 0.16), height=rng.uniform(0.09, 0.13))
        door = replace(drawn, side=1, handle="bar")
        depth, panel = rng.uniform(0.055, 0.07), rng.uniform(0.035, 0.05)
        width = (door.width + panel) / 2
        at = (rng.uniform(0.62, 0.65), rng.uniform(-0.07, 0.07), 0.0)
        body, rgba = scene.body("microwave", at, yaw=rng.uniform(-0.6, 0.6)), scene.furniture_colour()
        add_cupboard(body, (depth, width), door.height, rgba)
        middle = -width + panel / 2
        box(body, (0.012, panel / 2, door.height / 2), rgba, at=(-depth, middle, door.height / 2))
        ghost(box(body, (0.001, panel / 3, 0.008), GREEN, at=(-depth - 0.013, middle, 0.8 * door.height)))
        for row in (0.25, 0.4, 0.55):
            ghost(box(body, (0.001, panel / 3, 0.004), BLACK, at=(-depth - 0.013, middle, row * door.height)))
        add_door(scene, body, door, at=(-depth, width), rgba=rgba)
        leaf, glass = scene.spec.body("door"), (0.001, door.width / 2 - 0.025, door.height / 2 - 0.022)
        ghost(box(leaf, glass, BLACK, at=(-0.013, -door.width / 2 + 0.008, door.height / 2)))
        return cls(door, math.radians(rng.uniform(35, 90)))

    def prepare(self, world: World) -> None:
        """Set it open."""
        world.set_joint("door", self.open_angle)

    def succeeded(self, world: World) -> bool:
        """Judged by the hinge's angle."""
        return world.joint("door") < math.radians(6)

    def motions(self, world: World) -> Iterator[Motion]:
        """Push the door from outside, along the hinge's arc."""
        return shut_door(world, self.door)
