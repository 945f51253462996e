"""Put the phone on its base, aligned with it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import PUT_ON, Grammar
from action_images.sim.grasp import CLEARANCE, grasp_from_above, yaw_of
from action_images.sim.layout import colours, scatter
from action_images.sim.motion import Motion, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, ghost
from action_images.sim.task import Task
from action_images.sim.world import World

DARK, LIT = (0.10, 0.10, 0.12, 1.0), (0.30, 0.85, 0.45, 1.0)
GRASP_HEIGHT = 0.013
"""Height of the tool point above the table (m): the finger tips reach 9 mm below it."""


@dataclass(frozen=True)
class PhoneOnBase(Task):
    """Success: the phone lies on the base, within 2 cm and 15 degrees of it, the gripper open."""

    phrasings = (
        "put the phone on the base",
        "place the phone on its base",
        "set the phone down on the charging base",
        "move the phone onto the base",
    )
    kept_out = ("the phone goes on the base", "put the phone down on its charging base")
    grammar = Grammar(
        PUT_ON,
        ("the phone", "the {paint} phone", "the mobile phone", "the telephone"),
        ("the base", "its base", "the charging base", "the stand"),
    )
    max_steps = 150
    half: tuple[float, float, float]
    top: float
    paint: str

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A phone on the table at a random angle, and a base with a stop at either end."""
        half = (rng.uniform(0.046, 0.058), rng.uniform(0.017, 0.024), rng.uniform(0.0075, 0.0095))
        top = rng.uniform(0.018, 0.04)
        (x, y, _), base_at = scatter(rng, 2, 0.17)
        phone = scene.body("phone", (x, y, half[2]), yaw=rng.uniform(-math.pi, math.pi), free=True)
        paint = colours(rng, 1)[0]
        box(phone, half, scene.colour(paint))
        ghost(box(phone, (0.75 * half[0], 0.8 * half[1], 0.0005), DARK, at=(0, 0, half[2])))
        base, rgba = scene.body("cradle", base_at, yaw=rng.uniform(-0.9, 0.9)), scene.furniture_colour()
        length = half[0] + 0.018
        box(base, (length, half[1] + 0.012, top / 2), rgba, at=(0, 0, top / 2))
        for end in (-1, 1):
            box(base, (0.005, half[1] + 0.012, 0.006), rgba, at=(end * (length - 0.005), 0, top + 0.006))
        ghost(box(base, (0.004, 0.008, 0.0005), LIT, at=(length - 0.005, 0, top + 0.012)))
        return cls(half, top, paint)

    def succeeded(self, world: World) -> bool:
        """Judged by the phone's pose in the base's frame."""
        phone = world.pose("cradle").inverse() @ world.pose("phone")
        x, y, z = phone.translation.tolist()
        turned = math.remainder(yaw_of(phone), math.pi)
        lies = abs(z - self.top - self.half[2]) < 0.006 and abs(turned) < math.radians(15)
        return lies and math.hypot(x, y) < 0.02 and world.opening > 0.5

    def motions(self, world: World) -> Iterator[Motion]:
        """Grip the phone across, bring it over the base aligned with it, set it down, release it and rise."""
        up = GRASP_HEIGHT - self.half[2]
        grasp = grasp_from_above(world.pose("phone"), height=up, symmetry=math.pi)
        yield move(shifted(grasp, (0, 0, CLEARANCE)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        lying = self.top + self.half[2] + up + 0.001
        there = grasp_from_above(world.pose("cradle"), height=lying, symmetry=math.pi)
        yield move(shifted(grasp, (0, 0, 0.09)), shifted(there, (0, 0, 0.05)), opening=0.0)
        yield move(there, opening=0.0, pace=0.7)
        yield grip(1.0)
        yield move(shifted(there, (0, 0, 0.07)), opening=1.0)
