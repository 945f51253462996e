"""Grasp a dial on a tilted stand and turn it by the named angle, which needs exact rotation."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from typing_extensions import Self

from action_images.geometry import Pose
from action_images.sim.grammar import Grammar
from action_images.sim.layout import colours
from action_images.sim.motion import Motion, about, carried, grip, move
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder
from action_images.sim.task import Task
from action_images.sim.world import World

ANGLES_DEG = (30, 60, 90)
BAR = (0.05, 0.010, 0.020)
"""Half sizes (m) of the bar by which the dial is turned."""


@dataclass(frozen=True)
class TurnDial(Task):
    """Success: the dial within 5 degrees of the named angle, clockwise as seen from above."""

    phrasings = (
        "turn the dial {angle_deg} degrees {way}",
        "rotate the dial {way} by {angle_deg} degrees",
        "grasp the dial and turn it {angle_deg} degrees {way}",
        "twist the knob {way} by {angle_deg} degrees",
    )
    kept_out = ("turn the knob {way} by {angle_deg} degrees", "rotate the dial {angle_deg} degrees {way}")
    grammar = Grammar(
        (
            "turn {thing} {angle_deg} degrees {way}",
            "rotate {thing} {way} by {angle_deg} degrees",
            "grasp {thing} and turn it {angle_deg} degrees {way}",
            "twist {thing} {way} by {angle_deg} degrees",
        ),
        ("the dial", "the knob", "the round dial", "the control knob"),
    )
    angle_deg: int
    way: str

    @property
    def goal(self) -> float:
        """The wanted angle (rad), counterclockwise as the joint counts."""
        return math.radians(self.angle_deg) * (1 if self.way == "counterclockwise" else -1)

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A dial whose axis leans up to 20 degrees back towards the arm."""
        at = (rng.uniform(0.48, 0.57), rng.uniform(-0.13, 0.13), 0.0)
        stand = scene.body("stand", at, yaw=rng.uniform(-0.25, 0.25))
        half = rng.uniform(0.0, math.radians(20)) / 2
        head = stand.add_body(name="head", pos=[0, 0, 0.045], quat=[math.cos(half), 0, -math.sin(half), 0])
        rgba = scene.furniture_colour()
        plate, disc = scene.size(0.06, 0.055, 0.075), scene.size(0.052, 0.044, 0.054)
        box(stand, (0.035, 0.035, 0.014), rgba, at=(0, 0, 0.014))
        box(head, (plate, plate, 0.008), rgba)
        dial = scene.part(
            "dial",
            head,
            at=(0, 0, 0.008),
            axis=(0, 0, 1),
            reach=(-2.2, 2.2),
            damping=[0.02, 0, 0],
            frictionloss=0.05,
        )
        cylinder(dial, (disc, 0.005), scene.colour(colours(rng, 1)[0]), at=(0, 0, 0.005))
        turned = rng.uniform(-0.2, 0.2)
        bar = {"quat": [math.cos(turned / 2), 0, 0, math.sin(turned / 2)]}
        box(dial, BAR, (0.12, 0.12, 0.14, 1.0), at=(0, 0, 0.01 + BAR[2]), **bar)
        # One white end shows the dial's angle.
        tip = BAR[0] - 0.012
        at_tip = (tip * math.cos(turned), tip * math.sin(turned), 0.01 + BAR[2])
        box(dial, (0.0125, BAR[1] + 0.001, BAR[2] + 0.001), (0.97, 0.97, 0.97, 1.0), at=at_tip, **bar)
        dial.add_site(name="bar", pos=[0, 0, 0.01 + BAR[2]], quat=bar["quat"])
        return cls(int(rng.choice(ANGLES_DEG)), str(rng.choice(("clockwise", "counterclockwise"))))

    def succeeded(self, world: World) -> bool:
        """Judged by the dial's angle."""
        return abs(world.joint("dial") - self.goal) < math.radians(5)

    def motions(self, world: World) -> Iterator[Motion]:
        """Move down the dial's own axis onto the bar, close the fingers, turn about the axis."""
        bar = world.data.site("bar")
        rotation, centre = torch.from_numpy(bar.xmat.reshape(3, 3).copy()), torch.from_numpy(bar.xpos.copy())
        axis = rotation[:, 2]
        grasp = Pose(rotation @ about((1, 0, 0), math.pi), centre)
        yield move(Pose(grasp.rotation, centre + 0.08 * axis), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        yield move(*carried(grasp, centre, axis.tolist(), self.goal), opening=0.0)
