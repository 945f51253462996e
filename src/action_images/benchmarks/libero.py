"""LIBERO as a benchmark: its four suites of ten tasks each, evaluated in its own initial states."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from action_images.benchmarks.benchmark import Box, Seeds
from action_images.control import Guard
from action_images.robot import RepeatableEnvironment

if TYPE_CHECKING:
    from action_images.benchmarks.libero_environment import SceneFiles
    from action_images.benchmarks.robosuite_environment import Script
    from action_images.sim.cameras import Rig

BOWLS = (
    "between_the_plate_and_the_ramekin",
    "next_to_the_ramekin",
    "from_table_center",
    "on_the_cookie_box",
    "in_the_top_drawer_of_the_wooden_cabinet",
    "on_the_ramekin",
    "next_to_the_cookie_box",
    "on_the_stove",
    "next_to_the_plate",
    "on_the_wooden_cabinet",
)
GROCERIES = (
    "alphabet_soup",
    "cream_cheese",
    "salad_dressing",
    "bbq_sauce",
    "ketchup",
    "tomato_sauce",
    "butter",
    "milk",
    "chocolate_pudding",
    "orange_juice",
)
SPATIAL = tuple(f"pick_up_the_black_bowl_{where}_and_place_it_on_the_plate" for where in BOWLS)
OBJECT = tuple(f"pick_up_the_{thing}_and_place_it_in_the_basket" for thing in GROCERIES)
GOAL = (
    "open_the_middle_drawer_of_the_cabinet",
    "put_the_bowl_on_the_stove",
    "put_the_wine_bottle_on_top_of_the_cabinet",
    "open_the_top_drawer_and_put_the_bowl_inside",
    "put_the_bowl_on_top_of_the_cabinet",
    "push_the_plate_to_the_front_of_the_stove",
    "put_the_cream_cheese_in_the_bowl",
    "turn_on_the_stove",
    "put_the_bowl_on_the_plate",
    "put_the_wine_bottle_on_the_rack",
)
TEN = (
    "LIVING_ROOM_SCENE2_put_both_the_alphabet_soup_and_the_tomato_sauce_in_the_basket",
    "LIVING_ROOM_SCENE2_put_both_the_cream_cheese_box_and_the_butter_in_the_basket",
    "KITCHEN_SCENE3_turn_on_the_stove_and_put_the_moka_pot_on_it",
    "KITCHEN_SCENE4_put_the_black_bowl_in_the_bottom_drawer_of_the_cabinet_and_close_it",
    "LIVING_ROOM_SCENE5_put_the_white_mug_on_the_left_plate_"
    "and_put_the_yellow_and_white_mug_on_the_right_plate",
    "STUDY_SCENE1_pick_up_the_book_and_place_it_in_the_back_compartment_of_the_caddy",
    "LIVING_ROOM_SCENE6_put_the_white_mug_on_the_plate_"
    "and_put_the_chocolate_pudding_to_the_right_of_the_plate",
    "LIVING_ROOM_SCENE1_put_both_the_alphabet_soup_and_the_cream_cheese_box_in_the_basket",
    "KITCHEN_SCENE8_put_both_moka_pots_on_the_stove",
    "KITCHEN_SCENE6_put_the_yellow_and_white_mug_in_the_microwave_and_close_it",
)
SUITES = {"spatial": SPATIAL, "object": OBJECT, "goal": GOAL, "ten": TEN}
"""Suite -> its tasks in LIBERO's order; `ten` is LIBERO's own `libero_10`, also called LIBERO-Long."""
FOLDERS = {"spatial": "libero_spatial", "object": "libero_object", "goal": "libero_goal", "ten": "libero_10"}
"""Suite -> the package's folder of its scenes."""
MAX_STEPS = {"spatial": 220, "object": 280, "goal": 300, "ten": 520}
"""Suite -> control steps of a trial, as in published results."""
SEEDS = Seeds(
    "From 1,000,000 on LIBERO's own fifty initial states of each task; "
    "below, a seed draws the places of things. A seed also draws the cameras.",
    num_for_judging=50,
)
GUARD = Guard(low=(-0.5, -0.6, -0.02), high=(0.5, 0.65, 1.7), min_confidence=0.0)
PUBLISHED = ("agentview", "frontview", "sideview", "birdview")
"""LIBERO's own fixed cameras; results are published with `agentview` and one on the wrist."""
SECTORS = {
    "sampled": ((-65.0, -35.0), (35.0, 65.0)),
    "fixed": ((-50.0, -50.0), (50.0, 50.0)),
    "held_out": ((-92.0, -69.0), (-30.0, 30.0), (69.0, 92.0)),
}
"""Azimuths (degrees) of each rig: 0 in front of the arm, 90 at its left."""
HEIGHTS = {"LIVING_ROOM": 0.48, "STUDY": 0.95, "KITCHEN": 0.95}
"""Room -> height (m) at which its tasks happen."""


