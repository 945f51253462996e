"""Judge a policy in closed loop: success with intervals, ceilings for comparison, and reasons of failures.

action-images evaluate --policy shipped --out results/shipped
action-images evaluate --policy expert --env metaworld/mt10 --trials 20 --out results/metaworld
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from action_images.errors import ActionImagesError
from action_images.policies import Planning
from action_images.terminal.paths import OutFolder
from action_images.terminal.placing import planning_placed
from action_images.terminal.server_options import ServerOptions
from action_images.terminal.worlds import DEFAULT_WORLD, chosen_world

if TYPE_CHECKING:
    from rich.table import Table

    from action_images.evaluation.closed_loop import EvaluationConfig
    from action_images.evaluation.protocols import EvaluationProtocol
    from action_images.evaluation.trial import TrialRecord
    from action_images.policies import NamedPolicy

CEILINGS = ("expert", "expert-video")


@dataclass(frozen=True)
class Conditions:
    """The conditions that the policy is judged under."""

    protocol: Literal[
        "in_domain",
        "new_viewpoint",
        "new_look",
        "new_look_checkered",
        "new_task",
        "open_loop",
        "paper",
        "paper_open_loop",
    ] = "in_domain"
    """The conditions; docs/evaluation.md says what each protocol claims."""
    env: str = DEFAULT_WORLD
    """The world, or WORLD/TASK; 'action-images envs' lists them."""
    task: tuple[str, ...] = ()
    """Names of tasks or of groups of tasks; all of the protocol's if not given."""
    rig: str | None = None
    """Where the cameras stand, in the embedded world fixed, sampled, around, held_out or moving; the
    protocol's own if not given."""
    camera_error_deg: float = 0.0
    """A control: give the policy cameras that are wrong by so many degrees. Each stands that much further
    round the workspace, to the left or to the right, than the camera that took the image."""
    trials: int = 100
    """How many scenes of each task."""
    wording: Literal["phrasings", "grammar", "new_wording", "new_pair"] = "phrasings"
    """How tasks are worded: in a few phrasings, or in sentences of a grammar. Those of `grammar` may appear
    in training, those of `new_wording` never do, and `new_pair` has verbs never shown with this noun."""
    views: int = 2
    """How many cameras."""
    size: int | None = None
    """Height and width of the camera images in px; the models' own if not given."""


@dataclass(frozen=True)
class Driving:
    """How plans are executed."""

    execute: int | None = None
    """Control steps of each plan that are executed before the next plan is requested; the protocol's own if
    not given."""
    blend: float | None = None
    """Average overlapping plans; each newer plan multiplies a plan's weight by exp(-BLEND)."""
    min_confidence: float | None = None
    """Confidence, 0 to 1, below which the guard rail does not drive to a pose."""
    latency_ms: float = 0.0
    """Delay in ms from an observation to its plan; meanwhile the arm keeps moving. 0: the world waits."""
    latency_jitter_ms: float = 0.0
    """Largest deviation of each latency in ms, shorter or longer, drawn uniformly."""
    lost_plans: float = 0.0
    """Share of the plans that never arrive, 0 to below 1."""


