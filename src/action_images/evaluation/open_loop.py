"""Single plans in held-out scenes against the expert's path: their error, and whether they follow the text.

Nothing is executed. Besides the plain question, each scene is asked in other ways: in words that no
demonstration used, with another goal that the same scene allows, with no words at all, and with another
scene's images. The last two are controls: a policy that scores as well under them ignores its input.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_images.benchmarks import WorldConfig
from action_images.errors import ActionImagesError
from action_images.evaluation.expert import expert_steps, reached_path
from action_images.evaluation.protocols import Address
from action_images.evaluation.results_folder import PLANS, open_results
from action_images.evaluation.statistics import bootstrap_interval, wilson_interval
from action_images.files import jsonl
from action_images.files.lock import alone_in
from action_images.geometry import Trajectory
from action_images.robot import Observation, Plan, Policy, RepeatableEnvironment

QUESTIONS = {
    "told": "as in the demonstrations, from the first instant",
    "later": "the same from an instant on the expert's way",
    "rephrased": "in words that no demonstration used",
    "other goal": "the same scene told to do something else",
    "not told": "a control: without words",
    "other scene": "a control: shown the images of another scene",
}
"""Name -> the way a scene is asked. All but 'later' start from the first instant."""

NEAR_MM = 20.0
LOST_MM, LOST_DEG = 1000.0, 180.0
"""The error of a pose that could not be read: it counts as far off and is never left out."""
UNDECIDED_M = 0.03
"""Two goals cannot be told apart by a plan if, within its length, their experts end nearer than this."""


@dataclass(frozen=True)
class PlanError:
    """One plan against the expert's path over the same control steps: JSON values alone.

    `final_mm` is the error at the last step, `path_mm` and `path_deg` are means over the plan. `gripper` is
    the share of steps with the gripper correctly open or closed. `moved_mm` is the expert's motion in that
    time, which is the error of standing still. `follows` says whether the plan ends nearer to this question's
    expert than to the other goal's. It is None if there is no other goal, or both end in the same place.
    `off_path_mm` is the distance from the plan's last step to the nearest point of the expert's whole path:
    the error without timing. It is None in older files.
    """

    question: str
    final_mm: float
    path_mm: float
    path_deg: float
    gripper: float
    moved_mm: float
    follows: bool | None = None
    off_path_mm: float | None = None


@dataclass(frozen=True)
class SceneErrors:
    """The errors of all questions of one scene."""

    task: str
    seed: int
    errors: tuple[PlanError, ...]

    @property
    def address(self) -> Address:
        """The scene's address."""
        return self.task, self.seed


def judge_plans(
    policy: Policy, policy_name: str, world: WorldConfig, addresses: Iterable[Address], *, out: Path
) -> Iterator[SceneErrors]:
    """Judge every scene (task, seed) that `out` does not hold yet; each is written to out/plans.jsonl.

    Raises ActionImagesError if `out` holds plans of a policy with another name, or of other scenes, or if
    another process is writing there.
    """
    with alone_in(out):
        done = {scene.address for scene in load_plans(out)}
        settings = {"policy": policy_name, "num_views": world.num_views, "size": world.size}
        open_results(out, PLANS, settings | world.seen())
        for address in dict.fromkeys(addresses):
            if address not in done:
                scene = judge_scene(policy, world, address)
                jsonl.append(out / PLANS, asdict(scene))
                yield scene


def load_plans(out: Path) -> list[SceneErrors]:
    """The scenes in a folder, without a last line that a crash left unfinished.

    Raises ActionImagesError for a line that is no scene.
    """
    path = out / PLANS
    return [_scene(path, number, values) for number, values in enumerate(jsonl.load(path), 1)]


def _scene(path: Path, number: int, values: Mapping[str, Any]) -> SceneErrors:
    try:
        errors = tuple(PlanError(**error) for error in values["errors"])
        return SceneErrors(values["task"], values["seed"], errors)
    except (ValueError, TypeError, KeyError) as error:
        raise ActionImagesError(
            f"{path}, line {number}: is no judged scene ({error}); remove the line and run again"
        ) from error


