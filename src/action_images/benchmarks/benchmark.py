"""The interface of a benchmark: the facts that training and evaluation need from a simulator."""

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
    """The meaning of a benchmark's seeds.

    Trial `i` of a task is evaluated on seed `first_for_judging` + `i`; demonstrations are recorded from lower
    seeds. `num_for_judging` is the number of such scenes of a task, None if it is unlimited. `meaning` says
    in one sentence what a seed decides.
    """

    meaning: str
    first_for_judging: int = 1_000_000
    num_for_judging: int | None = None

    def for_judging(self, num_trials: int) -> range:
        """The seeds of the first `num_trials` trials.

        Raises ActionImagesError if there are fewer.
        """
        if self.num_for_judging is not None and num_trials > self.num_for_judging:
            raise ActionImagesError(
                f"{num_trials} trials of each task were asked for; "
                f"there are {self.num_for_judging} scenes for judging"
            )
        return range(self.first_for_judging, self.first_for_judging + num_trials)


@runtime_checkable
class Benchmark(Protocol):
    """Tasks of one simulator, with its rigs and looks.

    Importing the module of a benchmark must not import its simulator: `requires` names the modules that
    `make` needs, and `install` is the command that installs them. A benchmark is one object, so every process
    can find it by its name.
    """

    name: str
    version: str
    """Results of different versions are not comparable, so they never share a folder."""
    description: str
    """One line about the tasks and the limits of the arm."""
    requires: tuple[str, ...]
    install: str
    tried: Mapping[str, str]
    """Packages of the simulator -> the versions that this was tested with; other versions give a warning."""
    control_hz: float
    trained: tuple[str, ...]
    """The tasks that training may use, written out."""
    held_out: tuple[str, ...]
    """The tasks that training must not use, written out; may be empty."""
    suites: Mapping[str, tuple[str, ...]]
    """Further named groups of tasks, besides `trained` and `held_out`."""
    rigs: tuple[str, ...]
    """The names of the camera rigs; the first is the one of training."""
    held_out_rig: str | None
    """The rig whose views are absent from training; None if there is none."""
    looks: tuple[str, ...]
    """The names of the looks of scenes; the first is the one of training.

    Empty if a world has only one look.
    """
    held_out_look: str | None
    """The look that is absent from training; None if there is none."""
    guard: Guard
    """The limits of commands to the arm, with a box for this world."""
    workspace: Box
    """The part of the world in which tasks happen; a random policy moves in it."""
    steady_steps: int
    """The number of consecutive control steps for which a task must be done to succeed.

    1 counts success at any step.
    """
    seeds: Seeds

    def tasks(self) -> tuple[str, ...]:
        """The names of all tasks that can be made, including `trained` and `held_out`."""
        ...

    def instructions(self, task: str) -> tuple[str, ...]:
        """The phrasings of a task in demonstrations; parts that differ from scene to scene are in braces."""
        ...

    def seen(self, rig: str, look: str | None) -> Mapping[str, Any]:
        """The contents of a rig and a look as JSON values, kept beside results because names may change."""
        ...

    def make(
        self, task: str, *, rig: str, look: str | None, num_views: int, size: tuple[int, int]
    ) -> RepeatableEnvironment:
        """Make an environment of one task, in which no trial has begun; `size` is (height, width) in px."""
        ...
