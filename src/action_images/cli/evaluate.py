"""Judge a policy in closed loop: success with intervals, ceilings beside it, and why each trial failed."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    from action_images.evaluation.closed_loop import EvaluationConfig, Make
    from action_images.evaluation.trial import TrialRecord

DEFAULT_SIZE = (128, 128)
"""Height and width (px) of what is shown to a policy that was made for no size of its own."""
DEFAULT_FPS = 5.0
"""Frames a second of the ceiling `expert-video` beside a policy that does not say at which rate it was trained."""


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
    token_file: Path | None = None,
    actions: Literal["matrix", "pose", "euler", "delta"] | None = None,
) -> None:
    """Judge a policy in closed loop in the embedded world.

    Writes OUT/trials.jsonl, a line for each trial as it ends; the same command goes on where it was stopped, or adds
    trials. OUT/films has the first success and the first failure of each task. OUT/expert and OUT/expert-video are the
    ceilings: the same scenes by the expert, and by the expert seen through action images in a video file.

    Args:
        policy: a folder of models, `shipped`, ws://HOST:PORT (wss:// for TLS), or one of expert, expert-video, hold, random.
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
        sampling: how to sample, a name of generation.GENERATIONS; the models' own where it is left out.
        seed: of the policy's noise; scenes do not depend on it.
        min_confidence: the guard rail below which a pose is not driven to, 0 to 1.
        workers: how many processes run trials, each with the policy loaded.
        films: film the first success and the first failure of each task.
        ceiling: also run the ceilings.
        token_file: a file with the token that the policy server at ws:// asks for.
        actions: the format of actions (docs/serving.md) that the server at ws:// is asked for, and that a server which names none
            answers in; `matrix` where it is left out.
    """
    from dataclasses import replace
    from functools import partial

    from action_images.evaluation.closed_loop import EvaluationConfig
    from action_images.evaluation.protocols import protocol_named
    from action_images.evaluation.references import REFERENCES, reference
    from action_images.sim import find_task

    if trials < 1 or best_of < 1 or workers < 1:
        raise ActionImagesError(
            f"--trials {trials}, --best-of {best_of}, --workers {workers}: give at least one of each"
        )
    conditions = _changed(protocol_named(protocol), execute, blend, min_confidence)
    for name in task:
        find_task(name)
        if name not in conditions.tasks:
            raise ActionImagesError(
                f"--task {name}: the protocol {protocol} is about {', '.join(conditions.tasks)}; choose another --protocol"
            )
    conditions = replace(conditions, tasks=tuple(dict.fromkeys(task)) or conditions.tasks)
    policy_name, make, own_size, fps = policy_of(
        policy, canvas, imagine, sampling, seed, best_of, token_file, actions
    )
    seen = (size, size) if size is not None else own_size
    drawn = seen if policy in REFERENCES else own_size
    clips = None if policy in REFERENCES and policy != "expert-video" else (*drawn, fps)
    if policy in REFERENCES:
        make = partial(reference, policy, drawn, fps)
    config = EvaluationConfig(protocol, conditions, policy_name, make, views, seen, clips)
    _run(config, out, trials, workers, films)
    for name in ("expert", "expert-video") if ceiling and policy not in REFERENCES else ():
        made = partial(reference, name, own_size, fps)
        beside = replace(config, policy_name=name, make=made, clips=clips if name == "expert-video" else None)
        _run(beside, out / name, trials, workers, films=False)


def _changed(conditions, execute: int | None, blend: float | None, min_confidence: float | None):
    """The protocol with another execution or guard, where asked for."""
    from dataclasses import replace

    from action_images.control import Blend

    execution, guard = conditions.rollout_config.execution, conditions.rollout_config.guard
    if blend is not None and execution.max_plans == 1:
        raise ActionImagesError(
            "--blend averages plans that overlap, and this protocol makes a single one; leave it out"
        )
    if execute is not None:
        execution = replace(execution, num_steps=execute)
    if blend is not None:
        execution = replace(execution, blend=Blend(decay=blend))
    if min_confidence is not None:
        guard = replace(guard, min_confidence=min_confidence)
    return replace(
        conditions, rollout_config=replace(conditions.rollout_config, execution=execution, guard=guard)
    )


def policy_of(
    given: str,
    canvas: str,
    imagine: bool,
    sampling: str | None,
    seed: int,
    best_of: int,
    token_file: Path | None = None,
    actions: str | None = None,
) -> "tuple[str, Make, tuple[int, int], float]":
    """A policy's name, what makes it, the image size (px) it is shown by default, and its frames a second."""
    from functools import partial

    from action_images.evaluation.references import REFERENCES, reference
    from action_images.model.bundle import load_clips
    from action_images.model.shipped import models_folder, models_name

    changed = {
        "--canvas": canvas != "policy",
        "--imagine": imagine,
        "--sampling": sampling,
        "--seed": seed != 0,
        "--best-of": best_of != 1,
    }
    names = ", ".join(name for name, value in changed.items() if value)
    if names and (given in REFERENCES or given.startswith(("ws://", "wss://"))):
        raise ActionImagesError(
            f"{names}: is for a folder of models; '{given}' plans as it does (a server is told so where it is started)"
        )
    of_server = ", ".join(
        name
        for name, value in {"--token-file": token_file, "--actions": actions}.items()
        if value is not None
    )
    if of_server and not given.startswith(("ws://", "wss://")):
        raise ActionImagesError(f"{of_server}: is for a policy server (ws://HOST:PORT), not for '{given}'")
    if given in REFERENCES:
        return given, partial(reference, given, DEFAULT_SIZE, DEFAULT_FPS), DEFAULT_SIZE, DEFAULT_FPS
    if given.startswith(("ws://", "wss://")):
        return _remote(given, token_file, actions)
    folder = models_folder(given)
    best_policy(
        folder, canvas, imagine, sampling, seed, best_of
    )  # here too, so that what is wrong is said once
    clips = load_clips(folder)
    if clips is None:
        raise ActionImagesError(
            f"{folder}: does not say what clips its models were trained on; save them with clips"
        )
    variant = "".join(
        f" {name}={value}" for name, value, plain in (("canvas", canvas, "policy"), ("best_of", best_of, 1),
                                                      ("sampling", sampling, None), ("seed", seed, 0)) if value != plain
    )  # fmt: skip
    make = partial(best_policy, folder, canvas, imagine, sampling, seed, best_of)
    return models_name(given) + variant, make, clips.size, clips.fps


