"""Solid shapes for a task's objects, and the bodies that carry them."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math
from collections.abc import Sequence

import mujoco
import numpy as np

from action_images.sim.look import Rgba

Numbers = Sequence[float] | np.ndarray


def add_body(parent: mujoco.MjsBody, name: str, at: Numbers, yaw: float = 0.0) -> mujoco.MjsBody:
    """A body at `at` (m) in its parent, turned by `yaw` (rad) about z."""
    half = yaw / 2
    return parent.add_body(name=name, pos=list(at), quat=[math.cos(half), 0, 0, math.sin(half)])


def box(
    body: mujoco.MjsBody, half_size: Numbers, rgba: Rgba, at: Numbers = (0, 0, 0), **more: object
) -> mujoco.MjsGeom:
    """Add a box of these half lengths (m), centred at `at` in the body."""
    return _geom(body, mujoco.mjtGeom.mjGEOM_BOX, half_size, rgba, at, more)


def cylinder(
    body: mujoco.MjsBody, size: Numbers, rgba: Rgba, at: Numbers = (0, 0, 0), **more: object
) -> mujoco.MjsGeom:
    """Add an upright cylinder, `size` being its radius and half height (m)."""
    return _geom(body, mujoco.mjtGeom.mjGEOM_CYLINDER, (*size, 0.0), rgba, at, more)


def ring(
    body: mujoco.MjsBody,
    radius: float,
    half_height: float,
    rgba: Rgba,
    num_sides: int = 8,
    half_thickness: float = 0.004,
) -> None:
    """Add an upright wall of `num_sides` boxes around the body's origin, `radius` (m) to its middle."""
    half_side = (radius + half_thickness) * math.tan(math.pi / num_sides)
    for side in range(num_sides):
        angle = 2 * math.pi * side / num_sides
        at = (radius * math.cos(angle), radius * math.sin(angle), half_height)
        box(
            body,
            (half_thickness, half_side, half_height),
            rgba,
            at,
            quat=[math.cos(angle / 2), 0, 0, math.sin(angle / 2)],
        )


def ghost(geom: mujoco.MjsGeom) -> mujoco.MjsGeom:
    """Make a geom visible but intangible."""
    geom.contype = geom.conaffinity = 0
    return geom


def _geom(
    body: mujoco.MjsBody, kind: mujoco.mjtGeom, size: Numbers, rgba: Rgba, at: Numbers, more: dict
) -> mujoco.MjsGeom:
    return body.add_geom(
        type=kind,
        size=list(size),
        rgba=list(rgba),
        pos=list(at),
        density=300,
        friction=[1.0, 0.02, 0.0005],
        condim=4,
        **more,
    )