def judge_scene(policy: Policy, world: WorldConfig, address: Address) -> SceneErrors:
    """Ask all questions of one scene, except those that its task does not allow.

    Raises ActionImagesError if the task has no expert.
    """
    task, seed = address
    environment, rng = world.environment(task), np.random.default_rng(seed)
    expert = _expert(environment.twin(), seed)
    seen = environment.reset(seed)
    rephrased = environment.rephrased(rng)
    other_instruction, other_expert = _other_goal(environment.twin(), seed, rng)
    elsewhere = _elsewhere(world, task, seed)

    def asked(question: str, observation: Observation) -> PlanError:
        return plan_error(question, policy.plan(observation), expert, other_expert)

    errors = [asked("told", seen)]
    if rephrased is not None:
        errors.append(asked("rephrased", replace(seen, instruction=rephrased)))
    if other_instruction is not None and other_expert is not None:
        plan = policy.plan(replace(seen, instruction=other_instruction))
        errors.append(plan_error("other goal", plan, other_expert, expert))
    errors.append(asked("not told", replace(seen, instruction="")))
    errors.append(asked("other scene", replace(seen, images=elsewhere.images)))
    start = int(rng.integers(1, max(expert.num_frames - 8, 2)))
    plan = policy.plan(_after(environment, seed, start))
    errors.append(plan_error("later", plan, expert[start:], None))
    environment.close()
    return SceneErrors(task, seed, tuple(errors))


def _expert(environment: RepeatableEnvironment, seed: int) -> Trajectory:
    environment.begin(seed)
    return reached_path(environment)


def _other_goal(
    environment: RepeatableEnvironment, seed: int, rng: np.random.Generator
) -> tuple[str | None, Trajectory | None]:
    """Another goal that the scene allows: its instruction, and its expert's path (frame)."""
    environment.begin(seed)
    instruction = environment.switch_goal(rng)
    return instruction, None if instruction is None else reached_path(environment)


def _after(environment: RepeatableEnvironment, seed: int, num_steps: int) -> Observation:
    """The observation after `num_steps` control steps of the expert."""
    environment.begin(seed)
    for _ in islice(expert_steps(environment), num_steps):
        pass
    return environment.observation()


def _elsewhere(world: WorldConfig, task: str, seed: int) -> Observation:
    """The first observation of another scene of the task."""
    environment = world.environment(task)
    seen = environment.reset(seed + 100_000)
    environment.close()
    return seen


def plan_error(question: str, plan: Plan, expert: Trajectory, other_expert: Trajectory | None) -> PlanError:
    """One plan against the expert of its question, beside the expert of the scene's other goal.

    Experts' paths (frame) begin at the tool pose of the observation that the plan was made from.
    """
    path = plan.trajectory
    truth = _next_steps(expert, path.num_frames)
    metres, radians = path.world_from_tool.distance(truth.world_from_tool)
    lost = ~metres.isfinite() if plan.confidence is None else ~metres.isfinite() | (plan.confidence == 0)
    millimetres = (1e3 * metres).nan_to_num(LOST_MM).masked_fill(lost, LOST_MM)
    degrees = radians.rad2deg().nan_to_num(LOST_DEG).masked_fill(lost, LOST_DEG)
    right = ((path.opening > 0.5) == (truth.opening > 0.5)).float().mean()
    moved = (truth.world_from_tool.translation[-1] - expert.world_from_tool.translation[0]).norm()
    follows = None
    if other_expert is not None:
        follows = _follows(path, truth, _next_steps(other_expert, path.num_frames), lost=bool(lost[-1]))
    return PlanError(
        question,
        final_mm=millimetres[-1].item(),
        path_mm=millimetres.mean().item(),
        path_deg=degrees.mean().item(),
        gripper=right.item(),
        moved_mm=1e3 * moved.item(),
        follows=follows,
        off_path_mm=LOST_MM if lost[-1] else 1e3 * _off_path(path, expert),
    )


def _off_path(plan: Trajectory, expert: Trajectory) -> float:
    """Distance (m) from a plan's end to the nearest point of the expert's whole path."""
    end, path = plan.world_from_tool.translation[-1], expert.world_from_tool.translation
    steps = path.diff(dim=0)
    if len(steps) == 0:
        return (path[0] - end).norm().item()
    along = ((end - path[:-1]) * steps).sum(-1) / steps.square().sum(-1).clamp_min(1e-12)
    nearest = path[:-1] + along.clamp(0, 1)[:, None] * steps
    return (nearest - end).norm(dim=-1).amin().item()