def main(
    policy: str,
    out: OutFolder,
    on: Annotated[Conditions, tyro.conf.arg(name="")] = Conditions(),
    driving: Annotated[Driving, tyro.conf.arg(name="")] = Driving(),
    planning: Annotated[Planning, tyro.conf.arg(name="")] = Planning(),
    server: Annotated[ServerOptions, tyro.conf.arg(name="")] = ServerOptions(),
    workers: int = 1,
    *,
    films: bool = True,
    ceiling: bool = True,
) -> None:
    """Judge a policy in closed loop in a simulator.

    Writes OUT/trials.jsonl, one line for each trial as it ends; the same command resumes a stopped run or
    adds trials. OUT/films has the first success and the first failure of each task. OUT/expert and
    OUT/expert-video are the ceilings in the same scenes: the expert, and the expert seen through action
    images in a video file.

    Args:
        policy: a folder of models, `shipped`, ws://HOST:PORT (wss:// for TLS), expert, expert-video, hold or
            random.
        out: results folder; use one for each policy and protocol.
        workers: how many processes run trials, each with the policy loaded.
        films: film the first success and the first failure of each task.
        ceiling: also run the ceilings.
    """
    from action_images.evaluation.closed_loop import EvaluationConfig
    from action_images.policies import REFERENCES, policy_named

    if on.trials < 1 or planning.best_of < 1 or workers < 1:
        raise ActionImagesError(
            f"--trials {on.trials}, --best-of {planning.best_of}, --workers {workers}: give at least one of "
            "each"
        )
    if workers > 1 and ":" in planning.device:
        raise ActionImagesError(
            f"--device {planning.device}: each of {workers} workers is given a card of its own; "
            "give --device cuda, or --workers 1"
        )
    protocol = _protocol(on, driving)
    square = None if on.size is None else (on.size, on.size)
    planning = planning_placed(policy, planning)
    judged = policy_named(policy, planning, server.access(), reference_size=square).tried()
    shown = square or judged.image_size
    config = EvaluationConfig(on.protocol, protocol, judged.name, judged.make, on.views, shown, judged.clips)
    _run(config, out, on.trials, workers, films=films)
    if not ceiling or policy in REFERENCES:
        return
    for name in CEILINGS:
        _run(_beside(config, judged, name), out / name, on.trials, workers, films=False)


def _protocol(on: Conditions, driving: Driving) -> "EvaluationProtocol":
    """The requested protocol, with other tasks, execution or guard if requested."""
    from action_images.evaluation.protocols import protocol_named

    name, _, group = on.env.partition("/")
    _, tasks = chosen_world(on.env, on.task)
    protocol = protocol_named(on.protocol, name)
    if not (group or on.task):
        tasks = protocol.tasks
    other = next((one for one in tasks if one not in protocol.tasks), None)
    if other is not None:
        told = ", ".join(protocol.tasks)
        raise ActionImagesError(
            f"--task {other}: the protocol {on.protocol} is about {told}; choose another --protocol"
        )
    wording = None if on.wording == "phrasings" else on.wording
    protocol = _seen_by(replace(protocol, tasks=tasks, wording=wording), on)
    return _driven(protocol, driving)


def _seen_by(protocol: "EvaluationProtocol", on: Conditions) -> "EvaluationProtocol":
    """The protocol with the requested cameras; its claim names them if they are not its own.

    Raises ActionImagesError if the protocol is about other cameras.
    """
    from action_images.benchmarks import find_benchmark

    if on.camera_error_deg:
        claim = f"{protocol.claim}; but the cameras given are wrong by {on.camera_error_deg:g} degrees"
        protocol = replace(protocol, claim=claim, camera_error_deg=on.camera_error_deg)
    own = protocol.rig or find_benchmark(protocol.benchmark_name).rigs[0]
    if on.rig is None or on.rig == own:
        return protocol
    if protocol.rig is not None:
        raise ActionImagesError(
            f"--rig {on.rig}: the protocol {on.protocol} is about the rig '{own}'; leave --rig out, or "
            "choose another --protocol"
        )
    return replace(protocol, rig=on.rig, claim=f"{protocol.claim}; but the cameras are the rig '{on.rig}'")


def _driven(protocol: "EvaluationProtocol", driving: Driving) -> "EvaluationProtocol":
    from action_images.control import Blend
    from action_images.evaluation.latency import Latency

    latency = Latency(driving.latency_ms, jitter_ms=driving.latency_jitter_ms, lost=driving.lost_plans)
    rollout_config = protocol.rollout_config
    execution, guard = rollout_config.execution, rollout_config.guard
    if driving.blend is not None:
        if execution.max_plans == 1:
            raise ActionImagesError(
                "--blend averages plans that overlap, and this protocol makes a single one; leave it out"
            )
        execution = replace(execution, blend=Blend(decay=driving.blend))
    if driving.execute is not None:
        execution = replace(execution, num_steps=driving.execute)
    if driving.min_confidence is not None:
        guard = replace(guard, min_confidence=driving.min_confidence)
    rollout_config = replace(rollout_config, execution=execution, guard=guard, latency=latency)
    return replace(protocol, rollout_config=rollout_config)


