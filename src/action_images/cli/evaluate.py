"""Judge a policy in closed loop: success with intervals, ceilings beside it, and why each trial failed."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from action_images.evaluation.closed_loop import Judgement, Make
    from action_images.evaluation.trial import TrialRecord


def main(
    policy: str,
    out: Path,
    protocol: Literal["in_domain", "new_viewpoint", "new_look", "new_task", "open_loop"] = "in_domain",
    task: tuple[str, ...] = (),
    trials: int = 100,
    views: int = 2,
    size: int | None = None,
    execute: int | None = None,
    blend: float | None = None,
    best_of: int = 1,
    canvas: Literal["policy", "joint"] = "policy",
    imagine: bool = False,
    sampling: str | None = None,
    seed: int = 0,
    min_confidence: float | None = None,
    workers: int = 1,
    films: bool = True,
    ceiling: bool = True,
) -> None:
    """Judge a policy in closed loop in the embedded world.

    Writes OUT/trials.jsonl, a line for each trial as it ends; the same command goes on where it was stopped, or adds
    trials. OUT/films has the first success and the first failure of each task. OUT/expert and OUT/expert-video are the
    ceilings: the same scenes by the expert, and by the expert seen through action images in a video file.

    Args:
        policy: a folder of models, `shipped`, ws://HOST:PORT, or one of expert, expert-video, hold, random.
        out: results folder; one for each policy and protocol.
        protocol: under which conditions; docs/evaluation.md says what each claims.
        task: names of tasks, where not all of the protocol's are wanted.
        trials: how many scenes of each task.
        views: how many cameras.
        size: height and width of what the cameras show in px; the models' own where it is left out.
        execute: control steps of each plan that are executed before the next one is asked for; the protocol's own where it is left out.
        blend: average overlapping plans, the older ones weighing exp(-BLEND) times less for each plan in between.
        best_of: plan so many times and take the surest plan.
        canvas: whether the model imagines the actions alone (`policy`) or the video besides (`joint`).
        imagine: also decode the imagined video, for the films (with --canvas joint).
        sampling: how to sample, a name of sampler.SAMPLINGS; the models' own where it is left out.
        seed: of the policy's noise; scenes do not depend on it.
        min_confidence: the guard rail below which a pose is not driven to, 0 to 1.
        workers: how many processes run trials, each with the policy loaded.
        films: film the first success and the first failure of each task.
        ceiling: also run the ceilings.
    """
    from dataclasses import replace
    from functools import partial

    from action_images.evaluation.closed_loop import Judgement
    from action_images.evaluation.protocols import protocol_named
    from action_images.evaluation.references import REFERENCES, reference
    from action_images.sim import find_task

    if trials < 1 or best_of < 1 or workers < 1:
        raise ValueError(f"--trials {trials}, --best-of {best_of}, --workers {workers}: give at least one of each")
    conditions = _changed(protocol_named(protocol), execute, blend, min_confidence)
    for name in task:
        find_task(name)
    conditions = replace(conditions, tasks=tuple(dict.fromkeys(task)) or conditions.tasks)
    policy_name, make, own_size, fps = policy_of(policy, canvas, imagine, sampling, seed, best_of)
    seen = (size, size) if size is not None else own_size
    if policy in REFERENCES:
        make = partial(reference, policy, seen, fps)
    judgement = Judgement(protocol, conditions, policy_name, make, views, seen)
    _run(judgement, out, trials, workers, films)
    for name in ("expert", "expert-video") if ceiling and policy not in REFERENCES else ():
        _run(replace(judgement, policy_name=name, make=partial(reference, name, seen, fps)), out / name, trials, workers, films=False)


def _changed(conditions, execute: int | None, blend: float | None, min_confidence: float | None):
    """The protocol with another execution or guard, where asked for."""
    from dataclasses import replace

    from action_images.control import Blend

    execution, guard = conditions.conduct.execution, conditions.conduct.guard
    if execute is not None:
        execution = replace(execution, num_steps=execute)
    if blend is not None:
        execution = replace(execution, blend=Blend(decay=blend))
    if min_confidence is not None:
        guard = replace(guard, min_confidence=min_confidence)
    return replace(conditions, conduct=replace(conditions.conduct, execution=execution, guard=guard))


def policy_of(
    given: str, canvas: str, imagine: bool, sampling: str | None, seed: int, best_of: int
) -> "tuple[str, Make, tuple[int, int], float]":
    """A policy's name, what makes it, the image size (px) it is shown by default, and its frames a second."""
    from functools import partial

    from action_images.evaluation.references import REFERENCES, reference

    default = (128, 128)
    if given in REFERENCES:
        return given, partial(reference, given, default, 5.0), default, 5.0
    if given.startswith(("ws://", "wss://")):
        return given, partial(remote_policy, given), default, 5.0
    folder = shipped_weights() if given == "shipped" else Path(given)
    clips = generative_policy(folder, canvas, imagine, sampling, seed).clips  # loaded here too, so that what is wrong is said once
    variant = "".join(
        f" {name}={value}" for name, value, plain in (("canvas", canvas, "policy"), ("best_of", best_of, 1),
                                                      ("sampling", sampling, None), ("seed", seed, 0)) if value != plain
    )  # fmt: skip
    make = partial(best_policy, folder, canvas, imagine, sampling, seed, best_of)
    return (given if given == "shipped" else folder.resolve().name) + variant, make, clips.size, clips.fps


