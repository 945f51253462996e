"""Take the door of an oven by its bar and pull it down and open."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from typing_extensions import Self

from action_images.geometry import Pose
from action_images.sim.door import add_cupboard
from action_images.sim.grammar import OPEN, Grammar
from action_images.sim.grasp import yaw_of
from action_images.sim.layout import colours
from action_images.sim.motion import Motion, downward, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder, ghost
from action_images.sim.task import Task
from action_images.sim.world import World

THIN, HINGE = 0.006, 0.012
"""Half the thickness of the door, and the height of its hinge (m)."""


@dataclass(frozen=True)
class OpenOven(Task):
    """Success: the door at least 40 degrees down."""

    phrasings = (
        "open the oven",
        "pull the oven door open",
        "pull down the door of the oven",
        "open the oven door by its handle",
    )
    kept_out = ("pull the oven open by its handle", "open the door of the oven")
    grammar = Grammar(
        (*OPEN, "pull {thing} down and open"),
        ("the oven", "the oven door", "the door of the oven", "the {paint} oven door"),
    )
    max_steps = 140
    clear_height = 0.22
    handle_up: float
    handle_out: float
    paint: str

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """An oven beyond the middle of the table; its door, hinged below, is shut."""
        height, depth, width = rng.uniform(0.11, 0.15), rng.uniform(0.055, 0.07), rng.uniform(0.08, 0.11)
        at = (rng.uniform(0.61, 0.65), rng.uniform(-0.08, 0.08), 0.0)
        body, rgba = scene.body("oven", at, yaw=rng.uniform(-0.5, 0.5)), scene.furniture_colour()
        add_cupboard(body, (depth, width), height, rgba)
        place = {"at": (-depth, 0, HINGE), "axis": (0, -1, 0), "reach": (0, 1.5)}
        door = scene.part("door", body, **place, damping=[0.05, 0, 0], frictionloss=0.12)
        half, paint = (height - HINGE) / 2, colours(rng, 1)[0]
        box(door, (THIN, width, half - 0.002), scene.colour(paint), at=(-THIN, 0, half))
        glass = (0.001, 0.7 * width, 0.45 * half)
        ghost(box(door, glass, (0.08, 0.08, 0.10, 1.0), at=(-2 * THIN - 0.001, 0, 0.9 * half)))
        up, out, bar = 2 * half - rng.uniform(0.014, 0.024), rng.uniform(0.034, 0.044), 0.6 * width
        turned = [math.cos(math.pi / 4), math.sin(math.pi / 4), 0, 0]
        cylinder(door, (0.008, bar), (0.75, 0.76, 0.78, 1.0), at=(-2 * THIN - out, 0, up), quat=turned)
        for side in (-1, 1):
            post = (-2 * THIN - out / 2, 0.9 * side * bar, up)
            box(door, (out / 2, 0.005, 0.005), (0.55, 0.56, 0.58, 1.0), at=post)
        return cls(up, 2 * THIN + out, paint)

    def succeeded(self, world: World) -> bool:
        """Judged by the hinge's angle."""
        return world.joint("door") > math.radians(40)

    def motions(self, world: World) -> Iterator[Motion]:
        """Move across the bar from above, close, then move along the hinge's arc, the hand pointing down."""
        grasp = self._at(world, 0.0)
        yield move(shifted(grasp, (0, 0, 0.08)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        arc = [self._at(world, math.radians(56) * (step + 1) / 12) for step in range(12)]
        yield move(*arc, opening=0.0)

    def _at(self, world: World, angle: float) -> Pose:
        """The tool across the bar of a door that is open by `angle` (rad)."""
        oven, hinge = yaw_of(world.pose("oven")), world.pose("door").translation
        back = self.handle_out * math.cos(angle) + self.handle_up * math.sin(angle)
        up = self.handle_up * math.cos(angle) - self.handle_out * math.sin(angle)
        along = torch.tensor([-back * math.cos(oven), -back * math.sin(oven), up], dtype=torch.float64)
        return downward(hinge + along, math.remainder(oven + math.pi / 2, math.pi))
