"""Take a drawer by its handle and pull it open."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.drawer import TRAVEL, Cabinet, add_cabinet, along_drawer, tool_before_drawer
from action_images.sim.grammar import OPEN, Grammar
from action_images.sim.motion import Motion, grip, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.task import Task
from action_images.sim.world import World


@dataclass(frozen=True)
class OpenDrawer(Task):
    """Success: the drawer at least 9 cm out."""

    phrasings = (
        "open the drawer",
        "pull the drawer open",
        "slide the drawer out",
        "pull out the drawer by its handle",
    )
    kept_out = ("slide the drawer open", "pull the drawer out by its handle")
    grammar = Grammar(
        (*OPEN, "slide {thing} open", "pull {thing} out"),
        ("the drawer", "the {cabinet.paint} drawer", "the closed drawer", "the drawer of the cabinet"),
    )

    cabinet: Cabinet

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A cabinet with its drawer shut."""
        return cls(add_cabinet(scene, rng))

    def succeeded(self, world: World) -> bool:
        """Judged by the drawer's joint."""
        return world.joint("drawer") > 0.09

    def motions(self, world: World) -> Iterator[Motion]:
        """Move over the handle and down, close the fingers, pull straight back."""
        grasp = tool_before_drawer(world, self.cabinet.handle - 0.016, 0.05)
        yield move(shifted(grasp, (0, 0, 0.08)), opening=1.0)
        yield move(grasp, opening=1.0)
        yield grip(0.0)
        yield move(along_drawer(world, grasp, TRAVEL - 0.015), opening=0.0)
