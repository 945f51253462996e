"""Experts of LIBERO's suites that pick and place one object: motions of the tool."""

import math
import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from action_images.benchmarks.libero import OBJECT, SPATIAL
from action_images.sim.motion import Motion, downward, grip, move, shifted

if TYPE_CHECKING:
    from action_images.benchmarks.robosuite_environment import Robosuite, Script

RIM, DEEP = 0.008, 0.02
"""The grip of a bowl's rim: its distance inside the edge and below it (m)."""
NARROW = ("drawer", "next_to_the_ramekin")
"""Places where the fingers must close along the world's x: between a drawer's walls, and beside a ramekin."""
REACH = 0.04
"""The depth to which the fingers reach beside a tall object (m)."""
HAND = (0.035, 0.105)
"""Half the extent (m) of the hand along the tool's x, and along its y, in which the fingers close."""
PALM = 0.05
"""The height (m) of the hand's underside above the point between the fingertips."""
FINGER = 0.012
"""Half the width (m) of a finger, which stays on the object."""
ROOM = 0.01
"""The gap (m) between the hand and a neighbour that is enough."""


def script_for(task: str) -> "Script | None":
    """The expert of a task; None if it has none."""
    if task in OBJECT:
        thing = task.removeprefix("pick_up_the_").removesuffix("_and_place_it_in_the_basket")
        return partial(put_into_basket, thing)
    if task in SPATIAL:
        along = 0 if any(place in task for place in NARROW) else 1
        return partial(put_bowl_on_plate, along)
    return None


def put_into_basket(thing: str, world: "Robosuite") -> Iterator[Motion]:
    """Put an object from the floor into the basket, gripped from above across its narrow side."""
    centre, half, axes = bounds(world, f"{thing}_1_main")
    tall = int(np.argmax(np.abs(axes[2])))
    narrow = min((axis for axis in range(3) if axis != tall), key=lambda axis: half[axis])
    across = math.atan2(axes[1, narrow], axes[0, narrow]) - math.pi / 2  # fingers close along the tool's y
    long = 3 - tall - narrow
    place = centre.copy()
    place[2] = max(centre[2] + half[tall] - REACH, centre[2])
    place[:2] += _aside(world, thing, place, axes[:2, long], half[long])
    yaw = turned_least(world, across)
    yield from take(place, yaw=yaw, up=0.22)
    basket = world.body("basket_1_main").translation.numpy()
    low = np.array([basket[0], basket[1], basket[2] + 0.12 + max(half[tall] - 0.05, 0.0)])
    above = np.array([basket[0], basket[1], place[2] + 0.22])
    yield from leave(above, low, yaw=yaw)


def _aside(world: "Robosuite", thing: str, place: np.ndarray, along: np.ndarray, half: float) -> np.ndarray:
    """How far from the middle of an object (x and y in m) the hand fits between its neighbours.

    `along` is the direction (x, y) of the object's longer side, `half` half its length. Zero if the hand fits
    in the middle, else as little as possible, or where most room is.
    """
    along = along / np.linalg.norm(along)
    across = np.array([-along[1], along[0]])
    neighbours = [bounds(world, name) for name in _things(world) if name != f"{thing}_1_main"]
    in_the_way = [
        (centre[:2], np.sort(size)[1])  # taken as round
        for centre, size, axes in neighbours
        if centre[2] + np.abs(axes[2]) @ size > place[2] + PALM
    ]

    def room(shift: float) -> float:
        """The least gap (m) between the hand and a neighbour."""
        hand = place[:2] + shift * along
        gaps = [
            math.hypot(
                max(abs((centre - hand) @ along) - HAND[0], 0.0),
                max(abs((centre - hand) @ across) - HAND[1], 0.0),
            )
            - radius
            for centre, radius in in_the_way
        ]
        return min(gaps, default=math.inf)

    most = max(half - FINGER, 0.0)
    shifts = sorted(np.linspace(-most, most, 9), key=abs)
    return along * next((shift for shift in shifts if room(shift) > ROOM), max(shifts, key=room))


