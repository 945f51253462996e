"""What a task is: a layout, a test of success on the physical state, and an expert."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from typing_extensions import Self

from action_images.sim.motion import Motion
from action_images.sim.scene import Scene
from action_images.sim.world import World


class Task(ABC):
    """One trial of a task; the class is the task itself, and its instances' attributes are what was drawn for the trial.

    `phrasings` are instructions with the instance's attributes in braces. `held_out` tasks are kept out of all
    training. `max_steps` is how many control steps a policy is given, about twice what the expert needs.
    """

    phrasings: ClassVar[tuple[str, ...]]
    held_out: ClassVar[bool] = False
    max_steps: ClassVar[int] = 120

    @classmethod
    @abstractmethod
    def lay_out(cls, scene: Scene, rng: np.random.Generator) -> Self:
        """Add this trial's things to the scene, every draw from `rng`, and remember what must be known later."""

    def prepare(self, world: World) -> None:  # noqa: B027 (most tasks have nothing to do here)
        """Set joints that do not start at zero."""

    @abstractmethod
    def succeeded(self, world: World) -> bool:
        """Whether the task is done now."""

    @abstractmethod
    def motions(self, world: World) -> Iterator[Motion]:
        """The expert: motions one after the other, each decided when the one before has ended."""

    def instruction(self, rng: np.random.Generator) -> str:
        """One of the phrasings, filled in."""
        return str(rng.choice(self.phrasings)).format(**vars(self))
