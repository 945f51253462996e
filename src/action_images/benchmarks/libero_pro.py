"""LIBERO-PRO as a benchmark: LIBERO's tasks, each perturbed in four ways, for judging alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from action_images.benchmarks.libero import FOLDERS, SUITES, LiberoBenchmark, TaskScene, suite_of, words_of

PERTURBATIONS = {
    "object": "the objects look different",
    "swap": "the places are exchanged",
    "lan": "the words are others",
    "task": "the task is another one in the same scene",
}
"""Perturbation -> its meaning. LIBERO-PRO's fifth, another room, is in no package."""
OWN_WORDS = ("lan", "task")
"""Perturbations whose words are in the scene's file; the others keep LIBERO's own."""
WITH_EXPERTS = ("swap", "lan")
"""Perturbations with which LIBERO's experts are tried: what they handle has the same name and shape."""
WITHOUT_STATES = (
    "task_pick_up_the_black_bowl_on_the_cookie_box_and_place_it_on_the_plate",
    "task_pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate",
    "object_LIVING_ROOM_SCENE5_put_the_white_mug_on_the_left_plate_"
    "and_put_the_yellow_and_white_mug_on_the_right_plate",
    "task_KITCHEN_SCENE3_turn_on_the_stove_and_put_the_moka_pot_on_it",
)
"""Perturbed tasks that are left out: the package's files of their initial states are empty."""


def _suites() -> dict[str, tuple[str, ...]]:
    """`object_swap` and so on: a suite and a perturbation -> its tasks, in LIBERO's order."""
    suites = {}
    for suite, tasks in SUITES.items():
        for perturbation in PERTURBATIONS:
            perturbed = [f"{perturbation}_{task}" for task in tasks]
            suites[f"{suite}_{perturbation}"] = tuple(one for one in perturbed if one not in WITHOUT_STATES)
    return suites


PERTURBED = _suites()


@dataclass(frozen=True)
class LiberoProBenchmark(LiberoBenchmark):
    """The cameras of a seed are those of the same seed in the task that is not perturbed."""

    name: str = "libero-pro"
    version: str = "2"
    description: str = (
        "LIBERO-PRO: LIBERO's tasks with other objects, places, words or goals; for judging alone"
    )
    requires: tuple[str, ...] = ("liberopro", *LiberoBenchmark.requires)
    tried: Mapping[str, str] = field(
        default_factory=lambda: {"rpent-liberopro": "0.2.0", "robosuite": "1.5.2", "mujoco": "3.9.0"}
    )
    trained: tuple[str, ...] = ()
    held_out: tuple[str, ...] = tuple(chain.from_iterable(PERTURBED.values()))
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PERTURBED)

    def tasks(self) -> tuple[str, ...]:
        """The names of all perturbed tasks: LIBERO's names after that of the perturbation."""
        return self.held_out

    def instructions(self, task: str) -> tuple[str, ...]:
        """LIBERO's own instruction, or the one of the scene's file if the words or the task are perturbed.

        Raises ActionImagesError if LIBERO-PRO is not installed, whose files then cannot be read.
        """
        from action_images.benchmarks.libero_environment import SceneFiles

        perturbation, _, base = task.partition("_")
        if perturbation not in OWN_WORDS:
            return (words_of(base),)
        return (SceneFiles("liberopro", f"{FOLDERS[suite_of(base)]}_{perturbation}").words(base),)

    def _scene(self, task: str) -> TaskScene:
        """A perturbed scene; experts are those of the task that is not perturbed."""
        from action_images.benchmarks.libero_environment import SceneFiles
        from action_images.benchmarks.libero_scripts import script_for

        perturbation, _, base = task.partition("_")
        files = SceneFiles("liberopro", f"{FOLDERS[suite_of(base)]}_{perturbation}")
        return TaskScene(base, files, script_for(base) if perturbation in WITH_EXPERTS else None)


LIBERO_PRO = LiberoProBenchmark()
