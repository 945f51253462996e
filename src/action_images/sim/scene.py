"""A table with the arm on it, to which a task adds its things before all is compiled into one model."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names live in compiled modules that carry no types.

import math
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np

from action_images.sim.look import COLOURS, Look, Rgba

ARM = Path(__file__).with_name("arm.xml")
Numbers = Sequence[float] | np.ndarray
MUTED = ((0.55, 0.55, 0.57), (0.72, 0.70, 0.66), (0.35, 0.35, 0.37))


class Scene:
    """The world under construction.

    Lengths in m, angles in rad, the table top is z = 0, the arm's base x = y = 0.

    Appearance comes from its own generator, so that the same layout can be seen in another look.
    """

    def __init__(self, look: Look, rng: np.random.Generator):
        self.spec = mujoco.MjSpec.from_file(str(ARM))
        self._look, self._rng = look, rng
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
        """A colour for what no instruction names by its colour."""
        return self._look.furniture.draw(self._rng)

    def body(
        self,
        name: str,
        at: Numbers,
        *,
        yaw: float = 0.0,
        parent: mujoco.MjsBody | None = None,
        free: bool = False,
    ) -> mujoco.MjsBody:
        """A body at `at`, turned by `yaw` about z, fixed to `parent` (the world) or free to move."""
        half = yaw / 2
        body = (parent or self.spec.worldbody).add_body(
            name=name, pos=list(at), quat=[math.cos(half), 0, 0, math.sin(half)]
        )
        if free:
            body.add_freejoint(name=name)
        return body

    def part(
        self,
        name: str,
        parent: mujoco.MjsBody,
        *,
        at: Numbers,
        axis: Numbers,
        reach: tuple[float, float],
        slides: bool = False,
        **joint: object,
    ) -> mujoco.MjsBody:
        """A body that turns about (or slides along) an axis through `at` in its parent.

        It moves from reach[0] to reach[1], in rad (m).
        """
        body = parent.add_body(name=name, pos=list(at))
        kind = mujoco.mjtJoint.mjJNT_SLIDE if slides else mujoco.mjtJoint.mjJNT_HINGE
        body.add_joint(name=name, type=kind, axis=list(axis), range=list(reach), armature=0.002, **joint)
        # MuJoCo lets a body pass through its moving parent, but not through one that stands still.
        self.spec.add_exclude(bodyname1=parent.name, bodyname2=name)
        return body

    def compile(self) -> mujoco.MjModel:
        """The finished model; `eye` is the camera through which everything is rendered."""
        self.spec.worldbody.add_camera(name="eye")
        return self.spec.compile()

    def _furnish(self) -> None:
        world, look, rng = self.spec.worldbody, self._look, self._rng
        self.spec.add_texture(
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
        self.spec.add_texture(
            name="table",
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            builtin=kind,
            width=64,
            height=64,
            rgb1=first[:3],
            rgb2=second[:3],
        )
        material = self.spec.add_material(name="table", texrepeat=[6, 6])
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "table"
        return "table"

    def _add_light(self) -> None:
        look, rng = self._look, self._rng
        tilt, turn = math.radians(rng.uniform(*look.light_tilt_deg)), rng.uniform(-math.pi, math.pi)
        towards = np.array(
            [math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), -math.cos(tilt)]
        )
        strength, ambient = rng.uniform(*look.brightness), rng.uniform(*look.ambient)
        self.spec.worldbody.add_light(
            name="sun",
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=list([0.45, 0, 0] - 2 * towards),
            dir=list(towards),
            diffuse=[strength] * 3,
            ambient=[0.0] * 3,
            specular=[0.1] * 3,
            castshadow=look.shadows,
        )
        # In shadow only the lights that cast none are left: the ambient part must not be the sun's.
        head = self.spec.visual.headlight
        head.active, head.ambient, head.diffuse, head.specular = 1, [ambient] * 3, [0.0] * 3, [0.0] * 3
        if look.shadows:
            self.spec.visual.quality.shadowsize = 1024

    def _add_clutter(self) -> None:
        """Grey things beyond the reach of every task, for the eye alone."""
        rng = self._rng
        for index in range(rng.integers(self._look.clutter + 1)):
            side = rng.choice((-1, 1))
            at = (rng.uniform(0.15, 0.75), side * rng.uniform(0.42, 0.58), 0.0)
            body = self.body(f"clutter{index}", at, yaw=rng.uniform(-math.pi, math.pi))
            height, width = rng.uniform(0.02, 0.06), rng.uniform(0.02, 0.04)
            rgba = (*MUTED[rng.integers(len(MUTED))], 1.0)
            if rng.random() < 0.5:
                box(body, (width, width * rng.uniform(0.6, 1.4), height), rgba, at=(0, 0, height))
            else:
                cylinder(body, (width, height), rgba, at=(0, 0, height))


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