def _things(world: "Robosuite") -> list[str]:
    """The bodies of the objects that lie beside the basket."""
    names = map(str, world.simulator.sim.model.body_names)
    return [name for name in names if re.search(r"_\d+_main$", name) and name != "basket_1_main"]


def put_bowl_on_plate(along: int, world: "Robosuite") -> Iterator[Motion]:
    """Put the bowl, gripped by its rim, onto the plate.

    `along` is the axis of the world (0 or 1) in which the fingers close. They grip the side that is nearer to
    the arm's middle.
    """
    centre, half, axes = bounds(world, "akita_black_bowl_1_main")
    tall = int(np.argmax(np.abs(axes[2])))
    radius = max(half[axis] for axis in range(3) if axis != tall) - RIM
    aside = np.zeros(3)
    aside[along] = min((radius, -radius), key=lambda side: abs(centre[along] + side))
    place = centre + aside + np.array([0.0, 0.0, half[tall] - DEEP])
    yaw = turned_least(world, 0.0 if along else math.pi / 2)
    yield from take(place, yaw=yaw, up=0.12)
    plate = world.body("plate_1_main").translation.numpy()
    over = plate + aside
    above = np.array([over[0], over[1], max(place[2], plate[2] + 0.05) + 0.12])
    low = np.array([over[0], over[1], plate[2] + 2 * half[tall] - DEEP + 0.03])
    yield from leave(above, low, yaw=yaw, pace=0.7)  # a rim slips


def take(place: np.ndarray, *, yaw: float, up: float) -> Iterator[Motion]:
    """Grip the object at a place from above, and lift it by `up` (m)."""
    grasp = downward(place, yaw)
    yield move(shifted(grasp, (0, 0, 0.15)), opening=1.0)
    yield move(grasp, opening=1.0)
    yield grip(1.0, num_steps=3)
    yield grip(0.0, num_steps=10)
    yield move(shifted(grasp, (0, 0, up)), opening=0.0)


def leave(above: np.ndarray, low: np.ndarray, *, yaw: float, pace: float = 1.0) -> Iterator[Motion]:
    """Move the held object over a place and down to it, and release it."""
    goal = downward(low, yaw)
    yield move(downward(above, yaw), opening=0.0, pace=pace)
    yield move(goal, opening=0.0, pace=pace)
    yield grip(0.0, num_steps=4)
    yield grip(1.0, num_steps=8)
    yield move(shifted(goal, (0, 0, 0.12)), opening=1.0)


def turned_least(world: "Robosuite", yaw: float) -> float:
    """The yaw (rad) of the same grasp that is nearest to the hand's current yaw."""
    turn = world.tool.rotation
    now = math.atan2(turn[1, 0].item(), turn[0, 0].item())
    return yaw + math.pi * round((now - yaw) / math.pi)


def bounds(world: "Robosuite", body: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An object's box: its centre (m, world), its half sizes along its own axes, and these axes (columns)."""
    model, data = world.model, world.data
    root = model.body(body).id
    axes, place = data.xmat[root].reshape(3, 3), data.xpos[root]
    corners = [
        (_corners(model, data, geom) - place) @ axes
        for geom in range(model.ngeom)
        if model.geom_group[geom] == 0 and _belongs(model, geom, root)
    ]
    low, high = np.concatenate(corners).min(0), np.concatenate(corners).max(0)
    return place + axes @ ((low + high) / 2), (high - low) / 2, axes.copy()


def _corners(model: Any, data: Any, geom: int) -> np.ndarray:
    """(8, 3) corners of a shape's box (m, world)."""
    signs = np.stack(np.meshgrid((-1, 1), (-1, 1), (-1, 1)), -1).reshape(8, 3)
    inside = model.geom_aabb[geom][:3] + signs * model.geom_aabb[geom][3:]
    return data.geom_xpos[geom] + inside @ data.geom_xmat[geom].reshape(3, 3).T


def _belongs(model: Any, geom: int, root: int) -> bool:
    """Whether a shape is part of a body or of its descendants."""
    body = model.geom_bodyid[geom]
    while body not in (0, root):
        body = model.body_parentid[body]
    return bool(body == root)
