"""Twist the cap of a bottle open."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import Grammar
from action_images.sim.layout import FAR, NEAR, SIDE, colours
from action_images.sim.motion import Motion, carried, downward, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder, ghost
from action_images.sim.task import Task
from action_images.sim.world import World

PALE = (0.97, 0.97, 0.97, 1.0)


@dataclass(frozen=True)
class OpenBottle(Task):
    """Success: the cap turned counterclockwise by at least 75 degrees."""

    phrasings = (
        "turn the bottle cap counterclockwise",
        "open the bottle by turning its cap counterclockwise",
        "twist the cap of the bottle counterclockwise",
        "unscrew the cap of the bottle counterclockwise",
    )
    kept_out = (
        "open the bottle by twisting its cap counterclockwise",
        "unscrew the bottle cap counterclockwise",
    )
    grammar = Grammar(
        (
            "turn {thing} counterclockwise",
            "open {thing} by turning it counterclockwise",
            "twist {thing} counterclockwise",
            "unscrew {thing} counterclockwise",
        ),
        ("the cap", "the bottle cap", "the cap of the bottle", "the {paint} cap"),
    )
    clear_height = 0.24
    grasp_height: float
    paint: str

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A fixed bottle with its cap shut; a white stripe shows the cap's angle."""
        at = (rng.uniform(NEAR + 0.04, FAR), rng.uniform(-SIDE, SIDE), 0.0)
        bottle, rgba = scene.body("bottle", at, yaw=rng.uniform(-math.pi, math.pi)), scene.furniture_colour()
        radius, tall = rng.uniform(0.022, 0.034), rng.uniform(0.06, 0.11)
        neck, neck_tall = rng.uniform(0.010, 0.013), rng.uniform(0.015, 0.03)
        cylinder(bottle, (radius, tall / 2), rgba, at=(0, 0, tall / 2))
        cylinder(bottle, (neck, neck_tall / 2), rgba, at=(0, 0, tall + neck_tall / 2))
        label = (radius + 0.0005, 0.2 * tall)
        ghost(cylinder(bottle, label, scene.colour(colours(rng, 1)[0]), at=(0, 0, 0.45 * tall)))
        cap, half = (rng.uniform(0.014, 0.021), rng.uniform(0.010, 0.014)), tall + neck_tall
        turning = {"at": (0, 0, half), "axis": (0, 0, 1), "reach": (0, 2.6)}
        lid = scene.part("cap", bottle, **turning, damping=[0.02, 0, 0], frictionloss=0.04)
        paint = colours(rng, 1)[0]
        cylinder(lid, cap, scene.colour(paint), at=(0, 0, cap[1]))
        stripe = (cap[0] / 2, 0.004, cap[1] + 0.0005)
        ghost(box(lid, stripe, PALE, at=(cap[0] / 2 + 0.0005, 0, cap[1])))
        return cls(half + cap[1], paint)

    def succeeded(self, world: World) -> bool:
        """Judged by the cap's angle."""
        return world.joint("cap") > math.radians(75)

    def motions(self, world: World) -> Iterator[Motion]:
        """Move down onto the cap, close the fingers, turn about its axis."""
        x, y, _ = world.pose("bottle").translation.tolist()
        grasp = downward((x, y, self.grasp_height), yaw=-0.5)
        yield move(shifted(grasp, (0, 0, 0.07)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        turned = carried(grasp, grasp.translation, (0, 0, 1), math.radians(95))
        yield move(*turned, opening=0.0)