def _next_steps(path: Trajectory, num_steps: int) -> Trajectory:
    """The control steps after a path's first; after the path's end, its last pose repeats."""
    return path[torch.arange(1, num_steps + 1).clamp(max=path.num_frames - 1)]


def _follows(plan: Trajectory, truth: Trajectory, rival: Trajectory, *, lost: bool) -> bool | None:
    """Whether a plan ends nearer to this question's expert than to the other's; None if both end together.

    A plan whose end could not be read follows neither: its place-holder's position means nothing.
    """
    end, right, wrong = (path.world_from_tool.translation[-1] for path in (plan, truth, rival))
    if (right - wrong).norm() < UNDECIDED_M:
        return None
    return not lost and bool((end - right).norm() < (end - wrong).norm())


@dataclass(frozen=True)
class OpenLoopRow:
    """One question of one task (or 'all'): medians with 95 % intervals (value, low, high), shares in %."""

    task: str
    question: str
    num_plans: int
    final_mm: tuple[float, float, float]
    within_20mm: tuple[float, float, float]
    off_path_mm: float | None
    path_mm: float
    path_deg: float
    gripper: float
    moved_mm: float
    follows: tuple[float, float, float] | None


def summarise(scenes: Iterable[SceneErrors]) -> list[OpenLoopRow]:
    """A row for each question of each task, then of all tasks together.

    The row of all tasks pools their scenes: a mean of the tasks' medians would hide their numbers of scenes.
    """
    scenes = list(scenes)
    rows = []
    for task in (*dict.fromkeys(scene.task for scene in scenes), "all"):
        by_question = _by_question(scene for scene in scenes if task in (scene.task, "all"))
        rows += [_row(task, question, asked) for question, asked in by_question.items() if asked]
    return rows


def _by_question(scenes: Iterable[SceneErrors]) -> dict[str, list[PlanError]]:
    by_question: dict[str, list[PlanError]] = {question: [] for question in QUESTIONS}
    for scene in scenes:
        for error in scene.errors:
            by_question[error.question].append(error)
    return by_question


def _row(task: str, question: str, asked: list[PlanError]) -> OpenLoopRow:
    final = torch.tensor([error.final_mm for error in asked], dtype=torch.float64)
    low, high = bootstrap_interval(lambda places: final[places].quantile(0.5).item(), len(final))
    off_path = [error.off_path_mm for error in asked if error.off_path_mm is not None]
    decided = [error.follows for error in asked if error.follows is not None]
    return OpenLoopRow(
        task,
        question,
        num_plans=len(asked),
        final_mm=(final.quantile(0.5).item(), low, high),
        within_20mm=_share(int((final <= NEAR_MM).sum()), len(asked)),
        off_path_mm=_median(off_path) if len(off_path) == len(asked) else None,
        path_mm=_median([error.path_mm for error in asked]),
        path_deg=_median([error.path_deg for error in asked]),
        gripper=100 * torch.tensor([error.gripper for error in asked], dtype=torch.float64).mean().item(),
        moved_mm=_median([error.moved_mm for error in asked]),
        follows=_share(sum(decided), len(decided)) if decided else None,
    )


def _median(values: list[float]) -> float:
    return torch.tensor(values, dtype=torch.float64).quantile(0.5).item()


def _share(num: int, total: int) -> tuple[float, float, float]:
    low, high = wilson_interval(num, total)
    return 100 * num / total, 100 * low, 100 * high


HEADINGS = (
    "task",
    "asked",
    "plans",
    "final mm (median)",
    "within 2 cm",
    "off path mm",
    "path mm",
    "path deg",
    "gripper",
    "expert moves",
    "follows",
)


def markdown(rows: Iterable[OpenLoopRow]) -> str:
    """The rows as a table for documents."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cells(row: OpenLoopRow) -> tuple[str, ...]:
    return (
        row.task,
        row.question,
        str(row.num_plans),
        "{:.1f} ({:.1f}-{:.1f})".format(*row.final_mm),
        "{:.1f} % ({:.0f}-{:.0f})".format(*row.within_20mm),
        "" if row.off_path_mm is None else f"{row.off_path_mm:.1f}",
        f"{row.path_mm:.1f}",
        f"{row.path_deg:.1f}",
        f"{row.gripper:.1f} %",
        f"{row.moved_mm:.0f} mm",
        "" if row.follows is None else "{:.1f} % ({:.0f}-{:.0f})".format(*row.follows),
    )
