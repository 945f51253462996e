"""robosuite as a benchmark: five tasks of a Panda arm, with experts written for this package."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from action_images.benchmarks.benchmark import Box, Seeds
from action_images.control import Guard
from action_images.errors import ActionImagesError
from action_images.robot import RepeatableEnvironment

if TYPE_CHECKING:
    from action_images.sim.cameras import Rig

PHRASINGS: dict[str, tuple[str, ...]] = {
    "Lift": ("lift the cube", "pick up the red cube", "raise the cube"),
    "Stack": (
        "stack the red cube on the green cube",
        "put the red cube on the green one",
        "place the red cube on top of the green cube",
    ),
    "PickPlaceCan": ("put the can into its bin", "place the can in the bin", "move the can to the other bin"),
    "NutAssemblySquare": (
        "put the square nut on its peg",
        "place the square nut over the square peg",
        "fit the square nut onto the peg",
    ),
    "Door": ("open the door", "turn the handle and open the door", "pull the door open by its handle"),
}
SCRIPTS = {
    "Lift": "lift",
    "Stack": "stack",
    "PickPlaceCan": "put_can",
    "NutAssemblySquare": "put_square_nut",
    "Door": "open_door",
}
"""Task -> its expert, a function of robosuite_scripts.py."""
SEEDS = Seeds("A seed draws the places of things, the words, and the cameras; any seed is a scene.")
GUARD = Guard(low=(-0.5, -0.55, 0.75), high=(0.6, 0.6, 1.6), min_confidence=0.0)
PUBLISHED = ("agentview", "frontview", "sideview", "birdview")
"""robosuite's own fixed cameras."""

SECTORS = {
    "sampled": ((-60.0, -25.0), (25.0, 60.0)),
    "fixed": ((-42.0, -42.0), (42.0, 42.0)),
    "held_out": ((-88.0, -64.0), (-20.0, 20.0), (64.0, 88.0)),
}
"""Azimuths (degrees) of each rig: 0 in front of the arm, 90 at its left."""
DOOR_SECTORS = {
    "sampled": ((10.0, 40.0), (80.0, 110.0)),
    "fixed": ((25.0, 25.0), (95.0, 95.0)),
    "held_out": ((44.0, 76.0), (114.0, 130.0)),
}
"""The same for the task with the door, which hides everything behind it."""


def _rig(name: str, task: str) -> "Rig":
    """Two sectors in front of the arm, which stands behind the table at -x; the door faces +y."""
    from action_images.sim.cameras import Rig

    at_door = task == "Door"
    sectors = (DOOR_SECTORS if at_door else SECTORS)[name]
    target = (-0.1, -0.2, 1.05) if at_door else (0.0, 0.0, 0.93)
    still = name == "fixed"
    elevation_deg = (30.0, 30.0) if still else (25.0, 40.0)
    distance = (1.15, 1.15) if still else (1.1, 1.25)
    fov_deg = (47.0, 47.0) if still else (44.0, 50.0)
    return Rig(sectors, elevation_deg, distance, fov_deg, target=target, aim=0.0 if still else 0.02)


@dataclass(frozen=True)
class RobosuiteBenchmark:
    """Five tasks at a table; the names are robosuite's own."""

    name: str = "robosuite"
    version: str = "1"
    description: str = "robosuite: lift, stack, a can into a bin, a nut on a peg, a door; a Panda arm"
    requires: tuple[str, ...] = ("robosuite", "mujoco", "numba", "termcolor", "tqdm", "cv2")
    install: str = "in a clone: make env-robosuite"
    tried: Mapping[str, str] = field(default_factory=lambda: {"robosuite": "1.5.2", "mujoco": "3.9.0"})
    control_hz: float = 20.0
    trained: tuple[str, ...] = tuple(PHRASINGS)
    held_out: tuple[str, ...] = ()
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rigs: tuple[str, ...] = ("sampled", "fixed", "held_out", "published")
    held_out_rig: str | None = "held_out"
    looks: tuple[str, ...] = ("still", "moved_room")
    held_out_look: str | None = "moved_room"
    guard: Guard = GUARD
    workspace: Box = ((-0.2, -0.25, 0.83), (0.2, 0.25, 1.1))
    steady_steps: int = 3
    seeds: Seeds = SEEDS

    def tasks(self) -> tuple[str, ...]:
        """The names of all five tasks."""
        return tuple(PHRASINGS)

    def instructions(self, task: str) -> tuple[str, ...]:
        """The phrasings of a task's demonstrations."""
        return PHRASINGS[task]

    def seen(self, rig: str, look: str | None) -> Mapping[str, Any]:
        """All ranges of a rig, or the names of robosuite's own cameras; a look that is not the usual one."""
        look_seen = {} if look in (None, "still") else {"look": look}
        if rig == "published":
            return {"rig": PUBLISHED, **look_seen}
        return {"rig": asdict(_rig(rig, "Lift")), "rig_at_door": asdict(_rig(rig, "Door")), **look_seen}

    def make(
        self,
        task: str,
        *,
        rig: str,
        look: str | None,
        num_views: int,
        size: tuple[int, int],
    ) -> RepeatableEnvironment:
        """A table with one task on it; raises ActionImagesError if a camera could be behind a moved wall."""
        if rig == "published" and look == "moved_room":
            raise ActionImagesError(
                "robosuite's own cameras (rig 'published') can be behind the walls of the look 'moved_room'; "
                "take the rig sampled, fixed or held_out, or the look still"
            )
        from action_images.benchmarks import robosuite_scripts
        from action_images.benchmarks.foreign import MuJoCoViews
        from action_images.benchmarks.robosuite_environment import Robosuite
        from action_images.sim.render import Rendering

        cameras = PUBLISHED if rig == "published" else _rig(rig, task)
        rendering = Rendering(geom_groups=(1,), shadows=False, samples=0)
        views = MuJoCoViews(cameras, num_views, size, rendering)
        script = getattr(robosuite_scripts, SCRIPTS[task])
        return Robosuite(
            task, PHRASINGS[task], views, max_steps=400, script=script, moves_room=look == "moved_room"
        )


ROBOSUITE = RobosuiteBenchmark()
