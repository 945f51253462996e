"""A cabinet with one drawer, for the tasks that open and close it."""

from dataclasses import dataclass

import numpy as np

from action_images.geometry import Pose
from action_images.sim.grasp import yaw_of
from action_images.sim.layout import colours
from action_images.sim.motion import downward
from action_images.sim.scene import Scene
from action_images.sim.shapes import box
from action_images.sim.world import World

TRAVEL = 0.13

SLIDE = {"damping": [3.0, 0, 0], "frictionloss": 0.2}


@dataclass(frozen=True)
class Cabinet:
    """Half sizes (m) of the cabinet; the drawer opens towards -x of its frame.

    `handle` is the length (m) of the handle, an upright tab on the drawer's front, `paint` the drawer's
    colour.
    """

    depth: float
    width: float
    height: float
    handle: float
    paint: str


def add_cabinet(scene: Scene, rng: np.random.Generator) -> Cabinet:
    """Add a cabinet beyond the middle of the table, turned by up to 20 degrees.

    The joint "drawer" is the distance by which the drawer is open (m).
    """
    at = (rng.uniform(0.62, 0.66), rng.uniform(-0.10, 0.10), 0.0)
    body = scene.body("cabinet", at, yaw=rng.uniform(-0.35, 0.35))
    cabinet = Cabinet(
        depth=scene.size(0.07, 0.062, 0.078),
        width=scene.size(0.09, 0.07, 0.11),
        height=scene.size(0.045, 0.042, 0.055),
        handle=scene.size(0.045, 0.038, 0.054),
        paint=colours(rng, 1)[0],
    )
    depth, width, height = cabinet.depth, cabinet.width, cabinet.height
    rgba, thin = scene.furniture_colour(), 0.005
    for side in (-1, 1):
        box(body, (depth, thin, height), rgba, at=(0, side * (width - thin), height))
    box(body, (depth, width, thin), rgba, at=(0, 0, 2 * height - thin))
    box(body, (thin, width, height), rgba, at=(depth - thin, 0, height))
    _add_drawer(scene, body, cabinet)
    return cabinet


def _add_drawer(scene: Scene, body: object, cabinet: Cabinet) -> None:
    width, handle = cabinet.width, cabinet.handle
    place = {"at": (-cabinet.depth, 0, 0.042), "axis": (-1, 0, 0), "reach": (0, TRAVEL)}
    drawer = scene.part("drawer", body, slides=True, **place, **SLIDE)
    rgba, pale = scene.colour(cabinet.paint), (0.85, 0.83, 0.78, 1.0)
    box(drawer, (0.006, width - 0.004, 0.038), rgba, at=(-0.006, 0, 0))
    box(drawer, (0.055, width - 0.02, 0.003), pale, at=(0.06, 0, -0.03))
    for side in (-1, 1):
        box(drawer, (0.055, 0.003, 0.022), pale, at=(0.06, side * (width - 0.02), -0.01))
    box(drawer, (handle / 2, 0.009, 0.018), (0.15, 0.15, 0.16, 1.0), at=(-0.012 - handle / 2, 0, 0.006))


def tool_before_drawer(world: World, before: float, height: float) -> Pose:
    """The tool pointing down, `before` m in front of the drawer's face in its current position."""
    drawer = world.pose("drawer")
    x, y, _ = (drawer.translation - drawer.rotation[:, 0] * (0.012 + before)).tolist()
    return downward((x, y, height), yaw_of(drawer))


def along_drawer(world: World, pose: Pose, outward: float) -> Pose:
    """The same pose `outward` m further in the direction in which the drawer opens."""
    return Pose(pose.rotation, pose.translation - world.pose("drawer").rotation[:, 0] * outward)
