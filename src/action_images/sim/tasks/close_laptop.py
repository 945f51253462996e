"""Fold a laptop shut; held out of all training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import CLOSE, Grammar
from action_images.sim.lid import shut
from action_images.sim.motion import Motion
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, ghost
from action_images.sim.task import Task
from action_images.sim.world import World

DEPTH, WIDTH, THIN = 0.065, 0.095, 0.005
"""Half depth, half width and half thickness (m) of each of the two halves."""


@dataclass(frozen=True)
class CloseLaptop(Task):
    """Success: the screen within 12 degrees of shut."""

    phrasings = ("close the laptop", "shut the laptop", "fold the laptop closed", "close the laptop lid")
    kept_out = ("push the laptop shut", "fold the lid of the laptop down")
    grammar = Grammar(
        (*CLOSE, "fold {thing} shut"),
        ("the laptop", "the laptop lid", "the lid of the laptop", "the screen of the laptop"),
    )
    open_angle: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A laptop that faces the arm, 95 to 115 degrees open."""
        at = (rng.uniform(0.42, 0.48), rng.uniform(-0.12, 0.12), 0.0)
        base = scene.body("laptop", at, yaw=rng.uniform(-0.4, 0.4))
        shell, dark = scene.furniture_colour(), (0.10, 0.10, 0.12, 1.0)
        box(base, (DEPTH, WIDTH, THIN), shell, at=(0, 0, THIN))
        ghost(box(base, (DEPTH * 0.6, WIDTH * 0.85, 0.001), dark, at=(0.015, 0, 2 * THIN)))
        open_angle = math.radians(rng.uniform(95, 115))
        screen = scene.part(
            "screen",
            base,
            at=(DEPTH, 0, 3 * THIN),
            axis=(0, 1, 0),
            reach=(0, open_angle),
            damping=[0.02, 0, 0],
            frictionloss=0.03,
        )
        box(screen, (DEPTH, WIDTH, THIN), shell, at=(-DEPTH, 0, 0))
        ghost(box(screen, (DEPTH * 0.85, WIDTH * 0.9, 0.001), (0.25, 0.55, 0.95, 1.0), at=(-DEPTH, 0, -THIN)))
        return cls(open_angle)

    def prepare(self, world: World) -> None:
        """Set it open."""
        world.set_joint("screen", self.open_angle)

    def succeeded(self, world: World) -> bool:
        """Judged by the hinge's angle."""
        return world.joint("screen") < math.radians(12)

    def motions(self, world: World) -> Iterator[Motion]:
        """Push the screen from behind, along the hinge's arc."""
        return shut(world, "screen", radius=1.6 * DEPTH, height=THIN)
