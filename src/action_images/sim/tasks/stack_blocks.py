"""Put one named block on top of another; a third stays aside."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import PUT_ON, Grammar
from action_images.sim.grasp import CLEARANCE, grasp_from_above
from action_images.sim.layout import colours, scatter
from action_images.sim.motion import Motion, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box
from action_images.sim.task import Task
from action_images.sim.world import World


@dataclass(frozen=True)
class StackBlocks(Task):
    """Success: one block rests on the other, within 2 cm of the other's axis, the gripper open."""

    phrasings = (
        "stack the {upper} block on the {lower} block",
        "put the {upper} block on top of the {lower} block",
        "place the {upper} cube on the {lower} cube",
        "set the {upper} cube down on the {lower} one",
    )
    kept_out = (
        "stack the {upper} cube on top of the {lower} cube",
        "the {upper} block goes on the {lower} block",
    )
    grammar = Grammar(
        (*PUT_ON, "stack {thing} on {place}", "stack {thing} on top of {place}"),
        ("the {upper} block", "the {upper} cube", "the block that is {upper}", "the {upper} toy block"),
        ("the {lower} block", "the {lower} cube", "the {lower} one"),
    )
    max_steps = 140
    upper: str
    lower: str
    half: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """Three blocks of one size at random angles."""
        names, half = colours(rng, 3), scene.size(rng.uniform(0.024, 0.029), 0.021, 0.031)
        for colour, (x, y, _) in zip(names, scatter(rng, 3, 0.13), strict=True):
            body = scene.body(f"{colour} block", (x, y, half), yaw=rng.uniform(-math.pi, math.pi), free=True)
            box(body, (half,) * 3, scene.colour(colour))
        return cls(names[0], names[1], half)

    def with_another_goal(self) -> Self:
        """The same scene with the two blocks exchanged."""
        return replace(self, upper=self.lower, lower=self.upper)

    def succeeded(self, world: World) -> bool:
        """Judged by the offset between the two blocks."""
        x, y, z = (
            world.pose(f"{self.upper} block").translation - world.pose(f"{self.lower} block").translation
        ).tolist()
        return math.hypot(x, y) < 0.02 and abs(z - 2 * self.half) < 0.006 and world.opening > 0.5

    def motions(self, world: World) -> Iterator[Motion]:
        """Grip the one, bring it over the other aligned with it, set it down, release it and rise."""
        grasp, below = (
            grasp_from_above(world.pose(f"{self.upper} block")),
            grasp_from_above(world.pose(f"{self.lower} block")),
        )
        yield move(shifted(grasp, (0, 0, CLEARANCE)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        top = shifted(below, (0, 0, 2 * self.half + 0.002))
        yield move(shifted(grasp, (0, 0, 0.10)), shifted(top, (0, 0, 0.05)), opening=0.0)
        yield move(top, opening=0.0, pace=0.7)
        yield grip(1.0)
        yield move(shifted(top, (0, 0, 0.07)), opening=1.0)
