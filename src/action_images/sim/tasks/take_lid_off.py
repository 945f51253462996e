"""Take the lid off a saucepan; held out of all training."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import Grammar
from action_images.sim.layout import FAR, NEAR, SIDE, colours
from action_images.sim.motion import Motion, downward, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder, ring
from action_images.sim.task import Task
from action_images.sim.world import World

DARK = (0.15, 0.15, 0.16, 1.0)


@dataclass(frozen=True)
class TakeLidOff(Task):
    """Success: the lid at least 6 cm above the saucepan."""

    phrasings = (
        "take the lid off the saucepan",
        "lift the lid off the pan",
        "remove the lid from the saucepan",
        "pick up the lid of the saucepan",
    )
    kept_out = ("take off the lid", "lift the lid from the saucepan")
    grammar = Grammar(
        (
            "take {thing} off the pan",
            "lift {thing} off the saucepan",
            "pick up {thing}",
            "remove {thing} from the pan",
        ),
        ("the lid", "the {paint} lid", "the lid of the pan", "the cover"),
    )
    height: float
    knob: float
    paint: str

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A fixed saucepan with its handle to any side and the lid on it."""
        x, y = rng.uniform(NEAR + 0.03, FAR - 0.02), rng.uniform(-SIDE + 0.03, SIDE - 0.03)
        radius, height, turned = rng.uniform(0.05, 0.068), rng.uniform(0.04, 0.075), rng.uniform(-3.1, 3.1)
        pan, rgba = scene.body("pan", (x, y, 0), yaw=turned), scene.furniture_colour()
        cylinder(pan, (radius, 0.003), rgba, at=(0, 0, 0.003))
        ring(pan, radius, height / 2, rgba)
        box(pan, (0.04, 0.008, 0.006), DARK, at=(radius + 0.04, 0, 0.75 * height))
        lid, paint = scene.body("lid", (x, y, height), yaw=turned, free=True), colours(rng, 1)[0]
        rgba = scene.colour(paint)
        knob = (rng.uniform(0.011, 0.016), rng.uniform(0.012, 0.017))
        cylinder(lid, (radius + 0.006, 0.004), rgba, at=(0, 0, 0.0045))
        # This part reaches into the pan and keeps the lid from sliding off.
        cylinder(lid, (radius - 0.013, 0.004), rgba, at=(0, 0, -0.004))
        cylinder(lid, knob, DARK, at=(0, 0, 0.0085 + knob[1]))
        return cls(height, 0.0085 + knob[1], paint)

    def succeeded(self, world: World) -> bool:
        """Judged by the lid's height."""
        return world.pose("lid").translation[2].item() - self.height > 0.06

    def motions(self, world: World) -> Iterator[Motion]:
        """Move down onto the knob, close the fingers, move up."""
        x, y, z = world.pose("lid").translation.tolist()
        grasp = downward((x, y, z + self.knob))
        yield move(shifted(grasp, (0, 0, 0.07)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        yield move(shifted(grasp, (0, 0, 0.11)), opening=0.0)
