"""The appearance of a scene: table, floor, light and clutter of a plain look."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math
from typing import Protocol, runtime_checkable

import mujoco
import numpy as np

from action_images.sim.family_dressing import FamilyDressing
from action_images.sim.look import COLOURS, Look, Rgba
from action_images.sim.look_family import LookFamily
from action_images.sim.shapes import add_body, box, cylinder

MUTED = ((0.55, 0.55, 0.57), (0.72, 0.70, 0.66), (0.35, 0.35, 0.37))


@runtime_checkable
class Dressing(Protocol):
    """The look of one scene, drawn while the scene is made."""

    def colour(self, name: str) -> Rgba:
        """A named colour in this trial's shade."""
        ...

    def furniture_colour(self) -> Rgba:
        """A colour for objects that no instruction names by colour."""
        ...

    def finish(self) -> None:
        """Apply the steps that need the complete scene."""
        ...


def dress(spec: mujoco.MjSpec, look: Look | LookFamily, rng: np.random.Generator) -> Dressing:
    """Furnish a scene that contains only the arm, in a look."""
    if isinstance(look, LookFamily):
        return FamilyDressing(spec, look, rng)
    return PlainDressing(spec, look, rng)


class PlainDressing:
    """Plain colours, or one pattern on the table; one light."""

    def __init__(self, spec: mujoco.MjSpec, look: Look, rng: np.random.Generator):
        self._spec, self._look, self._rng = spec, look, rng
        self._furnish()
        self._add_light()
        self._add_clutter()

    def colour(self, name: str) -> Rgba:
        """A named colour in this trial's shade."""
        red, green, blue = (
            float(channel * self._rng.uniform(*self._look.shade)) for channel in COLOURS[name]
        )
        return red, green, blue, 1.0

    def furniture_colour(self) -> Rgba:
        """A colour for objects that no instruction names by colour."""
        return self._look.furniture.draw(self._rng)

    def finish(self) -> None:
        """Do nothing."""

    def _furnish(self) -> None:
        world, look, rng = self._spec.worldbody, self._look, self._rng
        self._spec.add_texture(
            name="sky",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
            width=8,
            height=48,
            rgb1=look.floor.draw(rng)[:3],
        )
        top = world.add_geom(
            name="table", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.55, 0.65, 0.02], pos=[0.37, 0, -0.02]
        )
        top.rgba, top.friction = look.table.draw(rng), [0.6, 0.005, 0.0001]
        floor = world.add_geom(
            name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[4, 4, 1], pos=[0, 0, -0.7]
        )
        floor.rgba = look.floor.draw(rng)
        if look.pattern is not None:
            top.material = self._pattern(look.pattern)

    def _pattern(self, builtin: str) -> str:
        first, second = self._look.table.draw(self._rng), self._look.table.draw(self._rng)
        kind = {
            "checker": mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
            "gradient": mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        }[builtin]
        self._spec.add_texture(
            name="table",
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            builtin=kind,
            width=64,
            height=64,
            rgb1=first[:3],
            rgb2=second[:3],
        )
        material = self._spec.add_material(name="table", texrepeat=[6, 6])
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "table"
        return "table"

    def _add_light(self) -> None:
        look, rng = self._look, self._rng
        tilt, turn = math.radians(rng.uniform(*look.light_tilt_deg)), rng.uniform(-math.pi, math.pi)
        towards = np.array(
            [math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), -math.cos(tilt)]
        )
        strength, ambient = rng.uniform(*look.brightness), rng.uniform(*look.ambient)
        self._spec.worldbody.add_light(
            name="sun",
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=list([0.45, 0, 0] - 2 * towards),
            dir=list(towards),
            diffuse=[strength] * 3,
            ambient=[0.0] * 3,
            specular=[0.1] * 3,
            castshadow=look.shadows,
        )
        # In shadow only lights without shadows remain, so the ambient part must not come from the sun.
        head = self._spec.visual.headlight
        head.active, head.ambient, head.diffuse, head.specular = 1, [ambient] * 3, [0.0] * 3, [0.0] * 3
        if look.shadows:
            self._spec.visual.quality.shadowsize = 1024

    def _add_clutter(self) -> None:
        """Add grey objects beyond the reach of every task, which are only visible."""
        rng = self._rng
        for index in range(rng.integers(self._look.clutter + 1)):
            side = rng.choice((-1, 1))
            at = (rng.uniform(0.15, 0.75), side * rng.uniform(0.42, 0.58), 0.0)
            body = add_body(self._spec.worldbody, f"clutter{index}", at, yaw=rng.uniform(-math.pi, math.pi))
            height, width = rng.uniform(0.02, 0.06), rng.uniform(0.02, 0.04)
            rgba = (*MUTED[rng.integers(len(MUTED))], 1.0)
            if rng.random() < 0.5:
                box(body, (width, width * rng.uniform(0.6, 1.4), height), rgba, at=(0, 0, height))
            else:
                cylinder(body, (width, height), rgba, at=(0, 0, height))