def best_policy(folder: Path, canvas: str, imagine: bool, sampling: str | None, seed: int, num_plans: int):
    """The policy of a folder of models, or best-of where more than one plan is to be made; other processes call it by name."""
    from action_images.policy import BestOf

    policy = generative_policy(folder, canvas, imagine, sampling, seed)
    return policy if num_plans == 1 else BestOf(policy, num_plans)


def generative_policy(folder: Path, canvas: str, imagine: bool, sampling: str | None, seed: int):
    """The policy of a folder of models."""
    from action_images.policy import GenerativePolicy

    wanted = ("video", "action") if imagine else ("action",)
    return GenerativePolicy.load(folder, sampling=sampling, task=canvas, wanted=wanted, seed=seed)


def remote_policy(uri: str):
    """The policy that a server offers."""
    from action_images.serving.client import RemotePolicy

    return RemotePolicy(uri)


def shipped_weights() -> Path:
    """The folder of the weights that come with this package; raises ValueError where there are none."""
    import action_images

    folder = Path(action_images.__file__).parent / "weights" / "tiny"
    if not folder.is_dir():
        raise ValueError("this installation has no shipped weights (action_images/weights/tiny); give --policy a folder of models")
    return folder


def _run(judgement: "Judgement", out: Path, trials: int, workers: int, films: bool) -> None:
    from rich.console import Console
    from rich.progress import track

    from action_images.evaluation.closed_loop import addresses, evaluate, film
    from action_images.evaluation.trial import load_trials

    console = Console()
    total = len(addresses(judgement.protocol.tasks, trials))
    for _ in track(evaluate(judgement, out, trials, workers), f"{judgement.policy_name:<14}", total, console=console):
        pass
    if films:
        from action_images.evaluation.film import write_film

        for trial in track(film(judgement, out, write_film), f"{'films':<14}", console=console):
            if trial.film is None:
                console.print(f"{trial.task} {trial.seed} ended differently when it was run again: no film")
    asked = set(addresses(judgement.protocol.tasks, trials))
    console.print(_table(judgement, [trial for trial in load_trials(out) if trial.key in asked]))


def _table(judgement: "Judgement", trials: "list[TrialRecord]"):
    """Success by task, why the others failed, and how long a plan takes."""
    from collections import Counter
    from statistics import median

    from rich.box import SIMPLE
    from rich.table import Table

    from action_images.evaluation.statistics import wilson_interval

    table = Table(title=f"{judgement.policy_name}, {judgement.protocol_name}: success % (95 % Wilson interval)", box=SIMPLE)
    for heading in ("task", "trials", "success", "failures", "steps", "plans", "ms a plan"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "success")
    for name in (*judgement.protocol.tasks, "all"):
        rows = [trial for trial in trials if name in ("all", trial.task)]
        won = sum(trial.succeeded for trial in rows)
        low, high = wilson_interval(won, len(rows))
        reasons = Counter(trial.failure for trial in rows if trial.failure)
        plan_ms = [trial.plan_ms for trial in rows if trial.plan_ms is not None]
        table.add_row(
            name,
            str(len(rows)),
            f"{100 * won / len(rows):.1f} ({100 * low:.0f}-{100 * high:.0f})",
            ", ".join(f"{reason} {number}" for reason, number in reasons.most_common()),
            f"{median(trial.num_steps for trial in rows):.0f}",
            f"{median(trial.num_plans for trial in rows):.0f}",
            f"{median(plan_ms):.0f}" if plan_ms else "",
        )
    return table
