"""Single plans in held-out scenes against the expert's path: how near they come, and whether they do what they were told.

Nothing is executed. Besides the plain question each scene is asked in other ways: in words that no demonstration used,
with another goal that the same scene allows, with no words at all, and with another scene's images. The last two are
controls: a policy that scores as well under them does not need what it is shown.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from action_images.errors import ActionImagesError
from action_images.evaluation.statistics import bootstrap_interval, wilson_interval
from action_images.files.lock import alone_in
from action_images.files.settings import keep_settings
from action_images.geometry import Trajectory
from action_images.robot import Observation, Plan, Policy
from action_images.sim import Rig, Tabletop, demonstrate
from action_images.sim.look import Look
from action_images.structs import stack

QUESTIONS = {
    "told": "as in the demonstrations, from the first instant",
    "later": "the same from an instant on the expert's way",
    "rephrased": "in words that no demonstration used",
    "other goal": "the same scene told to do something else",
    "not told": "a control: without words",
    "other scene": "a control: shown the images of another scene",
}
"""Name -> how a scene is asked. All but 'later' start from the first instant."""

PLANS, SETTINGS = "plans.jsonl", "settings.json"
NEAR_MM = 20.0
LOST_MM, LOST_DEG = 1000.0, 180.0
"""What a pose counts as that could not be read: far off, never left out."""
UNDECIDED_M = 0.03
"""Two goals whose experts end nearer to each other than this within a plan's reach cannot be told apart by it."""


@dataclass(frozen=True)
class PlanError:
    """One plan against the expert's path over the same control steps: JSON values alone.

    `final_mm` at its last step, `path_mm` and `path_deg` means over it, `gripper` the share of steps with the gripper
    rightly open or closed. `moved_mm` is how far the expert goes meanwhile: the error of standing still. `follows` says
    whether the plan ends nearer to where this question's expert does than to where the other goal's does; None where
    there is no other, or both end in the same place. `off_path_mm` is how far the plan's last step lies from the nearest
    place that the expert ever passes: the error without its haste. None in files that are older than it.
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
    """All that one scene was asked."""

    task: str
    seed: int
    errors: tuple[PlanError, ...]


@dataclass(frozen=True)
class Scenes:
    """Where plans are judged: whose cameras, which look, how many views, and the size (height, width) of their images in px."""

    rig: Rig
    look: Look
    num_views: int
    size: tuple[int, int]

    def world(self, task: str) -> Tabletop:
        """A world of this task."""
        return Tabletop(task, self.rig, self.look, self.num_views, self.size)


def judge_plans(
    policy: Policy, policy_name: str, scenes: Scenes, addresses: Iterable[tuple[str, int]], out: Path
) -> Iterator[SceneErrors]:
    """Every scene (task, seed) that `out` does not hold yet, written to out/plans.jsonl as it is done.

    Raises ValueError where `out` holds plans of another policy, by its name, or of other scenes, or another process is
    writing there.
    """
    with alone_in(out):
        done = {(scene.task, scene.seed) for scene in load_plans(out)}
        keep_settings(out / SETTINGS, {"policy": policy_name} | asdict(scenes), empty=not done)
        with (out / PLANS).open("ab") as file:
            for task, seed in dict.fromkeys(addresses):
                if (task, seed) in done:
                    continue
                scene = judge_scene(policy, scenes, task, seed)
                file.write(json.dumps(asdict(scene)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                yield scene


def load_plans(out: Path) -> list[SceneErrors]:
    """What a folder holds; a last line that a crash left unfinished is cut off. Raises ValueError for a line that is no scene."""
    path = out / PLANS
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    return [_scene(path, number, line) for number, line in enumerate(content[:whole].splitlines(), 1)]


def _scene(path: Path, number: int, line: bytes) -> SceneErrors:
    try:
        values = json.loads(line)
        return SceneErrors(
            values["task"], values["seed"], tuple(PlanError(**error) for error in values["errors"])
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ActionImagesError(
            f"{path}, line {number}: is no judged scene ({error}); remove the line and run again"
        ) from error


def judge_scene(policy: Policy, scenes: Scenes, task: str, seed: int) -> SceneErrors:
    """All questions of one scene, those that its task does not allow left out."""
    world, rng = scenes.world(task), np.random.default_rng(seed)
    expert = _expert(world.twin(), seed)
    seen = world.reset(seed)
    goal, phrase = world.trial.with_another_goal(), world.trial.rephrased(rng)
    other = None if goal is None else _expert(world.twin(), seed, another_goal=True)
    errors = [_error("told", policy.plan(seen), expert, other)]
    if phrase is not None:
        errors.append(_error("rephrased", policy.plan(replace(seen, instruction=phrase)), expert, other))
    if goal is not None and other is not None:
        errors.append(
            _error("other goal", policy.plan(replace(seen, instruction=goal.instruction(rng))), other, expert)
        )
    errors.append(_error("not told", policy.plan(replace(seen, instruction="")), expert, other))
    errors.append(
        _error(
            "other scene",
            policy.plan(replace(seen, images=_elsewhere(scenes, task, seed).images)),
            expert,
            other,
        )
    )
    start = int(rng.integers(1, max(expert.num_frames - 8, 2)))
    errors.append(_error("later", policy.plan(_at(world, seed, start)), expert[start:], None))
    world.close()
    return SceneErrors(task, seed, tuple(errors))


def _expert(world: Tabletop, seed: int, another_goal: bool = False) -> Trajectory:
    """Where the expert's tool is at each control step (frame), from the start on; nothing is rendered."""
    world.begin(seed)
    if another_goal:
        trial = world.trial.with_another_goal()
        assert trial is not None
        world.trial = trial
    poses, openings = [world.world.tool], [world.world.opening]
    for _ in demonstrate(world):
        poses.append(world.world.tool)
        openings.append(world.world.opening)
    return Trajectory(stack(poses), torch.tensor(openings, dtype=torch.float64)).to(torch.float32)


