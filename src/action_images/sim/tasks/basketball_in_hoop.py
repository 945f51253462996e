"""Put the ball into the hoop; held out of all training."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math
from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import PUT_IN, Grammar
from action_images.sim.grasp import CLEARANCE
from action_images.sim.layout import FAR, NEAR, SIDE
from action_images.sim.motion import Motion, downward, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder, ring
from action_images.sim.task import Task
from action_images.sim.world import World

ORANGE, RIM, NET = (0.90, 0.42, 0.10, 1.0), (0.85, 0.20, 0.10, 1.0), (0.95, 0.95, 0.95, 1.0)
NET_HEIGHT = 0.05


@dataclass(frozen=True)
class BasketballInHoop(Task):
    """Success: the ball in the net, below the rim, the gripper open."""

    phrasings = (
        "put the ball in the hoop",
        "drop the basketball into the hoop",
        "place the ball in the basket",
        "dunk the basketball",
    )
    kept_out = ("the ball goes into the hoop", "drop the ball in the hoop")
    grammar = Grammar(
        PUT_IN,
        ("the ball", "the basketball", "the orange ball", "the ball that is orange"),
        ("the hoop", "the basket", "the net"),
    )
    max_steps = 150
    clear_height = 0.26
    radius: float
    rim: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A ball on the near half of the table, a hoop with a backboard and a closed net on the far half."""
        radius, hoop, rim = rng.uniform(0.021, 0.028), rng.uniform(0.05, 0.06), rng.uniform(0.11, 0.17)
        at = (rng.uniform(FAR - 0.05, FAR + 0.01), rng.uniform(-SIDE + 0.04, SIDE - 0.04), 0.0)
        yaw = rng.uniform(-0.6, 0.6)
        stand, rgba = scene.body("stand", at, yaw=yaw), scene.furniture_colour()
        net = scene.body("net", (0, 0, rim - NET_HEIGHT), parent=stand)
        ring(net, hoop, NET_HEIGHT / 2, NET, half_thickness=0.002)
        cylinder(net, (hoop, 0.002), NET, at=(0, 0, 0.002))
        for side in range(8):
            angle = 2 * math.pi * side / 8
            turned = [math.cos(angle / 2), 0, 0, math.sin(angle / 2)]
            place = (hoop * math.cos(angle), hoop * math.sin(angle), NET_HEIGHT)
            box(net, (0.004, hoop * math.tan(math.pi / 8) + 0.002, 0.004), RIM, at=place, quat=turned)
        back, tall = hoop + 0.012, (rim + 0.05) / 2
        box(stand, (0.006, 0.012, tall), (0.30, 0.31, 0.33, 1.0), at=(back + 0.01, 0, tall))
        box(stand, (0.004, 0.07, 0.035), rgba, at=(back, 0, rim + 0.02))
        ball_at = (rng.uniform(NEAR, NEAR + 0.07), rng.uniform(-SIDE + 0.02, SIDE - 0.02), radius)
        ball = scene.body("ball", ball_at, free=True)
        rolling = {"density": 300, "condim": 6, "friction": [1.0, 0.02, 0.002]}
        kind = {"type": mujoco.mjtGeom.mjGEOM_SPHERE, "size": [radius, 0, 0], "rgba": list(ORANGE)}
        ball.add_geom(**kind, **rolling)
        return cls(radius, rim)

    def succeeded(self, world: World) -> bool:
        """Judged by the ball's place in the net's frame."""
        x, y, z = world.pose("net").inverse().apply(world.pose("ball").translation).tolist()
        return math.hypot(x, y) < 0.06 and 0 < z < NET_HEIGHT and world.opening > 0.5

    def motions(self, world: World) -> Iterator[Motion]:
        """Grip the ball, carry it over the rim, release it."""
        grasp = downward(world.pose("ball").translation)
        yield move(shifted(grasp, (0, 0, CLEARANCE)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        x, y, _ = world.pose("net").translation.tolist()
        over = downward((x, y, self.rim + self.radius + 0.035))
        start_x, start_y, _ = grasp.translation.tolist()
        yield move(downward((start_x, start_y, self.rim + 0.06)), over, opening=0.0)
        yield move(shifted(over, (0, 0, -0.025)), opening=0.0)
        yield grip(1.0)
