"""Whether a learned simulator can be trusted: policies run in it and in MuJoCo, in the same scenes, and the two compared."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.evaluation.closed_loop import Address, Make
from action_images.evaluation.protocols import EvaluationProtocol
from action_images.evaluation.references import Privileged
from action_images.evaluation.rollout import RolloutConfig, roll_out
from action_images.evaluation.statistics import bootstrap_interval, pearson, spearman
from action_images.geometry import Pose
from action_images.robot import Environment, Observation, Policy, StepReport
from action_images.sim import Tabletop, demonstrate

PAIRS = "pairs.jsonl"
"""The file of a folder that holds one Pair a line."""
Imagine = Callable[[Tabletop], Environment]
"""Makes the learned simulator of a world: one whose trials begin with what that world shows at their reset."""


@dataclass(frozen=True)
class Pair:
    """One policy in one scene, in MuJoCo and in the learned simulator, after the same number of control steps.

    `succeeded` is MuJoCo's word. Progress is by pictures alone (see `progress`): of MuJoCo's and of the imagined ones.
    `missed_mm` is how far the tool ended from where the expert's does.
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
    def key(self) -> tuple[str, str, int]:
        """What makes a pair: the policy and the scene."""
        return self.policy, self.task, self.seed


@dataclass
class Inside:
    """A learned simulator in the place of a world: it counts control steps, and its twin is the world that it was begun from."""

    imagined: Environment
    world: Tabletop
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

    def twin(self) -> Tabletop:
        """A MuJoCo world of the same scenes."""
        return self.world.twin()


def progress(
    first: UInt8[Tensor, "view 3 h w"], last: UInt8[Tensor, "view 3 h w"], goal: UInt8[Tensor, "view 3 h w"]
) -> float:
    """How much of the way from the first pictures to the goal's the last ones are: 1 all of it, 0 none, below 0 further away.

    By the root mean square difference of all pixels; a judge that needs no physical state, so it works on imagined pictures.
    """
    way, left = (picture.float().sub(goal.float()).square().mean().sqrt() for picture in (first, last))
    return 1 - (left / way.clamp_min(1e-6)).item()


def compare(policies: Mapping[str, Make], protocol: EvaluationProtocol, imagine: Imagine, scenes: Iterable[Address],
            num_views: int, size: tuple[int, int], done: frozenset[tuple[str, str, int]] = frozenset()) -> Iterator[Pair]:  # fmt: skip
    """Every policy in every scene, in both worlds, but for the pairs that are `done`; `size` is (height, width) in px."""
    loaded = {name: make() for name, make in policies.items()}
    for task, seed in scenes:
        missing = [name for name in loaded if (name, task, seed) not in done]
        if not missing:
            continue
        world = protocol.environment(task, num_views, size)
        goal = _expert_end(world, seed)
        beginning = world.twin()
        for name in missing:
            yield _pair(
                name,
                loaded[name],
                world,
                Inside(imagine(beginning), world),
                (task, seed),
                goal,
                protocol.rollout_config,
            )
        world.close()
        beginning.close()


def _pair(
    name: str,
    policy: Policy,
    world: Tabletop,
    inside: Inside,
    scene: Address,
    goal: Observation,
    rollout_config: RolloutConfig,
) -> Pair:
    real, real_last, first = _run(policy, world, scene, world.task.max_steps, rollout_config)
    imagined, imagined_last, _ = _run(policy, inside, scene, len(real.steps), rollout_config)
    return Pair(
        name, *scene, real.succeeded,
        progress(first.images, real_last.images, goal.images), progress(first.images, imagined_last.images, goal.images),
        *(1e3 * _metres(rollout.tool, goal.world_from_tool) for rollout in (real, imagined)),
    )  # fmt: skip


def _run(
    policy: Policy, world: Tabletop | Inside, scene: Address, max_steps: int, rollout_config: RolloutConfig
):
    """The rollout, what is seen at its end and what was at its beginning."""
    first = world.reset(scene[1])
    if isinstance(policy, Privileged):
        policy.begin(world, scene[1])
    return roll_out(policy, world, first, scene, max_steps, rollout_config), world.observation(), first


def _expert_end(world: Tabletop, seed: int) -> Observation:
    """What the cameras show when the expert has done the task."""
    twin = world.twin()
    twin.begin(seed)
    for _ in demonstrate(twin):
        pass
    seen = twin.observation()
    twin.close()
    return seen


def _metres(a: Pose, b: Pose) -> float:
    return (a.translation.double() - b.translation.double()).norm().item()


@dataclass(frozen=True)
class PolicyRow:
    """One policy over all scenes: rates of success, means of progress, medians of what the tool missed."""

    policy: str
    num_scenes: int
    success: float
    success_inside: float
    real_progress: float
    imagined_progress: float
    real_missed_mm: float
    imagined_missed_mm: float


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % bootstrap interval over scenes; NaN where it says nothing (all policies alike)."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Trust:
    """What the comparison says. `threshold` is the progress from which pictures count as success, found on MuJoCo's alone."""

    threshold: float
    policies: tuple[PolicyRow, ...]
    figures: tuple[Figure, ...]


