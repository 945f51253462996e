"""Put a toilet's seat down; held out of all training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import CLOSE, Grammar
from action_images.sim.lid import shut
from action_images.sim.motion import Motion
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder, ring
from action_images.sim.task import Task
from action_images.sim.world import World

THIN = 0.005
"""Half the thickness (m) of the seat."""


@dataclass(frozen=True)
class ToiletSeatDown(Task):
    """Success: the seat within 10 degrees of down."""

    phrasings = (
        "put the toilet seat down",
        "lower the toilet seat",
        "push the seat of the toilet down",
        "close the toilet seat",
    )
    kept_out = ("put the seat of the toilet down", "shut the toilet seat")
    grammar = Grammar(
        (*CLOSE, "put {thing} down", "push {thing} down", "lower {thing}"),
        ("the toilet seat", "the seat of the toilet", "the seat", "the toilet lid"),
    )
    clear_height = 0.24
    half: float
    open_angle: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A bowl that faces the arm, a low tank behind it, the seat leaning back 96 to 108 degrees open."""
        half, height = rng.uniform(0.055, 0.068), rng.uniform(0.05, 0.075)
        at = (rng.uniform(0.43, 0.48), rng.uniform(-0.12, 0.12), 0.0)
        toilet, rgba = scene.body("toilet", at, yaw=rng.uniform(-0.4, 0.4)), scene.furniture_colour()
        cylinder(toilet, (0.55 * half, height / 4), rgba, at=(0, 0, height / 4))
        ring(toilet, 0.9 * half, height / 2, rgba)
        tank = (0.02, 0.9 * half, height / 2 + rng.uniform(0.0, 0.015))
        box(toilet, tank, rgba, at=(half + 0.05, 0, tank[2]))
        open_angle = math.radians(rng.uniform(96, 108))
        hinge = {"at": (half, 0, height + THIN), "axis": (0, 1, 0), "reach": (0, open_angle)}
        seat = scene.part("seat", toilet, **hinge, damping=[0.02, 0, 0], frictionloss=0.01)
        paint, bar = scene.furniture_colour(), 0.28 * half
        for side in (-1, 1):
            box(seat, (half, bar, THIN), paint, at=(-half, side * (half - bar), 0))
            box(seat, (bar, half - 2 * bar, THIN), paint, at=(-half + side * (half - bar), 0, 0))
        return cls(half, open_angle)

    def prepare(self, world: World) -> None:
        """Raise it."""
        world.set_joint("seat", self.open_angle)

    def succeeded(self, world: World) -> bool:
        """Judged by the hinge's angle."""
        return world.joint("seat") < math.radians(10)

    def motions(self, world: World) -> Iterator[Motion]:
        """Push the seat from behind, along the hinge's arc."""
        return shut(world, "seat", radius=1.75 * self.half, height=THIN)