def _at(world: Tabletop, seed: int, start: int) -> Observation:
    """What is seen after so many control steps of the expert's."""
    world.begin(seed)
    for number, _ in enumerate(demonstrate(world), 1):
        if number == start:
            break
    return world.observation()


def _elsewhere(scenes: Scenes, task: str, seed: int) -> Observation:
    world = scenes.world(task)
    seen = world.reset(seed + 100_000)
    world.close()
    return seen


def _error(question: str, plan: Plan, expert: Trajectory, other: Trajectory | None) -> PlanError:
    num_steps = plan.trajectory.num_frames
    truth, rival = _next_steps(expert, num_steps), None if other is None else _next_steps(other, num_steps)
    metres, radians = plan.trajectory.world_from_tool.distance(truth.world_from_tool)
    lost = torch.zeros(num_steps, dtype=torch.bool) if plan.confidence is None else plan.confidence == 0
    millimetres = (1e3 * metres).nan_to_num(LOST_MM).masked_fill(lost, LOST_MM)
    degrees = radians.rad2deg().nan_to_num(LOST_DEG).masked_fill(lost, LOST_DEG)
    right = ((plan.trajectory.opening > 0.5) == (truth.opening > 0.5)).float().mean()
    moved = (truth.world_from_tool.translation[-1] - expert.world_from_tool.translation[0]).norm()
    follows = None if rival is None else _nearer(plan.trajectory, truth, rival)
    if follows and (lost[-1] or not metres[-1].isfinite()):
        follows = False  # what cannot be read follows nobody; where its place-holder lies says nothing
    final, mean, turned = millimetres[-1].item(), millimetres.mean().item(), degrees.mean().item()
    off = 1e3 * _off_path(plan.trajectory, expert)
    return PlanError(
        question,
        final,
        mean,
        turned,
        right.item(),
        1e3 * moved.item(),
        follows,
        LOST_MM if final == LOST_MM else off,
    )


def _off_path(plan: Trajectory, expert: Trajectory) -> float:
    end, path = plan.world_from_tool.translation[-1], expert.world_from_tool.translation
    steps = path.diff(dim=0)
    along = ((end - path[:-1]) * steps).sum(-1) / steps.square().sum(-1).clamp_min(1e-12)
    nearest = path[:-1] + along.clamp(0, 1)[:, None] * steps
    return (nearest - end).norm(dim=-1).amin().item() if len(steps) else (path[0] - end).norm().item()


def _next_steps(path: Trajectory, num_steps: int) -> Trajectory:
    """The control steps after a path's first; from its end on it stands still."""
    return path[torch.arange(1, num_steps + 1).clamp(max=path.num_frames - 1)]


def _nearer(plan: Trajectory, truth: Trajectory, rival: Trajectory) -> bool | None:
    ends = [path.world_from_tool.translation[-1] for path in (plan, truth, rival)]
    if (ends[1] - ends[2]).norm() < UNDECIDED_M:
        return None
    return bool((ends[0] - ends[1]).norm() < (ends[0] - ends[2]).norm())


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
    """A row for each question of each task, then of all tasks together: the mean of their medians would hide how many scenes each has."""
    scenes = list(scenes)
    rows = []
    for task in (*dict.fromkeys(scene.task for scene in scenes), "all"):
        of_task = [error for scene in scenes if task in (scene.task, "all") for error in scene.errors]
        for question in QUESTIONS:
            asked = [error for error in of_task if error.question == question]
            if asked:
                rows.append(_row(task, question, asked))
    return rows


def _row(task: str, question: str, asked: list[PlanError]) -> OpenLoopRow:
    def column(get: Callable[[PlanError], float]) -> torch.Tensor:
        return torch.tensor([get(error) for error in asked], dtype=torch.float64)

    final = column(lambda error: error.final_mm)
    low, high = bootstrap_interval(lambda places: final[places].quantile(0.5).item(), len(final))
    off = [error.off_path_mm for error in asked if error.off_path_mm is not None]
    decided = [error.follows for error in asked if error.follows is not None]
    return OpenLoopRow(
        task,
        question,
        len(asked),
        (final.quantile(0.5).item(), low, high),
        _share(int((final <= NEAR_MM).sum()), len(asked)),
        torch.tensor(off).quantile(0.5).item() if len(off) == len(asked) else None,
        column(lambda error: error.path_mm).quantile(0.5).item(),
        column(lambda error: error.path_deg).quantile(0.5).item(),
        100 * column(lambda error: error.gripper).mean().item(),
        column(lambda error: error.moved_mm).quantile(0.5).item(),
        _share(sum(decided), len(decided)) if decided else None,
    )


def _share(num: int, total: int) -> tuple[float, float, float]:
    low, high = wilson_interval(num, total)
    return 100 * num / total, 100 * low, 100 * high


def markdown(rows: Iterable[OpenLoopRow]) -> str:
    """The rows as a table for documents."""
    lines = [
        "| task | asked | plans | final mm (median) | within 2 cm | off path mm | path mm | path deg | gripper | expert moves | follows |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        follows = "" if row.follows is None else "{:.1f} % ({:.0f}-{:.0f})".format(*row.follows)
        cells = (
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
            follows,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
