"""Pick up the block of the named colour, one of three."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import LIFT, Grammar
from action_images.sim.grasp import CLEARANCE, grasp_from_above
from action_images.sim.layout import colours, scatter
from action_images.sim.motion import Motion, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box
from action_images.sim.task import Task
from action_images.sim.world import World


@dataclass(frozen=True)
class PickAndLift(Task):
    """Success: the named block's underside at least 8 cm above the table."""

    phrasings = (
        "pick up the {colour} block",
        "lift the {colour} block",
        "grab the {colour} cube and lift it",
        "pick the {colour} cube up",
    )
    kept_out = ("take the {colour} block and lift it up", "raise the {colour} cube")
    grammar = Grammar(
        LIFT,
        ("the {colour} block", "the {colour} cube", "the block that is {colour}", "the {colour} toy block"),
    )
    colour: str
    others: tuple[str, ...]
    half: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """Three blocks of one size at random angles."""
        names, half = colours(rng, 3), scene.size(rng.uniform(0.023, 0.029), 0.018, 0.032)
        for colour, (x, y, _) in zip(names, scatter(rng, 3, 0.13), strict=True):
            body = scene.body(f"{colour} block", (x, y, half), yaw=rng.uniform(-math.pi, math.pi), free=True)
            box(body, (half,) * 3, scene.colour(colour))
        return cls(names[0], names[1:], half)

    def with_another_goal(self) -> Self:
        """The same scene with the next colour named."""
        return replace(self, colour=self.others[0], others=(*self.others[1:], self.colour))

    def succeeded(self, world: World) -> bool:
        """Judged by the block's height."""
        return world.pose(f"{self.colour} block").translation[2].item() - self.half > 0.08

    def motions(self, world: World) -> Iterator[Motion]:
        """Move above the block and down, close the fingers, move up."""
        grasp = grasp_from_above(world.pose(f"{self.colour} block"))
        yield move(shifted(grasp, (0, 0, CLEARANCE)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        yield move(shifted(grasp, (0, 0, 0.13)), opening=0.0)
