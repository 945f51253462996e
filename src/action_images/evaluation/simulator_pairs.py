"""Run policies in a learned simulator and in the world that it learned from, in the same scenes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from action_images.benchmarks import WorldConfig
from action_images.errors import ActionImagesError
from action_images.evaluation.closed_loop import Make
from action_images.evaluation.expert import expert_end
from action_images.evaluation.protocols import Address
from action_images.evaluation.references import Privileged
from action_images.evaluation.results_folder import PAIRS
from action_images.evaluation.rollout import BegunTrial, Rollout, RolloutConfig, roll_out
from action_images.files import jsonl
from action_images.geometry import Pose
from action_images.robot import Environment, Observation, Policy, RepeatableEnvironment, StepReport

Imagine = Callable[[RepeatableEnvironment], Environment]
"""Makes the learned simulator of a world; its trials begin with that world's observation at their reset."""
PairKey = tuple[str, str, int]
"""A policy's name, a task's name and a seed."""


@dataclass(frozen=True)
class Pair:
    """One policy in one scene of the world and of the learned simulator, after equally many steps.

    `succeeded` is what the world says. Progress is measured on pictures alone (see `progress`), the world's
    and the imagined ones. `missed_mm` is the distance between the last tool position and the expert's.
    """

    policy: str
    task: str
    seed: int
    succeeded: bool
    real_progress: float
    imagined_progress: float
    real_missed_mm: float
    imagined_missed_mm: float

    @property
    def key(self) -> PairKey:
        """The key of a pair: the policy and the scene."""
        return self.policy, self.task, self.seed


@dataclass
class Inside:
    """A learned simulator in place of a world; it counts control steps, and its twin is the world's twin."""

    imagined: Environment
    world: RepeatableEnvironment
    num_steps: int = 0
    control_hz: float = field(init=False)

    def __post_init__(self) -> None:
        self.control_hz = self.imagined.control_hz

    def reset(self, seed: int) -> Observation:
        """Begin a new trial."""
        self.num_steps = 0
        return self.imagined.reset(seed)

    def step(self, world_from_tool: Pose, opening: float) -> StepReport:
        """Drive towards a tool pose for one control period."""
        self.num_steps += 1
        return self.imagined.step(world_from_tool, opening)

    def observation(self) -> Observation:
        """The imagined observation now."""
        return self.imagined.observation()

    def succeeded(self) -> bool:
        """Always False: the physical state is unknown; both worlds are compared after equally many steps."""
        return False

    def twin(self) -> RepeatableEnvironment:
        """A world of the same scenes that is not imagined."""
        return self.world.twin()


@dataclass(frozen=True)
class BothWorlds:
    """The worlds in which policies are compared, and the way plans are carried out in both."""

    world: WorldConfig
    imagine: Imagine
    rollout_config: RolloutConfig = RolloutConfig()


def progress(
    first: UInt8[Tensor, "view 3 h w"], last: UInt8[Tensor, "view 3 h w"], goal: UInt8[Tensor, "view 3 h w"]
) -> float:
    """The progress of the last pictures from the first ones towards the goal's, as a share.

    1 means all of it, 0 none, and below 0 further away than at first.

    It is measured by the root mean square difference of all pixels. It needs no physical state, so it works
    on imagined pictures.
    """
    way, left = (picture.float().sub(goal.float()).square().mean().sqrt() for picture in (first, last))
    return 1 - (left / way.clamp_min(1e-6)).item()


def compare(
    policies: Mapping[str, Make],
    worlds: BothWorlds,
    addresses: Iterable[Address],
    *,
    done: frozenset[PairKey] = frozenset(),
) -> Iterator[Pair]:
    """Run every policy in every scene, in both worlds, except for the pairs that are `done`.

    Raises ActionImagesError if a task has no expert: the expert's last pictures are the goal.
    """
    loaded = {name: make() for name, make in policies.items()}
    for address in addresses:
        missing = {name: policy for name, policy in loaded.items() if (name, *address) not in done}
        if missing:
            yield from _pairs(missing, worlds, address)


def _pairs(policies: Mapping[str, Policy], worlds: BothWorlds, address: Address) -> Iterator[Pair]:
    task, seed = address
    world = worlds.world.environment(task)
    goal = expert_end(world, seed)
    beginning = world.twin()
    for name, policy in policies.items():
        inside = Inside(worlds.imagine(beginning), world)
        real = _run(policy, world, address, max_steps=world.max_steps, config=worlds.rollout_config)
        num_steps = len(real.rollout.steps)
        imagined = _run(policy, inside, address, max_steps=num_steps, config=worlds.rollout_config)
        first = real.rollout.first_seen.images
        yield Pair(
            name,
            task,
            seed,
            succeeded=real.rollout.succeeded,
            real_progress=progress(first, last=real.last_seen.images, goal=goal.images),
            imagined_progress=progress(first, last=imagined.last_seen.images, goal=goal.images),
            real_missed_mm=1e3 * _metres(real.rollout.tool, goal.world_from_tool),
            imagined_missed_mm=1e3 * _metres(imagined.rollout.tool, goal.world_from_tool),
        )
    world.close()
    beginning.close()


@dataclass(frozen=True)
class _Run:
    rollout: Rollout
    last_seen: Observation


def _run(
    policy: Policy,
    environment: RepeatableEnvironment | Inside,
    address: Address,
    *,
    max_steps: int,
    config: RolloutConfig,
) -> _Run:
    task, seed = address
    first_seen = environment.reset(seed)
    if isinstance(policy, Privileged):
        policy.begin(environment, seed)
    trial = BegunTrial(environment, task, seed, first_seen=first_seen, max_steps=max_steps)
    rollout = roll_out(policy, trial, config)
    return _Run(rollout, environment.observation())


def _metres(a: Pose, b: Pose) -> float:
    return (a.translation.double() - b.translation.double()).norm().item()


def load_pairs(folder: Path) -> list[Pair]:
    """The pairs in a folder, if any; a last line that a crash left unfinished is skipped."""
    path = folder / PAIRS
    try:
        return [Pair(**values) for values in jsonl.load(path)]
    except TypeError as error:
        raise ActionImagesError(f"{path}: is no list of pairs ({error}); choose another folder") from error


def append_pair(folder: Path, pair: Pair) -> None:
    """Add a pair to a folder's list, after removing a line that a crash left unfinished."""
    path = folder / PAIRS
    jsonl.repair(path)
    jsonl.append(path, asdict(pair))