def best_policy(folder: Path, canvas: str, imagine: bool, sampling: str | None, seed: int, num_plans: int):
    """The policy of a folder of models, or best-of where more than one plan is to be made; other processes call it by name."""
    from action_images.policy import BestOf, Proposer

    policy = generative_policy(folder, canvas, imagine, sampling, seed)
    if num_plans == 1:
        return policy
    if not isinstance(policy, Proposer):
        raise ActionImagesError(
            f"{folder}: gives the same plan each time, so there is no best of {num_plans}; leave --best-of out"
        )
    return BestOf(policy, num_plans)


def generative_policy(
    folder: Path,
    canvas: str,
    imagine: bool,
    sampling: str | None,
    seed: int,
    device: str = "cpu",
    dtype: str = "float32",
):
    """The policy of a folder of models, also of the baseline that answers in numbers, whose networks are small and stay float32."""
    import torch

    from action_images.baselines.network import PathRegressor
    from action_images.baselines.policy import VectorPolicy
    from action_images.model.bundle import answers_of
    from action_images.policy import GenerativePolicy

    if answers_of(folder) == PathRegressor.answers:
        if (canvas, imagine, sampling, seed) != ("policy", False, None, 0):
            raise ActionImagesError(
                f"{folder}: answers with a path in numbers and imagines nothing: no other canvas, sampling or seed for it"
            )
        if dtype != "float32":
            raise ActionImagesError(f"{folder}: its networks are small and stay float32; leave --dtype out")
        return VectorPolicy.load(folder, device)
    if imagine and canvas != "joint":
        raise ActionImagesError(
            "--imagine decodes the video that a policy imagines, and with --canvas policy it imagines none; give --canvas joint"
        )
    wanted = ("video", "action") if imagine else ("action",)
    return GenerativePolicy.load(
        folder, device, sampling, getattr(torch, dtype), mode=canvas, wanted=wanted, seed=seed
    )


def _remote(
    uri: str, token_file: Path | None, actions: str | None
) -> "tuple[str, Make, tuple[int, int], float]":
    """The same of the policy that a server offers; asks the server, so that what is wrong with it is said once."""
    from functools import partial

    from action_images.cli.serve import read_token

    token = None if token_file is None else read_token(token_file)
    make = partial(remote_policy, uri, token, actions)
    with make() as policy:
        said = policy.metadata
        size, fps = said.get("image_size"), said.get("fps")
    height, width = size if isinstance(size, list) and len(size) == 2 else DEFAULT_SIZE
    rate = float(fps) if isinstance(fps, int | float) and fps > 0 else DEFAULT_FPS
    # Another model behind the same address is another policy.
    name = f"{said['policy']} at {uri}" if said.get("server") == "action-images" else uri
    name += "" if actions is None else f" actions={actions}"
    return name, make, (int(height), int(width)), rate


def remote_policy(uri: str, token: str | None = None, actions: str | None = None):
    """The policy that a server offers; the simulator stands still meanwhile, so only the server (--plan-s) limits a plan's time."""
    from action_images.serving.client import RemotePolicy

    return RemotePolicy(uri, token=token, timeout_s=600.0, actions=actions or "matrix")


def _run(config: "EvaluationConfig", out: Path, trials: int, workers: int, films: bool) -> None:
    from rich.console import Console
    from rich.progress import track

    from action_images.evaluation.closed_loop import addresses, evaluate, film
    from action_images.evaluation.trial import load_trials

    console = Console()
    total = len(addresses(config.protocol.tasks, trials))
    for _ in track(
        evaluate(config, out, trials, workers), f"{config.policy_name:<14}", total, console=console
    ):
        pass
    if films:
        from action_images.reports.film import write_film

        for trial in track(film(config, out, write_film, workers), f"{'films':<14}", console=console):
            if trial.film is None:
                console.print(f"{trial.task} {trial.seed} ended differently when it was run again: no film")
    asked = set(addresses(config.protocol.tasks, trials))
    console.print(_table(config, [trial for trial in load_trials(out) if trial.key in asked]))


def _table(config: "EvaluationConfig", trials: "list[TrialRecord]"):
    """Success by task, why the others failed, and how long a plan takes."""
    from collections import Counter
    from statistics import median

    from rich.box import SIMPLE
    from rich.table import Table

    from action_images.evaluation.statistics import wilson_interval

    table = Table(
        title=f"{config.policy_name}, {config.protocol_name}: success % (95 % Wilson interval)",
        box=SIMPLE,
    )
    for heading in ("task", "trials", "success", "failures", "steps", "plans", "ms a plan"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "success")
    for name in (*config.protocol.tasks, "all"):
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
