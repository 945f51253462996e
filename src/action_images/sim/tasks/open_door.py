"""Take the door of a cupboard by its handle and pull it open."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.door import Door, add_cupboard_with_door, pull_door_open
from action_images.sim.grammar import OPEN, Grammar
from action_images.sim.motion import Motion
from action_images.sim.scene import Scene
from action_images.sim.task import Task
from action_images.sim.world import World


@dataclass(frozen=True)
class OpenDoor(Task):
    """Success: the door at least 45 degrees open."""

    phrasings = (
        "open the door",
        "pull the door open",
        "open the cupboard door",
        "pull the door open by its handle",
    )
    kept_out = ("swing the door open", "open the cupboard by its handle")
    grammar = Grammar(
        (*OPEN, "swing {thing} open"),
        ("the door", "the {paint} door", "the cupboard door", "the door of the cupboard"),
    )
    clear_height = 0.2
    door: Door
    paint: str

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A cupboard beyond the middle of the table, its door shut."""
        door, paint = add_cupboard_with_door(scene, rng, width=(0.11, 0.16))
        return cls(door, paint)

    def succeeded(self, world: World) -> bool:
        """Judged by the hinge's angle."""
        return world.joint("door") > math.radians(45)

    def motions(self, world: World) -> Iterator[Motion]:
        """Pull the handle along the hinge's arc."""
        return pull_door_open(world, self.door, math.radians(58))
