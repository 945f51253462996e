"""The base class of tasks: a layout, a test of success on the physical state, and an expert."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.sim.grammar import Grammar, Wording
from action_images.sim.motion import Motion, move, shifted
from action_images.sim.scene import Scene
from action_images.sim.world import World

CLEAR = 0.12
"""Height (m) of the tool above which it may travel over most objects on a table."""


class Task(ABC):
    """One trial of a task.

    The class is the task itself; its instances' attributes are the values drawn for a trial.

    `phrasings` are instructions with the instance's attributes in braces. Those in `kept_out` mean the same
    and are used only in evaluation, never in a demonstration. `grammar` has hundreds more, if the task has
    one. `max_steps` is the number of control steps for a policy, about twice as many as the expert needs. At
    `clear_height` (m) the tool can travel over all objects.
    """

    phrasings: ClassVar[tuple[str, ...]]
    kept_out: ClassVar[tuple[str, ...]] = ()
    grammar: ClassVar[Grammar | None] = None
    max_steps: ClassVar[int] = 120
    clear_height: ClassVar[float] = CLEAR

    @classmethod
    @abstractmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """Add this trial's objects to the scene, with all draws from `rng`, and return the trial."""

    def prepare(self, world: World) -> None:  # noqa: B027 (most tasks have nothing to do here)
        """Set joints that do not start at zero."""

    @abstractmethod
    def succeeded(self, world: World) -> bool:
        """Whether the task is done now."""

    @abstractmethod
    def motions(self, world: World) -> Iterator[Motion]:
        """The expert: a sequence of motions, each decided when the previous one has ended."""

    def second_attempt(self, world: World) -> Iterator[Motion]:
        """The expert after a first attempt: move up from the current tool pose, then act as usual."""
        yield from self.clear(world)
        yield from self.motions(world)

    def clear(self, world: World) -> Iterator[Motion]:
        """Move straight up to `clear_height` with the gripper opening, if the tool is lower."""
        height = world.tool.translation[2].item()
        if height < self.clear_height:
            yield move(shifted(world.tool, (0, 0, self.clear_height - height)), opening=1.0)

    def instruction(self, rng: np.random.Generator, wording: Wording = "phrasings") -> str:
        """A sentence of this kind of wording, with the trial's attributes filled in.

        Raises ActionImagesError if a grammar is asked for and the task has none.
        """
        if wording == "phrasings":
            return str(rng.choice(self.phrasings)).format(**vars(self))
        if self.grammar is None:
            raise ActionImagesError(
                f"the task {type(self).__name__} has no grammar for the wording '{wording}'; "
                "give it one, or ask for 'phrasings'"
            )
        return self.grammar.draw(rng, wording).format(**vars(self))

    def rephrased(self, rng: np.random.Generator, wording: Wording = "phrasings") -> str | None:
        """The instruction in words that no demonstration of this wording uses; None if there are none."""
        if wording != "phrasings" and self.grammar is not None:
            return self.instruction(rng, "new_wording")
        return str(rng.choice(self.kept_out)).format(**vars(self)) if self.kept_out else None

    def with_another_goal(self) -> "Task | None":
        """The same scene with another possible instruction; None if there is no other."""
        return None
