"""Unscrew the lid of the named jar, one of two, and lift it: two clamps hold it until it is turned."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import Grammar
from action_images.sim.grasp import grasp_from_above
from action_images.sim.layout import colours, scatter
from action_images.sim.motion import Motion, carried, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder, ghost
from action_images.sim.task import Task
from action_images.sim.world import World

STEEL, PALE = (0.62, 0.64, 0.67, 1.0), (0.97, 0.97, 0.97, 1.0)
LUG = (0.007, 0.006, 0.004)
"""Half sizes (m) of the two lugs of a lid, which the jar's clamps reach over."""


@dataclass(frozen=True)
class OpenJar(Task):
    """Success: the named lid 5 cm above its jar, the other one on its own."""

    phrasings = (
        "open the {colour} jar by turning its lid counterclockwise",
        "unscrew the {colour} lid counterclockwise and lift it",
        "twist the {colour} lid counterclockwise and take it off the jar",
        "take the {colour} lid off by turning it counterclockwise",
    )
    kept_out = (
        "turn the {colour} lid counterclockwise and lift it off the jar",
        "unscrew the {colour} jar counterclockwise and take the lid off",
    )
    grammar = Grammar(
        (
            "open {thing} by turning its lid counterclockwise",
            "unscrew {thing} counterclockwise",
            "turn the lid of {thing} counterclockwise and lift it",
            "twist {thing} open counterclockwise and take the lid off",
        ),
        ("the {colour} jar", "the jar with the {colour} lid", "the jar that is {colour}", "the {colour} one"),
    )
    clear_height = 0.2
    colour: str
    others: tuple[str, ...]
    height: float
    wing: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """Two fixed jars of one size, their lids under the clamps."""
        names, radius, height = colours(rng, 2), rng.uniform(0.028, 0.036), rng.uniform(0.045, 0.08)
        rgba, wing = scene.furniture_colour(), (rng.uniform(0.018, 0.025), 0.009, rng.uniform(0.012, 0.016))
        for colour, (x, y, _) in zip(names, scatter(rng, 2, 0.17), strict=True):
            turned = rng.uniform(-1.2, 0.5)
            jar = scene.body(f"{colour} jar", (x, y, 0), yaw=turned)
            cylinder(jar, (radius, height / 2), rgba, at=(0, 0, height / 2))
            lid = scene.body(f"{colour} lid", (x, y, height), yaw=turned, free=True)
            paint = scene.colour(colour)
            lid_parts = [cylinder(lid, (radius - 0.002, 0.005), paint, at=(0, 0, 0.005))]
            box(lid, wing, paint, at=(0, 0, 0.01 + wing[2]))
            tip = (0.005, wing[1] + 0.0005, wing[2] + 0.0005)
            ghost(box(lid, tip, PALE, at=(wing[0] - 0.0045, 0, 0.01 + wing[2])))
            for side in (-1, 1):
                lid_parts.append(box(lid, LUG, paint, at=(side * (radius + 0.001), 0, LUG[2])))
                box(jar, (0.008, 0.010, 0.004), STEEL, at=(side * (radius + 0.006), 0, height + 0.0145))
                box(jar, (0.004, 0.010, 0.019), STEEL, at=(side * (radius + 0.014), 0, height - 0.0005))
            for part in lid_parts:
                # Low friction: a lid pressed against the clamps must still turn.
                part.friction, part.priority = [0.1, 0.005, 0.0001], 1
        return cls(names[0], names[1:], height, 0.01 + wing[2])

    def with_another_goal(self) -> Self:
        """The same scene with the other jar named."""
        return replace(self, colour=self.others[0], others=(*self.others[1:], self.colour))

    def succeeded(self, world: World) -> bool:
        """Judged by both lids' heights."""
        above = {name: self._above(world, name) for name in (self.colour, *self.others)}
        return above[self.colour] > 0.05 and all(above[name] < 0.02 for name in self.others)

    def motions(self, world: World) -> Iterator[Motion]:
        """Move down across the wing on the lid, close the fingers, turn about its axis, lift."""
        grasp = grasp_from_above(world.pose(f"{self.colour} lid"), self.wing, symmetry=math.pi)
        yield move(shifted(grasp, (0, 0, 0.07)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        turned = carried(grasp, grasp.translation, (0, 0, 1), math.radians(75))
        yield move(*turned, opening=0.0)
        yield move(shifted(turned[-1], (0, 0, 0.09)), opening=0.0)

    def _above(self, world: World, colour: str) -> float:
        """The height (m) of a lid above its jar."""
        return world.pose(f"{colour} lid").translation[2].item() - self.height
