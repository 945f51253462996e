"""Pick up the cup of the named colour, one of two; held out of all training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import LIFT, Grammar
from action_images.sim.grasp import CLEARANCE, grasp_from_above
from action_images.sim.layout import colours, scatter
from action_images.sim.motion import Motion, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder, ring
from action_images.sim.task import Task
from action_images.sim.world import World

RADIUS, HEIGHT = 0.027, 0.08


@dataclass(frozen=True)
class PickUpCup(Task):
    """Success: the named cup's foot at least 8 cm above the table."""

    phrasings = (
        "pick up the {colour} cup",
        "lift the {colour} cup",
        "grab the {colour} mug",
        "take the {colour} cup off the table",
    )
    kept_out = ("take the {colour} cup and lift it", "raise the {colour} mug")
    grammar = Grammar(
        LIFT,
        ("the {colour} cup", "the {colour} mug", "the cup that is {colour}", "the {colour} coffee cup"),
    )
    colour: str

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """Two cups, their handles to the front or the back within 70 degrees."""
        names = colours(rng, 2)
        for colour, place in zip(names, scatter(rng, 2, 0.15), strict=True):
            cup = scene.body(
                f"{colour} cup", place, yaw=rng.choice((0, math.pi)) + rng.uniform(-1.2, 1.2), free=True
            )
            rgba = scene.colour(colour)
            cylinder(cup, (RADIUS, 0.004), rgba, at=(0, 0, 0.004))
            ring(cup, RADIUS, HEIGHT / 2, rgba, half_thickness=0.003)
            box(cup, (0.004, 0.005, 0.02), rgba, at=(RADIUS + 0.022, 0, HEIGHT / 2))
            for height in (0.022, 0.058):
                box(cup, (0.010, 0.005, 0.004), rgba, at=(RADIUS + 0.011, 0, height))
        return cls(names[0])

    def succeeded(self, world: World) -> bool:
        """Judged by the cup's height."""
        return world.pose(f"{self.colour} cup").translation[2].item() > 0.08

    def motions(self, world: World) -> Iterator[Motion]:
        """Move across the cup with the handle between the fingers' planes, close the fingers, move up."""
        grasp = grasp_from_above(world.pose(f"{self.colour} cup"), height=0.05, symmetry=math.pi)
        yield move(shifted(grasp, (0, 0, CLEARANCE)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        yield move(shifted(grasp, (0, 0, 0.13)), opening=0.0)