def _beside(config: "EvaluationConfig", judged: "NamedPolicy", ceiling: str) -> "EvaluationConfig":
    """A ceiling in the same scenes, at the size and rate of the policy's own clips."""
    from action_images.policies import ReferencePolicy

    make = ReferencePolicy(ceiling, judged.image_size, judged.fps)
    clips = judged.clips if ceiling == "expert-video" else None
    return replace(config, policy_name=ceiling, make=make, clips=clips)


def _run(config: "EvaluationConfig", out: Path, trials: int, workers: int, *, films: bool) -> None:
    from rich.progress import track

    from action_images.evaluation.closed_loop import evaluate
    from action_images.evaluation.trial import load_trials
    from action_images.terminal.console import PlainConsole

    console = PlainConsole()
    scenes = config.protocol.addresses(trials)
    running = evaluate(config, out, trials, num_workers=workers)
    for _ in track(running, f"{config.policy_name:<14}", len(scenes), console=console):
        pass
    if films:
        _film(config, out, workers)
    asked = set(scenes)
    console.print(_table(config, [trial for trial in load_trials(out) if trial.key in asked]))


def _film(config: "EvaluationConfig", out: Path, workers: int) -> None:
    from rich.progress import track

    from action_images.evaluation.closed_loop import film
    from action_images.reports.filmed_trial import write_filmed_trial
    from action_images.terminal.console import PlainConsole

    console = PlainConsole()
    filming = film(config, out, write_filmed_trial, num_workers=workers)
    for trial in track(filming, f"{'films':<14}", console=console):
        if trial.film is None:
            console.print(f"{trial.task} {trial.seed} ended differently when it was run again: no film")


def _table(config: "EvaluationConfig", trials: "list[TrialRecord]") -> "Table":
    """Success by task, reasons of failures, and the time of a plan."""
    from rich.box import SIMPLE
    from rich.table import Table

    from action_images.benchmarks import find_benchmark

    title = (
        f"{config.policy_name}, {_conditions(config)}: success % (95 % Wilson interval), "
        "and at any step where that differs"
    )
    table = Table(title=title, box=SIMPLE)
    for heading in ("task", "trials", "success", "failures", "steps", "plans", "ms a plan"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "success")
    for name in config.protocol.tasks:
        table.add_row(name, *_cells([trial for trial in trials if trial.task == name]))
    benchmark = find_benchmark(config.protocol.benchmark_name)
    tasks = set(config.protocol.tasks)
    if tasks & set(benchmark.trained) and tasks & set(benchmark.held_out):
        for kind, names in (("all trained", benchmark.trained), ("all never trained", benchmark.held_out)):
            table.add_row(kind, *_cells([trial for trial in trials if trial.task in names]))
    table.add_row("all", *_cells(trials))
    return table


def _conditions(config: "EvaluationConfig") -> str:
    """The protocol, its cameras if they are not those of its world's training, and their error if any."""
    rig, error_deg = config.protocol.rig, config.protocol.camera_error_deg
    cameras = "" if rig is None else f", rig {rig}"
    return f"{config.protocol_name}{cameras}" + (f", cameras wrong by {error_deg:g} deg" if error_deg else "")


def _cells(trials: "list[TrialRecord]") -> Iterable[str]:
    from collections import Counter
    from statistics import median

    reasons = Counter(trial.failure for trial in trials if trial.failure)
    plan_ms = [trial.plan_ms for trial in trials if trial.plan_ms is not None]
    return (
        str(len(trials)),
        _success(trials),
        ", ".join(f"{reason} {number}" for reason, number in reasons.most_common()),
        f"{median(trial.num_steps for trial in trials):.0f}",
        f"{median(trial.num_plans for trial in trials):.0f}",
        f"{median(plan_ms):.0f}" if plan_ms else "",
    )


def _success(trials: "list[TrialRecord]") -> str:
    from action_images.evaluation.table import num_touched
    from action_images.terminal.tables import rate

    num_succeeded, touched = sum(trial.succeeded for trial in trials), num_touched(trials)
    cell = rate(num_succeeded, len(trials))
    return cell if touched in (None, num_succeeded) else f"{cell}\nany step {rate(touched, len(trials))}"
