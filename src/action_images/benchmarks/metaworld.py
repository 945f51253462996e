"""Meta-World v3 as a benchmark: fifty tasks of one arm, with instructions written for this package."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from action_images.benchmarks.benchmark import Box, Seeds
from action_images.benchmarks.metaworld_tasks import (
    CLOSE_EFFORT,
    EASY,
    HARD,
    MEDIUM,
    ML45_HELD_OUT,
    MT10,
    PHRASINGS,
    VERY_HARD,
)
from action_images.control import Guard
from action_images.robot import RepeatableEnvironment

if TYPE_CHECKING:
    from action_images.sim.cameras import Rig

GUARD = Guard(low=(-0.62, 0.28, -0.17), high=(0.62, 1.12, 0.62), min_confidence=0.0)
"""Its box contains Meta-World's own limits of the hand, and the tool point below the hand."""

SEEDS = Seeds("A seed draws the places of all things, the words, and the cameras; any seed is a scene.")

PUBLISHED = ("corner4", "corner", "topview", "corner3", "corner2")
"""Meta-World's own fixed cameras; upside-down ones are turned upright. LeRobot uses `corner4`, which it makes
from `corner2`."""


def _rig(name: str) -> "Rig":
    """Two sectors beside the arm, on its side of the table, as doors and drawers open towards it."""
    from action_images.sim.cameras import Rig

    sectors = {
        "sampled": ((-50.0, -15.0), (-165.0, -130.0)),
        "fixed": ((-31.0, -31.0), (-149.0, -149.0)),
        "held_out": ((-12.0, 20.0), (160.0, 192.0)),
    }[name]
    still = name == "fixed"
    elevation_deg, distance, fov_deg = (22.0, 38.0), (1.3, 1.5), (48.0, 54.0)
    if still:
        elevation_deg, distance, fov_deg = (27.0, 27.0), (1.4, 1.4), (51.0, 51.0)
    target, aim = (0.0, 0.68, 0.13), 0.0 if still else 0.02
    return Rig(sectors, elevation_deg, distance, fov_deg, target=target, aim=aim)


@dataclass(frozen=True)
class MetaWorldBenchmark:
    """Fifty tasks; the hand follows positions and cannot be turned, so drawn rotations have no effect."""

    name: str = "metaworld"
    version: str = "1"
    description: str = (
        "Meta-World v3: 50 tasks, a Sawyer arm of four degrees of freedom (its hand never turns)"
    )
    requires: tuple[str, ...] = ("metaworld", "mujoco", "gymnasium", "imageio", "scipy")
    install: str = "pip install --no-deps metaworld==3.1.1 imageio==2.38.1 (in a clone: make env-metaworld)"
    tried: Mapping[str, str] = field(default_factory=lambda: {"metaworld": "3.1.1", "mujoco": "3.9.0"})
    control_hz: float = 20.0
    trained: tuple[str, ...] = tuple(PHRASINGS)
    held_out: tuple[str, ...] = ()
    suites: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "mt10": MT10,
            "mt50": tuple(PHRASINGS),
            "ml45_train": tuple(task for task in PHRASINGS if task not in ML45_HELD_OUT),
            "ml45_test": ML45_HELD_OUT,
            "easy": EASY,
            "medium": MEDIUM,
            "hard": HARD,
            "very_hard": VERY_HARD,
        }
    )
    rigs: tuple[str, ...] = ("sampled", "fixed", "held_out", "published")
    held_out_rig: str | None = "held_out"
    looks: tuple[str, ...] = ()
    held_out_look: str | None = None
    guard: Guard = GUARD
    workspace: Box = ((-0.3, 0.45, 0.05), (0.3, 0.85, 0.3))
    steady_steps: int = 3
    seeds: Seeds = SEEDS

    def tasks(self) -> tuple[str, ...]:
        """The names of all fifty tasks."""
        return tuple(PHRASINGS)

    def instructions(self, task: str) -> tuple[str, ...]:
        """The phrasings of a task's demonstrations."""
        return PHRASINGS[task]

    def seen(self, rig: str, look: str | None) -> Mapping[str, Any]:  # noqa: ARG002 (it has one look)
        """All ranges of a rig, or the names of Meta-World's own cameras."""
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
        from action_images.benchmarks.foreign import MuJoCoViews
        from action_images.benchmarks.metaworld_environment import MetaWorld
        from action_images.sim.render import Rendering

        cameras = PUBLISHED if rig == "published" else _rig(rig)
        views = MuJoCoViews(cameras, num_views, size, Rendering(shadows=False, samples=0))
        return MetaWorld(task, PHRASINGS[task], views, CLOSE_EFFORT.get(task, 1.0))


METAWORLD = MetaWorldBenchmark()
