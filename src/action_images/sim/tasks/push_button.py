"""Press the button of the named colour, and no other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import Grammar
from action_images.sim.layout import colours, scatter
from action_images.sim.motion import Motion, downward, move
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, cylinder
from action_images.sim.task import Task
from action_images.sim.world import World

TRAVEL = 0.018
SPRING = {"stiffness": [120.0, 0, 0], "damping": [2.0, 0, 0]}


@dataclass(frozen=True)
class PushButton(Task):
    """Success: the named button is down by 10 mm of its 18 while every other stays up."""

    phrasings = (
        "push the {colour} button",
        "press the {colour} button",
        "push down the {colour} button",
        "hit the button that is {colour}",
    )
    kept_out = ("press down on the {colour} button", "the {colour} button, push it")
    grammar = Grammar(
        ("push {thing}", "press {thing}", "push down {thing}", "press down on {thing}", "hit {thing}"),
        (
            "the {colour} button",
            "the button that is {colour}",
            "the {colour} push button",
            "the {colour} switch",
        ),
    )
    max_steps = 80
    colour: str
    others: tuple[str, ...]
    top: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """Three buttons on grey bases, each on a spring."""
        names = colours(rng, 3)
        top, half = scene.size(0.052, 0.046, 0.066), scene.size(0.045, 0.036, 0.048)
        radius = scene.size(0.030, 0.020, 0.032)
        for colour, place in zip(names, scatter(rng, 3, 0.13), strict=True):
            base = scene.body(f"{colour} base", place, yaw=rng.uniform(-0.5, 0.5))
            box(base, (half, half, 0.012), (0.25, 0.25, 0.27, 1.0), at=(0, 0, 0.012))
            cap = scene.part(
                f"{colour} button",
                base,
                at=(0, 0, top - 0.014),
                axis=(0, 0, -1),
                reach=(0, TRAVEL),
                slides=True,
                springref=-0.01,
                **SPRING,
            )
            cylinder(cap, (radius, 0.014), scene.colour(colour))
        return cls(names[0], names[1:], top)

    def with_another_goal(self) -> Self:
        """The same scene with the next colour named."""
        return replace(self, colour=self.others[0], others=(*self.others[1:], self.colour))

    def succeeded(self, world: World) -> bool:
        """Judged by the caps' joints."""
        return world.joint(f"{self.colour} button") > 0.010 and all(
            world.joint(f"{other} button") < 0.005 for other in self.others
        )

    def motions(self, world: World) -> Iterator[Motion]:
        """Move above the button with closed fingers, then down."""
        x, y, _ = world.pose(f"{self.colour} button").translation.tolist()
        yield move(downward((x, y, self.top + 0.06)), opening=0.0)
        # The finger tips reach 9 mm below the tool point.
        yield move(downward((x, y, self.top + 0.009 - 0.016)), opening=0.0)
