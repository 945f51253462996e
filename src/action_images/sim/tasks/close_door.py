"""Push the open door of a cupboard shut."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.door import Door, add_cupboard_with_door, shut_door
from action_images.sim.grammar import CLOSE, Grammar
from action_images.sim.motion import Motion
from action_images.sim.scene import Scene
from action_images.sim.task import Task
from action_images.sim.world import World


@dataclass(frozen=True)
class CloseDoor(Task):
    """Success: the door within 6 degrees of shut."""

    phrasings = ("close the door", "push the door shut", "shut the door", "close the cupboard door")
    kept_out = ("swing the door shut", "push the cupboard door closed")
    grammar = Grammar(
        CLOSE,
        ("the door", "the {paint} door", "the cupboard door", "the door of the cupboard"),
    )
    max_steps = 140
    clear_height = 0.2
    door: Door
    paint: str
    open_angle: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A cupboard beyond the middle of the table, its door 35 to 90 degrees open."""
        door, paint = add_cupboard_with_door(scene, rng, width=(0.11, 0.17))
        return cls(door, paint, math.radians(rng.uniform(35, 90)))

    def prepare(self, world: World) -> None:
        """Set it open."""
        world.set_joint("door", self.open_angle)

    def succeeded(self, world: World) -> bool:
        """Judged by the hinge's angle."""
        return world.joint("door") < math.radians(6)

    def motions(self, world: World) -> Iterator[Motion]:
        """Push the door from outside, along the hinge's arc."""
        return shut_door(world, self.door)
