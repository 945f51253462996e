"""Bring the tool to the ball of the named colour; two others float nearby."""
# pyright: reportAttributeAccessIssue=false
# MuJoCo's names are in compiled modules without types.

from collections.abc import Iterator
from dataclasses import dataclass, replace

import mujoco
import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import Grammar
from action_images.sim.layout import FAR, NEAR, SIDE, colours, scatter
from action_images.sim.motion import Motion, downward, move
from action_images.sim.scene import Scene
from action_images.sim.shapes import ghost
from action_images.sim.task import Task
from action_images.sim.world import World


@dataclass(frozen=True)
class ReachTarget(Task):
    """Success: the tool point within 2 cm of the centre of the right ball."""

    phrasings = (
        "reach the {colour} target",
        "move to the {colour} ball",
        "touch the {colour} sphere",
        "bring the gripper to the {colour} ball",
    )
    kept_out = ("go to the {colour} ball", "put the gripper at the ball that is {colour}")
    grammar = Grammar(
        (
            "reach {thing}",
            "move to {thing}",
            "touch {thing}",
            "go to {thing}",
            "bring the gripper to {thing}",
        ),
        ("the {colour} ball", "the {colour} sphere", "the {colour} target", "the ball that is {colour}"),
    )
    max_steps = 60
    colour: str
    others: tuple[str, ...]

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """Three balls in the air without collisions."""
        names, radius = colours(rng, 3), scene.size(0.034, 0.022, 0.044)
        for colour, place in zip(
            names, scatter(rng, 3, 0.13, (NEAR, -SIDE, 0.06), (FAR, SIDE, 0.24)), strict=True
        ):
            body = scene.body(f"{colour} ball", place)
            ghost(
                body.add_geom(
                    type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius, 0, 0], rgba=scene.colour(colour)
                )
            )
        return cls(names[0], names[1:])

    def with_another_goal(self) -> Self:
        """The same scene with the next colour named."""
        return replace(self, colour=self.others[0], others=(*self.others[1:], self.colour))

    def succeeded(self, world: World) -> bool:
        """Judged by the distance between tool point and ball."""
        return world.tool.distance(world.pose(f"{self.colour} ball"))[0].item() < 0.02

    def motions(self, world: World) -> Iterator[Motion]:
        """Move straight to the ball, ending upright."""
        yield move(downward(world.pose(f"{self.colour} ball").translation), opening=1.0)
