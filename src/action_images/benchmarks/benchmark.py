"""What a simulator must say of itself to be trained in and judged in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from action_images.control import Guard
from action_images.errors import ActionImagesError
from action_images.robot import RepeatableEnvironment

Box = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Two opposite corners (m, world): the low one and the high one."""


@dataclass(frozen=True)
class Seeds:
    """What the seeds of a benchmark mean.

    Trial `i` of a task is judged on seed `first_for_judging` + `i`; demonstrations are recorded from seeds
    below. `num_for_judging` is how many such scenes a task has, None where there is no end of them. `meaning`
    says in one sentence what a seed decides.
    """

    meaning: str
    first_for_judging: int = 1_000_000
    num_for_judging: int | None = None

    def for_judging(self, num_trials: int) -> range:
        """The seeds of the first `num_trials` trials.

        Raises ActionImagesError where there are not so many.
        """
        if self.num_for_judging is not None and num_trials > self.num_for_judging:
            raise ActionImagesError(
                f"{num_trials} trials of each task were asked for; "
                f"there are {self.num_for_judging} scenes for judging"
            )
        return range(self.first_for_judging, self.first_for_judging + num_trials)


@runtime_checkable
class Benchmark(Protocol):
    """Tasks of one simulator, and the conditions under which they can be seen.

    Importing the module of a benchmark must not import its simulator: `requires` names the modules that
    `make` needs, and `install` is the line that installs them. A benchmark is one object, so it can be found
    by its name in every process.
    """

    name: str
    version: str
    """Results of different versions are not comparable, so they never share a folder."""
    description: str
    """One line: what there is to do, and what the arm cannot."""
    requires: tuple[str, ...]
    install: str
    tried: Mapping[str, str]
    """Packages of the simulator, and the versions that this was tried with; others are warned of."""
    control_hz: float
    trained: tuple[str, ...]
    """The tasks that training may show, written out."""
    held_out: tuple[str, ...]
    """The tasks that no training may show, written out; empty where there are none."""
    suites: Mapping[str, tuple[str, ...]]
    """Groups of tasks that have a name of their own, beside `trained` and `held_out`."""
    rigs: tuple[str, ...]
    """Where cameras can stand, by name; the first is the one of training."""
    held_out_rig: str | None
    """The rig whose views no training camera had; None where there is none."""
    looks: tuple[str, ...]
    """How scenes can look, by name; the first is the one of training.

    Empty where a world has one look alone.
    """
    held_out_look: str | None
    """The look that no training scene had; None where there is none."""
    guard: Guard
    """What the arm may be asked for: the box belongs to the world."""
    workspace: Box
    """The part of the world in which tasks happen: where a policy that moves at random goes."""
    steady_steps: int
    """For how many control steps in a row a task must be done to count as done.

    1 counts success at any step.
    """
    seeds: Seeds

    def tasks(self) -> tuple[str, ...]:
        """The names of all tasks that can be made, `trained` and `held_out` among them."""
        ...

    def instructions(self, task: str) -> tuple[str, ...]:
        """The phrasings of a task in demonstrations; what differs from scene to scene stands in braces."""
        ...

    def seen(self, rig: str, look: str | None) -> Mapping[str, Any]:
        """What a rig and a look hold, as JSON values: kept beside results, for names may change."""
        ...

    def make(
        self, task: str, *, rig: str, look: str | None, num_views: int, size: tuple[int, int]
    ) -> RepeatableEnvironment:
        """An environment of one task, in which no trial has begun; `size` is (height, width) in px."""
        ...
