"""Push an open drawer shut."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from typing_extensions import Self

from action_images.sim.drawer import Cabinet, add_cabinet, along_drawer, tool_before_drawer
from action_images.sim.grammar import CLOSE, Grammar
from action_images.sim.motion import Motion, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.task import Task
from action_images.sim.world import World


@dataclass(frozen=True)
class CloseDrawer(Task):
    """Success: the drawer at most 1 cm out."""

    phrasings = ("close the drawer", "push the drawer shut", "shut the drawer", "slide the drawer closed")
    kept_out = ("slide the drawer shut", "push the drawer closed")
    grammar = Grammar(
        (*CLOSE, "slide {thing} shut", "push {thing} in"),
        ("the drawer", "the {cabinet.paint} drawer", "the open drawer", "the drawer of the cabinet"),
    )
    out: float
    cabinet: Cabinet

    @classmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """A cabinet with its drawer 8 to 12 cm out."""
        cabinet = add_cabinet(scene, rng)
        return cls(rng.uniform(0.08, 0.12), cabinet)

    def prepare(self, world: World) -> None:
        """Set it open."""
        world.set_joint("drawer", self.out)

    def succeeded(self, world: World) -> bool:
        """Judged by the drawer's joint."""
        return world.joint("drawer") < 0.01

    def motions(self, world: World) -> Iterator[Motion]:
        """Move down before the handle with closed fingers, then push."""
        before = tool_before_drawer(world, self.cabinet.handle + 0.03, 0.045)
        yield move(shifted(before, (0, 0, 0.10)), before, opening=0.0)
        yield move(along_drawer(world, before, -self.out - 0.023), opening=0.0)
