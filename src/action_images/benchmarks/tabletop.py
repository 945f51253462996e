"""The embedded MuJoCo world as two benchmarks, their trained and held-out tasks written out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from action_images.benchmarks.benchmark import Box, Seeds
from action_images.control import Guard
from action_images.robot import RepeatableEnvironment

GUARD = Guard(min_confidence=0.0)
"""A simulated arm cannot be damaged, so poses of low confidence are executed too, and judged by the outcome.
docs/experiments.md has the cost of refusing them. A real arm keeps the guard's own default."""

SEEDS = Seeds("A seed draws layout, words, the arm's start, cameras and look, each from a stream of its own.")


@dataclass(frozen=True)
class TabletopBenchmark:
    """Tasks on a table. A new file in sim/tasks is a new task, but not part of a benchmark."""

    name: str = "tabletop"
    version: str = "1"
    description: str = "the embedded world: a table, with experts, words and looks to draw from"
    requires: tuple[str, ...] = ("mujoco", "gymnasium")
    install: str = "pip install 'action-images[sim]'"
    tried: Mapping[str, str] = field(default_factory=dict)
    control_hz: float = 20.0
    trained: tuple[str, ...] = (
        "close_box",
        "close_drawer",
        "open_drawer",
        "pick_and_lift",
        "place_in_bowl",
        "push_button",
        "reach_target",
        "slide_block_to_target",
        "stack_blocks",
        "turn_dial",
    )
    held_out: tuple[str, ...] = ("close_laptop", "pick_up_cup")
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rigs: tuple[str, ...] = ("sampled", "fixed", "around", "held_out", "moving")
    held_out_rig: str | None = "held_out"
    looks: tuple[str, ...] = ("train", "wide", "unseen", "checkered")
    held_out_look: str | None = "unseen"
    wordings: tuple[str, ...] = ("phrasings", "grammar", "new_wording", "new_pair")
    guard: Guard = GUARD
    workspace: Box = ((0.36, -0.2, 0.02), (0.58, 0.2, 0.3))
    steady_steps: int = 3
    seeds: Seeds = SEEDS

    def tasks(self) -> tuple[str, ...]:
        """The tasks of this benchmark, and those of all other files in sim/tasks."""
        from action_images.sim import TASKS

        return tuple(dict.fromkeys([*self.trained, *self.held_out, *TASKS]))

    def instructions(self, task: str) -> tuple[str, ...]:
        """The phrasings of a task's demonstrations."""
        from action_images.sim import find_task

        return find_task(task).phrasings

    def seen(self, rig: str, look: str | None) -> Mapping[str, Any]:
        """All ranges of a rig and a look."""
        from action_images.sim import LOOKS, RIGS

        return {"rig": asdict(RIGS[rig]), "look": asdict(LOOKS[look or self.looks[0]])}

    def make(
        self,
        task: str,
        *,
        rig: str,
        look: str | None,
        num_views: int,
        size: tuple[int, int],
        wording: Literal["phrasings", "grammar", "new_wording", "new_pair"] = "phrasings",
    ) -> RepeatableEnvironment:
        """A table with one task on it; `wording` is one of `wordings`."""
        from action_images.sim import LOOKS, RIGS, Tabletop

        ranges = LOOKS[look or self.looks[0]]
        return Tabletop(task, RIGS[rig], look=ranges, num_views=num_views, size=size, wording=wording)


TABLETOP = TabletopBenchmark()
"""Ten tasks for training, and two that are held out."""

PAPER = replace(
    TABLETOP,
    name="paper",
    description="the embedded world, with counterparts of all tasks of the paper's table",
    trained=tuple(
        sorted(
            {
                *TABLETOP.trained,
                "close_door",
                "open_bottle",
                "open_door",
                "open_jar",
                "open_oven",
                "phone_on_base",
                "wipe_desk",
            }
        )
    ),
    held_out=(
        "basketball_in_hoop",
        "close_laptop",
        "close_microwave",
        "pick_up_cup",
        "take_lid_off",
        "toilet_seat_down",
    ),
)
"""The same world with counterparts of all RLBench tasks of the paper: 17 for training, 6 held out."""
