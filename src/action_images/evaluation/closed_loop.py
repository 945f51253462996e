"""Evaluate a policy in closed loop: trials run in parallel, and each is recorded when it is over."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from action_images.errors import WeightsChanged
from action_images.evaluation.attribution import attribute, missed_by
from action_images.evaluation.expert import expert_path
from action_images.evaluation.protocols import Address, EvaluationProtocol
from action_images.evaluation.references import Privileged
from action_images.evaluation.results_folder import open_results
from action_images.evaluation.rollout import BegunTrial, Rollout, roll_out
from action_images.evaluation.trial import (
    TRIALS,
    TrialRecord,
    append_trial,
    load_trials,
    write_trials,
)
from action_images.files.atomic import remove_leftovers
from action_images.files.lock import alone_in
from action_images.geometry import Pose
from action_images.parallel.pool import pool_of, told_if_killed
from action_images.robot import Plan, Policy, RepeatableEnvironment

Make = Callable[[], Policy]
"""Loads the policy.

It is called once in every process, so it must be picklable (a function, a class, a functools.partial).
"""

FILMS = "films"
"""The folder of films in a results folder."""


@dataclass(frozen=True)
class EvaluationConfig:
    """One policy under one protocol: everything that a process needs to run any of its trials.

    `size` is (height, width) in px.

    `clips` is the size and rate (height, width, frames a second) of a policy's clips, if its name does not
    say them. Results of other clips do not mix with these.
    """

    protocol_name: str
    protocol: EvaluationProtocol
    policy_name: str
    make: Make
    num_views: int = 2
    size: tuple[int, int] = (128, 128)
    clips: tuple[int, int, float] | None = None

    def environment(self, task: str) -> RepeatableEnvironment:
        """The world in which a task is evaluated."""
        return self.protocol.environment(task, num_views=self.num_views, size=self.size)

    def settings(self) -> dict[str, Any]:
        """The settings that results must share to belong together, as JSON values."""
        names = {
            "protocol": self.protocol_name,
            "policy": self.policy_name,
            "num_views": self.num_views,
            "size": self.size,
        }
        clips = {} if self.clips is None else {"clips": self.clips}
        return json.loads(json.dumps({**names, **clips, **self.protocol.settings()}))


def judge(
    policy: Policy, config: EvaluationConfig, address: Address, *, filming: bool = False
) -> tuple[TrialRecord, Rollout]:
    """Run one trial and return its record and rollout."""
    task, seed = address
    environment = config.environment(task)
    first_seen = environment.reset(seed)
    trial = BegunTrial(environment, task, seed, first_seen=first_seen, max_steps=environment.max_steps)
    if isinstance(policy, Privileged):
        policy.begin(environment, seed)
    asked = config.protocol.misled(policy, seed)
    rollout = roll_out(asked, trial, config.protocol.rollout_config, filming=filming)
    environment.close()
    return trial_record(rollout, config, environment), rollout


def trial_record(
    rollout: Rollout, config: EvaluationConfig, environment: RepeatableEnvironment
) -> TrialRecord:
    """The record of a rollout: counts, times, and the reason if it failed."""
    expert = expert_path(environment, rollout.seed)
    reason = None
    if not rollout.succeeded:
        reason = attribute(rollout, expert, controls_rotation=environment.controls_rotation)
    seconds = len(rollout.steps) / rollout.control_hz
    return TrialRecord(
        protocol=config.protocol_name,
        policy=config.policy_name,
        task=rollout.task,
        seed=rollout.seed,
        instruction=rollout.instruction,
        succeeded=rollout.succeeded,
        failure=None if reason is None else reason.failure,
        detail=f"done after {seconds:.1f} s" if reason is None else reason.detail,
        num_steps=len(rollout.steps),
        num_plans=len(rollout.plans),
        num_unreachable=rollout.num_unreachable,
        missed_mm=None if expert is None else 1e3 * missed_by(rollout, expert),
        plan_ms=median(rollout.plan_ms) if rollout.plan_ms else None,
        stage_ms=_median_stages(rollout.plans),
        touched=rollout.touched,
    )


def _median_stages(plans: Iterable[Plan]) -> dict[str, float] | None:
    """The median time (ms) of each stage of planning; None if no plan has stage times."""
    took: dict[str, list[float]] = {}
    for plan in plans:
        for name, stage_ms in (plan.stage_ms or {}).items():
            took.setdefault(name, []).append(stage_ms)
    return {name: median(times) for name, times in took.items()} or None


def run(
    config: EvaluationConfig, wanted: Iterable[Address], *, num_workers: int = 1
) -> Iterator[TrialRecord]:
    """Run trials and yield each when it is over, in any order.

    With several workers, each is a process that loads the policy itself.

    An exception in a policy is raised here and cancels the trials under way; trials already yielded are kept.
    Raises OSError if a process is killed.
    """
    wanted = list(wanted)
    if num_workers <= 1 or len(wanted) <= 1:
        policy = config.make()
        for address in wanted:
            trial, _ = judge(policy, config, address)
            yield trial
        return
    workers = pool_of(num_workers, _prepare, (config, _threads_each(num_workers)), on_cards=True)
    with told_if_killed(), workers as pool:
        running = [pool.submit(_judge, address) for address in wanted]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            for waiting in running:
                waiting.cancel()


def _threads_each(num_workers: int) -> int:
    return max(torch.get_num_threads() // num_workers, 1)


_asked: list[EvaluationConfig] = []
_loaded: list[Policy] = []


def _prepare(config: EvaluationConfig, num_threads: int) -> None:
    torch.set_num_threads(num_threads)
    _asked.append(config)


def _judge(address: Address) -> TrialRecord:
    (config,) = _asked
    # Load at the first trial, so that an error of loading is raised like all others.
    if not _loaded:
        _loaded.append(config.make())
    (policy,) = _loaded
    trial, _ = judge(policy, config, address)
    return trial


def evaluate(
    config: EvaluationConfig, folder: Path, num_trials: int, *, num_workers: int = 1
) -> Iterator[TrialRecord]:
    """Run the trials that a results folder lacks of `num_trials` of each task; each is added when it is over.

    After an interruption, the same call continues. Raises ActionImagesError if the folder holds trials of
    other settings, or another process is writing there. Raises WeightsChanged, saying whose the trials are,
    if the policy's weights become others.
    """
    wanted = config.protocol.addresses(num_trials)
    with alone_in(folder):
        open_results(folder, TRIALS, config.settings())
        done = {trial.key for trial in load_trials(folder)} if (folder / TRIALS).is_file() else set()
        missing = [address for address in wanted if address not in done]
        with _of_one_policy(config, folder):
            for trial in run(config, missing, num_workers=num_workers):
                append_trial(folder, trial)
                yield trial


@contextmanager
def _of_one_policy(config: EvaluationConfig, folder: Path) -> Iterator[None]:
    """Add to a WeightsChanged whose the trials in the folder are."""
    try:
        yield
    except WeightsChanged as error:
        trials = load_trials(folder) if (folder / TRIALS).is_file() else []
        counts = Counter(trial.task for trial in trials)
        done = ", ".join(f"{number} of {task}" for task, number in sorted(counts.items())) or "none yet"
        raise WeightsChanged(
            f"{folder / TRIALS}: has trials of '{config.policy_name}' alone ({done}), which stay; {error}"
        ) from error


def to_be_filmed(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The first success and the first failure of each task, by seed."""
    first: dict[tuple[str, bool], TrialRecord] = {}
    for trial in sorted(trials, key=lambda trial: trial.key):
        first.setdefault((trial.task, trial.succeeded), trial)
    return list(first.values())


