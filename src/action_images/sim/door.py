"""A door on a vertical hinge, for the tasks that open and close one."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math
from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
import torch

from action_images.geometry import Pose
from action_images.sim.grasp import yaw_of
from action_images.sim.layout import colours
from action_images.sim.look import Rgba
from action_images.sim.motion import Motion, carried, downward, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder
from action_images.sim.world import World

THIN = 0.006
"""Half the thickness (m) of a door."""

FINGERS = (0.011, 0.014)
"""Half the extent (m) of the closed fingers along the tool's x and y."""

HANDLES = ("tab", "bar", "knob")
DARK = (0.15, 0.15, 0.16, 1.0)


@dataclass(frozen=True)
class Door:
    """The door of one trial: sizes in m.

    `side` is 1 if the hinge lies towards +y of the body, -1 if towards -y. `handle_height` is above the
    table, `handle_out` from the door's face to the middle of the part that the fingers hold.
    """

    width: float
    height: float
    side: int
    handle: str
    handle_height: float
    handle_out: float

    @classmethod
    def draw(cls, rng: np.random.Generator, *, width: tuple[float, float], height: float) -> "Door":
        """Draw a door of this height and a width from this range, hinged on either side."""
        return cls(
            width=rng.uniform(*width),
            height=height,
            side=int(rng.choice((-1, 1))),
            handle=str(rng.choice(HANDLES)),
            handle_height=max(0.035, height * rng.uniform(0.45, 0.75)),
            handle_out=rng.uniform(0.036, 0.046),
        )

    @property
    def handle_radius(self) -> float:
        """The distance from the hinge to the handle (m)."""
        return self.width - 0.022


def add_door(scene: Scene, body: mujoco.MjsBody, door: Door, *, at: tuple[float, float], rgba: Rgba) -> None:
    """Add the door with its hinge at x, y of the body; the joint "door" is its opening angle (rad)."""
    turning = {"axis": (0, 0, -door.side), "reach": (0, 1.75)}
    leaf = scene.part("door", body, at=(*at, 0.0), **turning, damping=[0.02, 0, 0], frictionloss=0.02)
    half, middle = door.width / 2, -door.side * door.width / 2
    box(leaf, (THIN, half, door.height / 2 - 0.003), rgba, at=(-THIN, middle, door.height / 2 + 0.003))
    y, z, out = -door.side * door.handle_radius, door.handle_height, 2 * THIN + door.handle_out
    if door.handle == "tab":
        box(leaf, (door.handle_out / 2 + 0.008, 0.008, 0.018), DARK, at=(-out + door.handle_out / 2, y, z))
    elif door.handle == "bar":
        box(leaf, (0.007, 0.008, 0.026), DARK, at=(-out, y, z))
        for end in (-1, 1):
            box(
                leaf,
                (door.handle_out / 2, 0.006, 0.004),
                DARK,
                at=(-out + door.handle_out / 2, y, z + 0.02 * end),
            )
    else:
        cylinder(leaf, (0.013, 0.012), DARK, at=(-out, y, z))
        box(leaf, (door.handle_out / 2, 0.005, 0.005), DARK, at=(-out + door.handle_out / 2, y, z))


def shut_door(world: World, door: Door) -> Iterator[Motion]:
    """Move down beside the door's outer face with closed fingers, then along the arc of its hinge."""
    angle, height = world.joint("door"), max(0.03, door.height - 0.04)
    radius = 0.55 * door.width
    before = _beside(world, door, radius, angle, off=_thickness(angle) + 0.03, height=height)
    above = shifted(before, (0, 0, max(0.10, door.height + 0.03 - height)))
    yield move(above, before, opening=0.0)
    angles = [angle * (1 - (step + 1) / 14) for step in range(14)]
    path = [_beside(world, door, radius, a, off=_thickness(a), height=height) for a in angles]
    last = _beside(world, door, radius, 0.0, off=_thickness(0.0) - 0.006, height=height)
    yield move(*path, last, opening=0.0, pace=0.8)


def pull_door_open(world: World, door: Door, angle: float) -> Iterator[Motion]:
    """Move over the handle and down, close the fingers, then move by `angle` (rad) along the hinge's arc."""
    off = 2 * THIN + door.handle_out
    grasp = _beside(world, door, door.handle_radius, 0.0, off=off, height=door.handle_height)
    yield move(shifted(grasp, (0, 0, max(0.08, door.height + 0.02 - door.handle_height))), opening=1.0)
    yield move(grasp, opening=1.0)
    yield grip(0.0)
    hinge = world.pose("door").translation
    yield move(*carried(grasp, hinge, (0, 0, -door.side), angle), opening=0.0)


def _beside(world: World, door: Door, radius: float, angle: float, *, off: float, height: float) -> Pose:
    """The tool pointing down, `off` from the face of a door opened by `angle`, `radius` from its hinge."""
    hinge, yaw = world.pose("door").translation, _yaw(world)
    x = -radius * math.sin(angle) - off * math.cos(angle)
    y = door.side * (-radius * math.cos(angle) + off * math.sin(angle))
    cos, sin = math.cos(yaw), math.sin(yaw)
    at = hinge + torch.tensor([cos * x - sin * y, sin * x + cos * y, height], dtype=torch.float64)
    return downward(at, yaw)


def _thickness(angle: float) -> float:
    """The distance (m) from the tool point to the face of a door opened by `angle`, with fingers touching."""
    return 2 * THIN + FINGERS[0] * abs(math.cos(angle)) + FINGERS[1] * abs(math.sin(angle))


def _yaw(world: World) -> float:
    parent = world.model.body(int(world.model.body("door").parentid[0])).name
    return yaw_of(world.pose(parent))


def add_cupboard_with_door(
    scene: Scene, rng: np.random.Generator, *, width: tuple[float, float]
) -> tuple[Door, str]:
    """Add a cupboard beyond the middle of the table; returns its door, with a width (m) from a range, and the
    paint."""
    door = Door.draw(rng, width=width, height=rng.uniform(0.09, 0.15))
    depth, half_width = rng.uniform(0.05, 0.07), door.width / 2 + 0.004
    at = (rng.uniform(0.61, 0.65), rng.uniform(-0.09, 0.09), 0.0)
    body = scene.body("cupboard", at, yaw=rng.uniform(-0.7, 0.7))
    add_cupboard(body, (depth, half_width), door.height, scene.furniture_colour())
    hinge, paint = (-depth, door.side * door.width / 2), colours(rng, 1)[0]
    add_door(scene, body, door, at=hinge, rgba=scene.colour(paint))
    return door, paint


def add_cupboard(body: mujoco.MjsBody, half: tuple[float, float], height: float, rgba: Rgba) -> None:
    """Add walls around a space that is open towards -x: half depth and half width, and height (m)."""
    depth, width = half
    thin = 0.005
    for side in (-1, 1):
        box(body, (depth, thin, height / 2), rgba, at=(0, side * (width - thin), height / 2))
    for z in (thin, height - thin):
        box(body, (depth, width, thin), rgba, at=(0, 0, z))
    box(body, (thin, width, height / 2), rgba, at=(depth - thin, 0, height / 2))
