"""Put the block of the named colour into the bowl; another block stays where it is."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import PUT_IN, Grammar
from action_images.sim.grasp import CLEARANCE, grasp_from_above
from action_images.sim.layout import colours, scatter
from action_images.sim.motion import Motion, downward, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder, ring
from action_images.sim.task import Task
from action_images.sim.world import World


@dataclass(frozen=True)
class PlaceInBowl(Task):
    """Success: the named block's centre inside the bowl's wall and below its rim, the gripper open."""

    phrasings = (
        "put the {colour} block in the bowl",
        "place the {colour} block into the bowl",
        "drop the {colour} cube in the bowl",
        "move the {colour} cube to the bowl",
    )
    kept_out = ("the {colour} block goes into the bowl", "drop the {colour} block into the bowl")
    grammar = Grammar(
        PUT_IN,
        ("the {colour} block", "the {colour} cube", "the block that is {colour}", "the {colour} toy block"),
        ("the bowl", "the dish", "the round bowl"),
    )
    colour: str
    others: tuple[str, ...]
    radius: float
    height: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A bowl and two blocks of different colours."""
        names = colours(rng, 2)
        bowl_at, *places = scatter(rng, 3, 0.15)
        bowl = scene.body("bowl", bowl_at, yaw=rng.uniform(-math.pi, math.pi), free=True)
        radius, height = scene.size(0.065, 0.054, 0.076), scene.size(0.04, 0.028, 0.05)
        rgba = scene.furniture_colour()
        cylinder(bowl, (radius, 0.003), rgba, at=(0, 0, 0.003))
        ring(bowl, radius, height / 2, rgba)
        for colour, (x, y, _) in zip(names, places, strict=True):
            half = scene.size(rng.uniform(0.021, 0.026), 0.017, 0.028)
            box(
                scene.body(f"{colour} block", (x, y, half), yaw=rng.uniform(-math.pi, math.pi), free=True),
                (half,) * 3,
                scene.colour(colour),
            )
        return cls(names[0], names[1:], radius, height)

    def with_another_goal(self) -> Self:
        """The same scene with the next colour named."""
        return replace(self, colour=self.others[0], others=(*self.others[1:], self.colour))

    def succeeded(self, world: World) -> bool:
        """Judged by the block's place in the bowl's frame."""
        x, y, z = world.pose("bowl").inverse().apply(world.pose(f"{self.colour} block").translation).tolist()
        return math.hypot(x, y) < self.radius and 0 < z < self.height + 0.01 and world.opening > 0.5

    def motions(self, world: World) -> Iterator[Motion]:
        """Grip the block, carry it over the rim, release it."""
        grasp = grasp_from_above(world.pose(f"{self.colour} block"))
        yield move(shifted(grasp, (0, 0, CLEARANCE)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        x, y, _ = world.pose("bowl").translation.tolist()
        over = downward((x, y, 0.13))
        yield move(shifted(grasp, (0, 0, 0.11)), over, opening=0.0)
        yield move(downward((x, y, 0.075)), opening=0.0)
        yield grip(1.0)