Write = Callable[[Rollout, Path, str, Pose | None], object]
"""Writes a film of a rollout to a path that ends in .mp4, with a text of how it ended.

The last argument is the tool's pose (world) at the expert's end, None if there is no expert.
"""


def film(
    config: EvaluationConfig, folder: Path, write: Write, *, num_workers: int = 1
) -> Iterator[TrialRecord]:
    """Run the trials that are to be filmed again, film them, and put the films' paths into their records.

    The last bits of a network's sums depend on the number of threads, and a trial's outcome can depend on
    them. So the trials are run with as many threads as each of the `num_workers` had. A trial that still ends
    differently (its policy is not repeatable) is yielded without a film.
    """
    with _num_threads(_threads_each(num_workers)), alone_in(folder), _of_one_policy(config, folder):
        remove_leftovers(folder / FILMS)
        trials = {trial.key: trial for trial in load_trials(folder)}
        policy = config.make()
        for trial in to_be_filmed(trials.values()):
            if trial.film is not None and (folder / trial.film).is_file():
                continue
            filmed = _filmed(policy, config, trial, folder, write)
            if filmed is not trial:
                trials[trial.key] = filmed
                write_trials(folder, trials.values())
            yield filmed


def _filmed(
    policy: Policy, config: EvaluationConfig, trial: TrialRecord, folder: Path, write: Write
) -> TrialRecord:
    """The record with the path of its film; the record unchanged if the trial ended differently this time."""
    again, rollout = judge(policy, config, trial.key, filming=True)
    if again.succeeded != trial.succeeded:
        return trial
    name = f"{FILMS}/{trial.task}_{trial.seed}.mp4"
    (folder / name).parent.mkdir(exist_ok=True)
    expert = expert_path(config.environment(trial.task), trial.seed)
    goal = None if expert is None else expert.world_from_tool[-1]
    write(rollout, folder / name, again.detail, goal)
    return replace(trial, film=name)


@contextmanager
def _num_threads(num_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
