"""ManiSkill 3 as a benchmark: tasks of a Panda arm at a table, with experts written for this package."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from action_images.benchmarks.benchmark import Box, Seeds
from action_images.control import Guard
from action_images.robot import RepeatableEnvironment

if TYPE_CHECKING:
    from action_images.sim.cameras import Rig

PHRASINGS: dict[str, tuple[str, ...]] = {
    "PickCube-v1": (
        "bring the red cube to the green ball",
        "pick up the red cube and hold it at the green ball",
        "move the red cube to where the green ball is",
    ),
    "PushCube-v1": (
        "push the blue cube onto the target",
        "slide the blue cube forward to the target",
        "push the cube to the red and white circles",
    ),
    "PullCube-v1": (
        "pull the blue cube onto the target",
        "drag the blue cube back to the target",
        "pull the cube to the red and white circles",
    ),
    "StackCube-v1": (
        "stack the red cube on the green cube",
        "put the red cube on the green one",
        "place the red cube on top of the green cube",
    ),
    "LiftPegUpright-v1": (
        "set the peg upright",
        "stand the peg on its end",
        "lift the peg and put it down upright",
    ),
    "PlaceSphere-v1": (
        "place the ball into the bin",
        "put the blue ball in the bin",
        "pick up the ball and drop it into the bin",
    ),
    "PullCubeTool-v1": (
        "pull the cube closer with the tool",
        "use the hook to drag the cube towards you",
        "take the red tool and pull the blue cube near",
    ),
    "PokeCube-v1": (
        "poke the cube onto the target with the peg",
        "push the red cube to the target with the blue peg",
        "use the peg to push the cube to the red and white circles",
    ),
}
SCRIPTS = {
    "PickCube-v1": "pick_cube",
    "PushCube-v1": "push_cube",
    "PullCube-v1": "pull_cube",
    "StackCube-v1": "stack_cube",
    "PlaceSphere-v1": "place_sphere",
    "PullCubeTool-v1": "pull_cube_with_tool",
    "PokeCube-v1": "poke_cube",
}
"""Task -> its expert, a function of maniskill_scripts.py; LiftPegUpright has none."""
MAX_STEPS = 250
"""Control steps of a trial. ManiSkill's own limits of 50 to 100 are for policies without pauses."""
SEEDS = Seeds("A seed draws the places of things, the words, and the cameras; any seed is a scene.")
GUARD = Guard(low=(-0.55, -0.5, -0.01), high=(0.45, 0.5, 0.7), min_confidence=0.0)
PUBLISHED = ("base_camera", "render_camera")
"""ManiSkill's own cameras of a task: the one of its image observations, and the one of its films."""
SECTORS = {
    "sampled": ((-60.0, -25.0), (25.0, 60.0)),
    "fixed": ((-42.0, -42.0), (42.0, 42.0)),
    "held_out": ((-88.0, -64.0), (-20.0, 20.0), (64.0, 88.0)),
}
"""Azimuths (degrees) of each rig: 0 in front of the arm, 90 at its left."""


def _rig(name: str) -> "Rig":
    """Two sectors in front of the arm, which stands at x = -.615 m; the table's top is at z = 0."""
    from action_images.sim.cameras import Rig

    still = name == "fixed"
    elevation_deg = (35.0, 35.0) if still else (28.0, 42.0)
    distance = (1.05, 1.05) if still else (1.0, 1.15)
    fov_deg = (48.0, 48.0) if still else (45.0, 51.0)
    aim = 0.0 if still else 0.02
    return Rig(SECTORS[name], elevation_deg, distance, fov_deg, target=(-0.06, 0.0, 0.12), aim=aim)


@dataclass(frozen=True)
class ManiSkillBenchmark:
    """Eight tasks whose goal can be seen; the names are ManiSkill's own."""

    name: str = "maniskill"
    version: str = "1"
    description: str = "ManiSkill 3: cubes, a peg, a ball and a tool on a table, 8 tasks of a Panda arm"
    requires: tuple[str, ...] = (
        "mani_skill",
        "sapien",
        "mujoco",
        "gymnasium",
        "dacite",
        "pytorch_kinematics",
        "transforms3d",
        "trimesh",
    )
    install: str = "in a clone: make env-maniskill"
    tried: Mapping[str, str] = field(default_factory=lambda: {"mani-skill": "3.0.1", "sapien": "3.0.3"})
    control_hz: float = 20.0
    trained: tuple[str, ...] = tuple(PHRASINGS)
    held_out: tuple[str, ...] = ()
    suites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rigs: tuple[str, ...] = ("sampled", "fixed", "held_out", "published")
    held_out_rig: str | None = "held_out"
    looks: tuple[str, ...] = ()
    held_out_look: str | None = None
    guard: Guard = GUARD
    workspace: Box = ((-0.25, -0.25, 0.03), (0.15, 0.25, 0.3))
    steady_steps: int = 3
    seeds: Seeds = SEEDS

    def tasks(self) -> tuple[str, ...]:
        """The names of all eight tasks."""
        return tuple(PHRASINGS)

    def instructions(self, task: str) -> tuple[str, ...]:
        """The phrasings of a task's demonstrations."""
        return PHRASINGS[task]

    def seen(self, rig: str, look: str | None) -> Mapping[str, Any]:  # noqa: ARG002 (it has one look)
        """All ranges of a rig, or the names of ManiSkill's own cameras."""
        return {"rig": PUBLISHED if rig == "published" else asdict(_rig(rig))}

    def make(
        self,
        task: str,
        *,
        rig: str,
        look: str | None,  # noqa: ARG002 (it has one look)
        num_views: int,
        size: tuple[int, int],
    ) -> RepeatableEnvironment:
        """A table with one task on it."""
        from action_images.benchmarks import maniskill_scripts
        from action_images.benchmarks.maniskill_environment import ManiSkill
        from action_images.benchmarks.maniskill_views import SapienViews

        views = SapienViews(PUBLISHED if rig == "published" else _rig(rig), num_views, size)
        script = getattr(maniskill_scripts, SCRIPTS[task]) if task in SCRIPTS else None
        return ManiSkill(task, PHRASINGS[task], views, max_steps=MAX_STEPS, script=script)


MANISKILL = ManiSkillBenchmark()