def suite_of(task: str) -> str:
    """The suite that contains a task."""
    return next(suite for suite, tasks in SUITES.items() if task in tasks)


def words_of(task: str) -> str:
    """LIBERO's instruction: the task's name without its scene."""
    return re.sub(r"^[A-Z_]+SCENE\d+_", "", task).replace("_", " ")


def _rig(name: str, height: float) -> "Rig":
    """Two sectors in front of the arm, which stands at -x; `height` (m) is that of their target."""
    from action_images.sim.cameras import Rig

    still = name == "fixed"
    elevation_deg = (35.0, 35.0) if still else (30.0, 42.0)
    distance = (1.12, 1.12) if still else (1.07, 1.2)
    fov_deg = (48.0, 48.0) if still else (46.0, 51.0)
    aim = 0.0 if still else 0.02
    target = (-0.03, 0.02, height)
    return Rig(SECTORS[name], elevation_deg, distance, fov_deg, target=target, aim=aim)


def _height(task: str) -> float:
    """The height (m) at which a task happens: the floor's, the table's, or the room's own."""
    if task in OBJECT:
        return 0.1
    return next((height for room, height in HEIGHTS.items() if task.startswith(room)), 0.98)


class TaskScene(NamedTuple):
    """A task by LIBERO's own name, the files of its scene, and its expert (None: it has none)."""

    task: str
    files: "SceneFiles"
    script: "Script | None"


@dataclass(frozen=True)
class LiberoBenchmark:
    """Forty tasks; this package has experts for the two suites that pick and place one object."""

    name: str = "libero"
    version: str = "2"
    description: str = "LIBERO: spatial, object, goal and ten (long), 40 tasks of a Panda arm"
    requires: tuple[str, ...] = (
        "libero",
        "robosuite",
        "mujoco",
        "bddl",
        "easydict",
        "future",
        "gym",
        "numba",
    )
    install: str = "in a clone: make env-libero"
    tried: Mapping[str, str] = field(
        default_factory=lambda: {"rpent-libero": "0.2.0", "robosuite": "1.5.2", "mujoco": "3.9.0"}
    )
    control_hz: float = 20.0
    trained: tuple[str, ...] = (*OBJECT, *SPATIAL)
    held_out: tuple[str, ...] = (*GOAL, *TEN)
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: SUITES)
    rigs: tuple[str, ...] = ("sampled", "fixed", "held_out", "published")
    held_out_rig: str | None = "held_out"
    looks: tuple[str, ...] = ()
    held_out_look: str | None = None
    guard: Guard = GUARD
    workspace: Box = ((-0.2, -0.3, 0.03), (0.2, 0.3, 1.2))
    steady_steps: int = 3
    seeds: Seeds = SEEDS

    def tasks(self) -> tuple[str, ...]:
        """The names of all forty tasks."""
        return (*SPATIAL, *OBJECT, *GOAL, *TEN)

    def instructions(self, task: str) -> tuple[str, ...]:
        """LIBERO's own instruction, the only one."""
        return (words_of(task),)

    def seen(self, rig: str, look: str | None) -> Mapping[str, Any]:  # noqa: ARG002 (it has one look)
        """All ranges of a rig at the height of the table, or the names of LIBERO's own cameras."""
        return {"rig": PUBLISHED if rig == "published" else asdict(_rig(rig, 0.98))}

    def make(
        self,
        task: str,
        *,
        rig: str,
        look: str | None,  # noqa: ARG002 (it has one look)
        num_views: int,
        size: tuple[int, int],
    ) -> RepeatableEnvironment:
        """A scene with one task in it."""
        from action_images.benchmarks.foreign import MuJoCoViews
        from action_images.benchmarks.libero_environment import Libero
        from action_images.sim.render import Rendering

        scene = self._scene(task)
        cameras = PUBLISHED if rig == "published" else _rig(rig, _height(scene.task))
        rendering = Rendering(geom_groups=(1,), shadows=False, samples=0)
        views = MuJoCoViews(cameras, num_views, size, rendering)
        max_steps = MAX_STEPS[suite_of(scene.task)]
        return Libero(
            scene.task,
            self.instructions(task),
            views,
            files=scene.files,
            max_steps=max_steps,
            script=scene.script,
        )

    def _scene(self, task: str) -> "TaskScene":
        """What belongs to a task of this benchmark."""
        from action_images.benchmarks.libero_environment import SceneFiles
        from action_images.benchmarks.libero_scripts import script_for

        return TaskScene(task, SceneFiles("libero", FOLDERS[suite_of(task)]), script_for(task))


LIBERO = LiberoBenchmark()
