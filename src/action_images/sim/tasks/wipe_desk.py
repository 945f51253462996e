"""Wipe the spots off the table with the sponge; only the sponge can press them away."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math
from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import Grammar
from action_images.sim.grasp import CLEARANCE, grasp_from_above
from action_images.sim.layout import HIGH, LOW, colours, scatter
from action_images.sim.motion import Motion, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box
from action_images.sim.task import Task
from action_images.sim.world import World

BALL, DEEP = 0.06, 0.0035
"""A spot is the cap of a ball of radius BALL (m) that rises DEEP (m) over the table."""

ONLY_SPONGE = 2
"""The bit of MuJoCo's contact types that spots and sponge share."""

BROWNS = ((0.25, 0.15, 0.07, 1.0), (0.33, 0.20, 0.10, 1.0), (0.16, 0.12, 0.10, 1.0))


@dataclass(frozen=True)
class WipeDesk(Task):
    """Success: every spot is pressed into the table by at least two thirds of its height."""

    phrasings = (
        "wipe the desk",
        "wipe the spots off the table with the sponge",
        "clean the table with the sponge",
        "wipe the dirt away",
    )
    kept_out = ("wipe the table clean", "wipe the spots away with the sponge")
    grammar = Grammar(
        (
            "wipe {thing}",
            "clean {thing}",
            "wipe {thing} with the sponge",
            "clean {thing} with the sponge",
            "wipe the spots off {thing}",
            "wipe {thing} clean",
        ),
        ("the desk", "the table", "the dirty table", "the table top"),
    )
    max_steps = 170
    spots: tuple[str, ...]

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A sponge, and three to five spots together on another part of the table."""
        half = (rng.uniform(0.034, 0.044), rng.uniform(0.024, 0.031), rng.uniform(0.016, 0.021))
        (x, y, _), middle = scatter(rng, 2, 0.19, (LOW[0] + 0.02, LOW[1], 0.0), HIGH)
        sponge = scene.body("sponge", (x, y, half[2]), yaw=rng.uniform(-math.pi, math.pi), free=True)
        geom = box(sponge, half, scene.colour(colours(rng, 1)[0]))
        geom.conaffinity, geom.friction = 1 | ONLY_SPONGE, [0.3, 0.02, 0.0005]
        rgba, names = BROWNS[rng.integers(len(BROWNS))], []
        num, reach = int(rng.integers(3, 6)), np.array([0.055, 0.055, 0.0])
        for number, at in enumerate(scatter(rng, num, 0.04, tuple(middle - reach), tuple(middle + reach))):
            names.append(f"spot{number}")
            _add_spot(scene, names[-1], at, rgba)
        return cls(tuple(names))

    def succeeded(self, world: World) -> bool:
        """Judged by how far the spots are pressed down."""
        return all(world.joint(spot) > DEEP * 2 / 3 for spot in self.spots)

    def motions(self, world: World) -> Iterator[Motion]:
        """Grip the sponge as it lies, bring it beside the spots, and pass over the middle of each."""
        grasp = grasp_from_above(world.pose("sponge"), symmetry=math.pi)
        yield move(shifted(grasp, (0, 0, CLEARANCE)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        here, left, stops = grasp.translation, list(self.spots), []
        while left:
            nearest = min(left, key=lambda spot: (world.pose(spot).translation - here)[:2].norm().item())
            left.remove(nearest)
            here = world.pose(nearest).translation
            x, y, _ = (here - grasp.translation).tolist()
            stops.append(shifted(grasp, (x, y, -0.003)))
        yield move(*stops, opening=0.0, pace=0.8)


def _add_spot(scene: Scene, name: str, at: np.ndarray, rgba: tuple[float, float, float, float]) -> None:
    sinking = {"at": (*at[:2], DEEP - BALL), "axis": (0, 0, -1), "reach": (0, 0.006), "slides": True}
    spot = scene.part(name, scene.spec.worldbody, **sinking, damping=[1.0, 0, 0], frictionloss=0.3)
    spot.gravcomp = 1
    spot.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=[BALL, 0, 0],
        rgba=list(rgba),
        density=300,
        contype=ONLY_SPONGE,
        conaffinity=0,
        friction=[0.1, 0.005, 0.0001],
    )
