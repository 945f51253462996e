"""Take the door of a cupboard by its handle and pull it open."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.door import Door, add_cupboard, add_door, pull_door_open
from action_images.sim.grammar import OPEN, Grammar
from action_images.sim.layout import colours
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
        door = Door.draw(rng, width=(0.11, 0.16), height=rng.uniform(0.09, 0.15))
        depth, width = rng.uniform(0.05, 0.07), door.width / 2 + 0.004
        at = (rng.uniform(0.61, 0.65), rng.uniform(-0.09, 0.09), 0.0)
        body = scene.body("cupboard", at, yaw=rng.uniform(-0.7, 0.7))
        add_cupboard(body, (depth, width), door.height, scene.furniture_colour())
        hinge, paint = (-depth, door.side * door.width / 2), colours(rng, 1)[0]
        add_door(scene, body, door, at=hinge, rgba=scene.colour(paint))
        return cls(door, paint)

    def succeeded(self, world: World) -> bool:
        """On the hinge's angle."""
        return world.joint("door") > math.radians(45)

    def motions(self, world: World) -> Iterator[Motion]:
        """By the handle, along the hinge's arc."""
        return pull_door_open(world, self.door, math.radians(58))
