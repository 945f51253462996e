"""The appearance of a scene in a family of looks: random textures, robot colours, lights and clutter."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

import math
from collections.abc import Iterable

import mujoco
import numpy as np

from action_images.sim.look import COLOURS, Rgba
from action_images.sim.look_family import PLAIN, LookFamily, Surface
from action_images.sim.shapes import add_body
from action_images.sim.textures import texture

SHADES = (0.45, 1.0)
"""Factors that a pattern on furniture applies to its colour: it darkens the colour and keeps its hue."""

FINGER, JOINT = 0.22, 0.31
"""Parts of arm.xml are identified by their red value: fingers lie below the first, joints below the other."""


class FamilyDressing:
    """One draw of a family of looks."""

    def __init__(self, spec: mujoco.MjSpec, look: LookFamily, rng: np.random.Generator):
        self._spec, self._look, self._rng = spec, look, rng
        self._num_textures = 0
        self._materials: dict[tuple[float, ...], str] = {}
        self._paint_robot()
        self._furnish()
        self._add_lights()
        self._add_clutter()

    def colour(self, name: str) -> Rgba:
        """A named colour in this trial's shade."""
        red, green, blue = (
            float(channel * self._rng.uniform(*self._look.shade)) for channel in COLOURS[name]
        )
        return red, green, blue, 1.0

    def furniture_colour(self) -> Rgba:
        """A colour for objects that no instruction names by colour, at random with a texture."""
        rgba, kind = self._look.furniture.draw(self._rng)[0], self._rng.choice(self._look.furniture.textures)
        if kind != PLAIN:
            grey = np.repeat(self._rng.permutation(SHADES)[:, None], 3, axis=1)
            self._materials[_key(rgba)] = self._material(kind, grey)
        return rgba

    def finish(self) -> None:
        """Apply the textures to all parts that are painted in a furniture's colour."""
        for geom in self._spec.geoms:
            material = self._materials.get(_key(geom.rgba))
            if material is not None:
                geom.material = material

    def _paint_robot(self) -> None:
        look, rng = self._look, self._rng
        links, joints, fingers = (one.draw(rng)[0] for one in (look.links, look.joints, look.fingers))
        for geom in self._spec.geoms:
            red = float(geom.rgba[0])
            geom.rgba = list(fingers if red < FINGER else joints if red < JOINT else links)

    def _furnish(self) -> None:
        world, look, rng = self._spec.worldbody, self._look, self._rng
        above, below = look.floor.draw(rng, 2)
        self._spec.add_texture(
            name="sky",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
            width=16,
            height=96,
            rgb1=above[:3],
            rgb2=below[:3],
        )
        top = world.add_geom(
            name="table", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.55, 0.65, 0.02], pos=[0.37, 0, -0.02]
        )
        top.friction = [0.6, 0.005, 0.0001]
        floor = world.add_geom(
            name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[4, 4, 1], pos=[0, 0, -0.7]
        )
        self._cover(top, look.table)
        self._cover(floor, look.floor)

    def _cover(self, geom: mujoco.MjsGeom, surface: Surface) -> None:
        first, second = surface.draw(self._rng, 2)
        kind = str(self._rng.choice(surface.textures))
        if kind == PLAIN:
            geom.rgba = list(first)
        else:
            geom.material = self._material(kind, np.array([first[:3], second[:3]]))

    def _material(self, kind: str, paints: np.ndarray) -> str:
        """A new material with a texture in two paints (2, 3)."""
        name = f"texture{self._num_textures}"
        self._num_textures += 1
        image = texture(kind, self._rng, paints)
        size = {"width": image.shape[1], "height": image.shape[0], "nchannel": 3}
        added = self._spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, **size)
        added.data = image.tobytes()
        repeats = [1, 1] if kind == "gradient" else [float(self._rng.uniform(1, 4))] * 2
        material = self._spec.add_material(name=name, texrepeat=repeats)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        return name

    def _add_lights(self) -> None:
        look, rng = self._look, self._rng
        shadows = bool(rng.random() < look.shadow_share)
        strength, ambient = rng.uniform(*look.brightness), rng.uniform(*look.ambient)
        tint = rng.uniform(*look.light_tint, 3)
        self._light("sun", rng.uniform(*look.light_tilt_deg), strength * tint, shadows=shadows)
        fill = rng.uniform(*look.fill)
        if fill > 0.02:
            self._light("fill", rng.uniform(*look.light_tilt_deg), [fill] * 3, shadows=False)
        # In shadow only lights without shadows remain, so the ambient part must not come from the sun.
        head = self._spec.visual.headlight
        head.active, head.ambient, head.diffuse, head.specular = 1, [ambient] * 3, [0.0] * 3, [0.0] * 3
        if shadows:
            self._spec.visual.quality.shadowsize = 1024

    def _light(self, name: str, tilt_deg: float, diffuse: Iterable[float], *, shadows: bool) -> None:
        tilt, turn = math.radians(tilt_deg), self._rng.uniform(-math.pi, math.pi)
        towards = np.array(
            [math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), -math.cos(tilt)]
        )
        self._spec.worldbody.add_light(
            name=name,
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=list([0.45, 0, 0] - 2 * towards),
            dir=list(towards),
            diffuse=list(diffuse),
            ambient=[0.0] * 3,
            specular=[0.1] * 3,
            castshadow=shadows,
        )

    def _add_clutter(self) -> None:
        """Add objects of dull colours beyond the reach of every task, which are only visible."""
        rng = self._rng
        shapes = {
            mujoco.mjtGeom.mjGEOM_BOX: lambda width, height: [width, width * rng.uniform(0.5, 1.4), height],
            mujoco.mjtGeom.mjGEOM_CYLINDER: lambda width, height: [width, height, 0],
            mujoco.mjtGeom.mjGEOM_ELLIPSOID: lambda width, height: [width, width, height],
        }
        for index in range(rng.integers(self._look.clutter + 1)):
            at = (rng.uniform(0.15, 0.75), rng.choice((-1, 1)) * rng.uniform(0.42, 0.58), 0.0)
            body = add_body(self._spec.worldbody, f"clutter{index}", at, yaw=rng.uniform(-math.pi, math.pi))
            kind = list(shapes)[rng.integers(len(shapes))]
            height, width = rng.uniform(0.02, 0.09), rng.uniform(0.02, 0.045)
            rgba = self._look.clutter_paint.draw(rng)[0]
            body.add_geom(type=kind, size=shapes[kind](width, height), pos=[0, 0, height], rgba=list(rgba))


def _key(rgba: object) -> tuple[float, ...]:
    """A colour as MuJoCo stores it, in single precision."""
    return tuple(np.asarray(rgba, np.float32).tolist())
