"""Shut the hinged lid of a box."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import CLOSE, Grammar
from action_images.sim.layout import colours
from action_images.sim.lid import shut
from action_images.sim.motion import Motion
from action_images.sim.scene import Scene
from action_images.sim.shapes import box
from action_images.sim.task import Task
from action_images.sim.world import World

THIN = 0.004
"""Half the thickness of the walls (m)."""


@dataclass(frozen=True)
class CloseBox(Task):
    """Success: the lid within 8 degrees of shut."""

    phrasings = ("close the box", "shut the box", "close the lid of the box", "push the lid shut")
    kept_out = ("shut the lid of the box", "push the box closed")
    grammar = Grammar(
        (*CLOSE, "fold {thing} shut"),
        ("the box", "the lid", "the lid of the box", "the {paint} lid"),
    )
    open_angle: float
    half: float
    paint: str

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A box whose lid leans back at its stop, 96 to 112 degrees open."""
        at = (rng.uniform(0.42, 0.48), rng.uniform(-0.12, 0.12), 0.0)
        body = scene.body("box", at, yaw=rng.uniform(-0.4, 0.4))
        half, height = scene.size(0.07, 0.058, 0.078), scene.size(0.07, 0.045, 0.085)
        rgba = scene.furniture_colour()
        box(body, (half, half, THIN), rgba, at=(0, 0, THIN))
        for side in (-1, 1):
            box(body, (half, THIN, height / 2), rgba, at=(0, side * (half - THIN), height / 2))
            box(body, (THIN, half, height / 2), rgba, at=(side * (half - THIN), 0, height / 2))
        open_angle = math.radians(rng.uniform(96, 112))
        lid = scene.part(
            "lid",
            body,
            at=(half, 0, height + THIN),
            axis=(0, 1, 0),
            reach=(0, open_angle),
            damping=[0.02, 0, 0],
            frictionloss=0.01,
        )
        paint = colours(rng, 1)[0]
        box(lid, (half, half, THIN), scene.colour(paint), at=(-half, 0, 0))
        return cls(open_angle, half, paint)

    def prepare(self, world: World) -> None:
        """Set it open."""
        world.set_joint("lid", self.open_angle)

    def succeeded(self, world: World) -> bool:
        """Judged by the hinge's angle."""
        return world.joint("lid") < math.radians(8)

    def motions(self, world: World) -> Iterator[Motion]:
        """Push the lid from behind, along the hinge's arc."""
        return shut(world, "lid", radius=1.6 * self.half, height=THIN)
