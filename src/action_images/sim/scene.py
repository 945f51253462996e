"""A table with the arm, to which a task adds its objects before everything is compiled into one model."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

from pathlib import Path

import mujoco
import numpy as np

from action_images.sim.dressing import dress
from action_images.sim.look import Look, Rgba
from action_images.sim.look_family import LookFamily
from action_images.sim.shapes import Numbers, add_body

ARM = Path(__file__).with_name("arm.xml")


class Scene:
    """The world under construction.

    Lengths are in m, angles in rad; the table top is z = 0, the arm's base x = y = 0.

    Appearance has its own random generator, so that the same layout can be shown in another look. So have
    sizes that only some looks vary.
    """

    def __init__(self, look: Look | LookFamily, rng: np.random.Generator, sizes: np.random.Generator):
        self.spec = mujoco.MjSpec.from_file(str(ARM))
        self._dressing = dress(self.spec, look, rng)
        self._sizes = sizes if isinstance(look, LookFamily) and look.vary_sizes else None

    def colour(self, name: str) -> Rgba:
        """A named colour in this trial's shade."""
        return self._dressing.colour(name)

    def furniture_colour(self) -> Rgba:
        """A colour for objects that no instruction names by colour."""
        return self._dressing.furniture_colour()

    def size(self, usual: float, low: float, high: float) -> float:
        """A size (m) from this range if the look varies sizes; else the usual one."""
        return usual if self._sizes is None else float(self._sizes.uniform(low, high))

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
        body = add_body(parent or self.spec.worldbody, name, at, yaw)
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
        # MuJoCo lets a body pass through its moving parent, but not through a fixed one.
        self.spec.add_exclude(bodyname1=parent.name, bodyname2=name)
        return body

    def compile(self) -> mujoco.MjModel:
        """The finished model; `eye` is the camera that renders everything."""
        self._dressing.finish()
        self.spec.worldbody.add_camera(name="eye")
        return self.spec.compile()
