"""Policies run in a learned simulator and in the world that it has learned, in the same scenes."""

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
from action_images.evaluation.rollout import BegunTrial, Rollout, RolloutConfig, roll_out
from action_images.files import jsonl
from action_images.geometry import Pose
from action_images.robot import Environment, Observation, Policy, RepeatableEnvironment, StepReport

PAIRS = "pairs.jsonl"
"""The file of a folder that holds one Pair a line."""
Imagine = Callable[[RepeatableEnvironment], Environment]
"""Makes the learned simulator of a world: one whose trials begin with what that world shows at their
reset."""
PairKey = tuple[str, str, int]
"""A policy's name, a task's name and a seed."""


@dataclass(frozen=True)
class Pair:
    """One policy in one scene of the world and of the learned simulator, after equally many steps.

    `succeeded` is the world's word. Progress is by pictures alone (see `progress`): of the world's and of the
    imagined ones. `missed_mm` is how far the tool ended from where the expert's does.
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
        """What makes a pair: the policy and the scene."""
        return self.policy, self.task, self.seed


@dataclass
class Inside:
    """A learned simulator in the place of a world: it counts control steps, and its twin is the world's."""

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
        """What is imagined now."""
        return self.imagined.observation()

    def succeeded(self) -> bool:
        """Never: nobody knows the physical state; both worlds are compared after the same time."""
        return False

    def twin(self) -> RepeatableEnvironment:
        """A world of the same scenes, which is not imagined."""
        return self.world.twin()


@dataclass(frozen=True)
class BothWorlds:
    """Where policies are compared, and how their plans are carried out in both worlds."""

    world: WorldConfig
    imagine: Imagine
    rollout_config: RolloutConfig = RolloutConfig()


def progress(
    first: UInt8[Tensor, "view 3 h w"], last: UInt8[Tensor, "view 3 h w"], goal: UInt8[Tensor, "view 3 h w"]
) -> float:
    """The share of the way from the first pictures to the goal's at which the last ones are.

    1 is all of it, 0 none, below 0 further away.

    By the root mean square difference of all pixels; a judge that needs no physical state, so it works on
    imagined pictures.
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
    """Every policy in every scene, in both worlds, but for the pairs that are `done`.

    Raises ActionImagesError where a task has no expert, whose last pictures are the goal.
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
    """The pairs of a folder, none where it has none; a last line that a crash left unfinished is no pair."""
    path = folder / PAIRS
    try:
        return [Pair(**values) for values in jsonl.load(path)]
    except TypeError as error:
        raise ActionImagesError(f"{path}: is no list of pairs ({error}); choose another folder") from error


def append_pair(folder: Path, pair: Pair) -> None:
    """Add a pair to a folder's list, after cutting off what a crash left unfinished."""
    path = folder / PAIRS
    jsonl.repair(path)
    jsonl.append(path, asdict(pair))
