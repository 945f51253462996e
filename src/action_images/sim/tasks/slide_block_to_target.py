"""Push a block over the table onto a coloured patch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.grammar import Grammar
from action_images.sim.grasp import yaw_of
from action_images.sim.layout import HIGH, LOW, colours, scatter
from action_images.sim.motion import Motion, downward, move
from action_images.sim.scene import Scene
from action_images.sim.shapes import box, ghost
from action_images.sim.task import Task
from action_images.sim.world import World

FINGER = 0.011
"""Half the thickness (m) of the fingers along the tool's x axis."""

HALF_HEIGHT = 0.027


@dataclass(frozen=True)
class SlideBlockToTarget(Task):
    """Success: the block's centre within 2.5 cm of the patch's, on the table."""

    phrasings = (
        "slide the block to the target",
        "push the {block} block onto the {patch} square",
        "move the block onto the {patch} patch without lifting it",
        "slide the {block} block to the {patch} target",
    )
    kept_out = ("push the {block} block to the {patch} target", "slide the block onto the {patch} square")
    grammar = Grammar(
        (
            "slide {thing} to {place}",
            "push {thing} onto {place}",
            "slide {thing} over the table to {place}",
            "move {thing} onto {place} without lifting it",
        ),
        ("the {block} block", "the block", "the big {block} block", "the block that is {block}"),
        ("the {patch} square", "the {patch} patch", "the {patch} target"),
    )
    block: str
    patch: str
    half: float

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A block that faces the patch within 10 degrees, 12 to 20 cm away."""
        block, patch = colours(rng, 2)
        # Wider than the open gripper: both fingers push, and the block cannot rotate around one of them.
        half = rng.uniform(0.047, 0.052)
        start, goal = _start_and_goal(rng)
        heading = math.atan2(*(goal - start)[1::-1])
        body = scene.body(
            "block", (*start[:2], HALF_HEIGHT), yaw=heading + rng.uniform(-0.17, 0.17), free=True
        )
        geom = box(body, (half, half, HALF_HEIGHT), scene.colour(block))
        # Low friction, also with the fingers: otherwise it would wedge between them and the table.
        geom.friction, geom.priority = [0.4, 0.005, 0.0001], 1
        side = scene.size(0.06, 0.054, 0.075)
        ghost(box(scene.body("patch", goal), (side, side, 0.001), scene.colour(patch)))
        return cls(block, patch, half)

    def succeeded(self, world: World) -> bool:
        """Judged by the distance along the table."""
        offset = world.pose("block").translation - world.pose("patch").translation
        return offset[:2].norm().item() < 0.025 and offset[2].item() < HALF_HEIGHT + 0.01

    def motions(self, world: World) -> Iterator[Motion]:
        """Move down behind the block with open fingers, then straight on."""
        behind, end, yaw = self._places(world)
        yield move(downward((*behind, 0.12), yaw), downward((*behind, 0.02), yaw), opening=1.0)
        yield move(downward((*end, 0.02), yaw), opening=1.0, pace=0.8)

    def second_attempt(self, world: World) -> Iterator[Motion]:
        """Move straight on if the tool is right behind the block and aligned; else start from above."""
        behind, end, yaw = self._places(world)
        place = world.tool.translation
        metres, radians = world.tool.distance(downward((*behind, place[2].item()), yaw))
        if place[2].item() < 2 * HALF_HEIGHT and metres.item() < 0.02 and radians.item() < 0.2:
            yield move(downward((*end, 0.02), yaw), opening=1.0, pace=0.8)
        else:
            yield from super().second_attempt(world)

    def _places(self, world: World) -> tuple[tuple[float, float], tuple[float, float], float]:
        """The tool's start and end on the table for the push, and its yaw (rad)."""
        block, patch = world.pose("block"), world.pose("patch")
        way = (patch.translation - block.translation)[:2]
        heading = math.atan2(way[1].item(), way[0].item())
        towards = (math.cos(heading), math.sin(heading))
        slant = math.remainder(yaw_of(block) - heading, math.pi / 2)
        touch = self.half / math.cos(slant) + FINGER
        behind, end = (
            self._beside(world, place, towards, by)
            for place, by in (("block", touch + 0.02), ("patch", touch))
        )
        # Pushing backwards is the same for the block and saves the arm half a turn.
        return behind, end, math.remainder(heading, math.pi)

    def _beside(
        self, world: World, name: str, towards: tuple[float, float], by: float
    ) -> tuple[float, float]:
        x, y, _ = world.pose(name).translation.tolist()
        return x - by * towards[0], y - by * towards[1]


def _start_and_goal(rng: np.random.Generator) -> np.ndarray:
    while True:
        low, high = (LOW[0] + 0.04, LOW[1] + 0.04, 0.0), (HIGH[0] - 0.02, HIGH[1] - 0.04, 0.0)
        places = scatter(rng, 2, 0.12, low, high)
        if np.linalg.norm(places[1] - places[0]) < 0.20:
            return places