def trust(pairs: Sequence[Pair]) -> Trust:
    """Compare; only scenes that all policies were run in count. Raises ValueError for fewer than two policies or no such scene."""
    names = list(dict.fromkeys(pair.policy for pair in pairs))
    by_scene: dict[Address, dict[str, Pair]] = {}
    for pair in pairs:
        by_scene.setdefault((pair.task, pair.seed), {})[pair.policy] = pair
    scenes = [found for found in by_scene.values() if len(found) == len(names)]
    if len(names) < 2 or not scenes:
        raise ActionImagesError(
            "policies are compared with each other: give at least two of different quality, run in the same scenes"
        )
    columns = {
        name: torch.tensor(
            [[float(getattr(scene[policy], name)) for policy in names] for scene in scenes],
            dtype=torch.float64,
        )
        for name in (
            "succeeded",
            "real_progress",
            "imagined_progress",
            "real_missed_mm",
            "imagined_missed_mm",
        )
    }
    threshold = best_threshold(columns["real_progress"].flatten(), columns["succeeded"].flatten() > 0.5)
    columns["inside"] = (columns["imagined_progress"] >= threshold).double()
    columns["judged"] = (columns["real_progress"] >= threshold).double()
    rows = tuple(
        PolicyRow(
            name, len(scenes),
            *(columns[key][:, place].mean().item() for key in ("succeeded", "inside", "real_progress", "imagined_progress")),
            *(columns[key][:, place].quantile(0.5).item() for key in ("real_missed_mm", "imagined_missed_mm")),
        )
        for place, name in enumerate(names)
    )  # fmt: skip
    return Trust(
        threshold,
        rows,
        tuple(_figure(name, figure, columns, len(scenes)) for name, figure in FIGURES.items()),
    )


Columns = Mapping[str, Tensor]
"""Name -> (scene policy) in float64."""


def _across_policies(of: str, ranked: bool) -> Callable[[Columns], float]:
    def figure(columns: Columns) -> float:
        first, second = columns[of].mean(0), columns["succeeded"].mean(0)
        return spearman(first, second) if ranked else pearson(first, second)

    return figure


FIGURES: dict[str, Callable[[Columns], float]] = {
    "success inside and in MuJoCo, across policies (Pearson)": _across_policies("inside", ranked=False),
    "success inside and in MuJoCo, across policies (Spearman)": _across_policies("inside", ranked=True),
    "imagined progress and success in MuJoCo, across policies (Spearman)": _across_policies(
        "imagined_progress", ranked=True
    ),
    "the judge's ceiling: success by MuJoCo's pictures and in MuJoCo, across policies (Pearson)": _across_policies(
        "judged", ranked=False
    ),
    "trials that end alike inside and in MuJoCo": lambda columns: (
        (columns["inside"] == columns["succeeded"]).double().mean().item()
    ),
    "the judge's ceiling: trials that MuJoCo's pictures end alike": lambda columns: (
        (columns["judged"] == columns["succeeded"]).double().mean().item()
    ),
    "imagined and real progress, across trials (Pearson)": lambda columns: pearson(
        columns["imagined_progress"].flatten(), columns["real_progress"].flatten()
    ),
}
"""Name -> figure. Scripted policies do not look: of them the pictures alone are judged; those that look also act on them."""


def _figure(name: str, figure: Callable[[Columns], float], columns: Columns, num_scenes: int) -> Figure:
    def drawn(items: Tensor) -> float:
        return figure({key: values[items] for key, values in columns.items()})

    return Figure(name, figure(columns), *bootstrap_interval(drawn, num_scenes))


def best_threshold(values: Tensor, positive: Tensor) -> float:
    """The value from which on to say yes, so that the mean of both error rates is least; halfway between two values.

    Where all are positive it lies below all of them, where none is above: there is nothing to tell apart.
    """
    ordered = values.sort().values
    middle = (ordered[1:] + ordered[:-1]) / 2
    candidates = torch.cat([ordered[:1] - 1e-6, middle, ordered[-1:] + 1e-6])
    said = values[None] >= candidates[:, None]
    missed = (~said & positive).sum(1) / positive.sum().clamp_min(1)
    wrong = (said & ~positive).sum(1) / (~positive).sum().clamp_min(1)
    return candidates[(missed + wrong).argmin()].item()


def load_pairs(folder: Path) -> list[Pair]:
    """The pairs of a folder, none where it has none; a last line that a crash left unfinished is no pair."""
    path = folder / PAIRS
    if not path.is_file():
        return []
    *lines, _ = path.read_text().split("\n")
    try:
        return [Pair(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise ActionImagesError(f"{path}: is no list of pairs ({error}); choose another folder") from error


def append_pair(folder: Path, pair: Pair) -> None:
    """Add a pair to a folder's list, after cutting off what a crash left unfinished."""
    path = folder / PAIRS
    whole = path.read_bytes() if path.is_file() else b""
    if not whole.endswith(b"\n") and whole:
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])
    with path.open("a") as file:
        file.write(json.dumps(asdict(pair)) + "\n")
