"""Judge a model as a simulator of policies: does what succeeds in MuJoCo succeed in the imagined world too?"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    from action_images.evaluation.closed_loop import Make
    from action_images.evaluation.simulator_fidelity import Trust
    from action_images.inference.clip_generator import ClipGenerator
    from action_images.robot import Environment
    from action_images.sim import Tabletop


def main(
    out: Path,
    model: str = "shipped",
    policy: tuple[str, ...] = ("hold", "random"),
    offsets_mm: tuple[float, ...] = (0.0, 20.0, 50.0, 100.0),
    task: tuple[str, ...] = (),
    trials: int = 20,
    views: int = 2,
    seed: int = 0,
    sampling: str | None = None,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Run policies of different quality in MuJoCo and in the model, in the same scenes, and tell how the two agree.

    Writes OUT/pairs.jsonl, a line for each policy and scene as it ends (the same command goes on where it was stopped),
    and OUT/simulator.json. Success inside is judged from the imagined pictures, by a threshold found on MuJoCo's own;
    docs/evaluation.md says how, and what the figures can and cannot show.

    Args:
        model: folder of saved models that simulate, or `shipped`.
        out: folder to write to; one for each model.
        policy: folders of models, `shipped`, `hold` or `random`.
        offsets_mm: also the expert with its path moved aside by so much, once for each of these.
        task: names of tasks; all trained ones if not given.
        trials: how many scenes of each task.
        views: how many cameras.
        seed: of the model's noise and of the policies'.
        sampling: how to sample, a name of generation.GENERATIONS; the model's own if not given.
        device: where the model runs, such as cuda or cpu.
        dtype: of the transformer and the language model.
    """
    import json
    from dataclasses import asdict
    from functools import partial

    import torch
    from rich.console import Console
    from rich.progress import track

    from action_images.cli.serve import in_dtype
    from action_images.evaluation.closed_loop import addresses, write_whole
    from action_images.evaluation.protocols import protocol_named
    from action_images.evaluation.simulator_fidelity import append_pair, compare, load_pairs, trust
    from action_images.files.lock import alone_in
    from action_images.files.settings import keep_settings
    from action_images.inference.clip_generator import ClipGenerator
    from action_images.model.shipped import models_folder, models_name
    from action_images.sim import find_task

    if trials < 1 or views < 1:
        raise ActionImagesError(f"--trials {trials}, --views {views}: give at least one of each")
    generator = ClipGenerator.load(models_folder(model), device, sampling, getattr(torch, dtype))
    protocol = protocol_named("in_domain")
    tasks = tuple(dict.fromkeys(task)) or protocol.tasks
    for name in tasks:
        find_task(name)
    policies = _policies(policy, offsets_mm, seed)
    scenes = addresses(tasks, trials)
    console = Console()
    with alone_in(out):
        done = load_pairs(out)
        settings = {
            "model": models_name(model) + in_dtype(dtype),
            "views": views,
            "seed": seed,
            "sampling": sampling,
        }
        keep_settings(out / "settings.json", settings, empty=not done)
        known = frozenset(pair.key for pair in done)
        pairs = compare(
            policies,
            protocol,
            partial(_imagined, generator, seed),
            scenes,
            views,
            generator.clips.size,
            known,
        )
        left = sum((name, *scene) not in known for scene in scenes for name in policies)
        for pair in track(pairs, "both worlds", left, console=Console(stderr=True)):
            append_pair(out, pair)
    asked = {(name, *scene) for scene in scenes for name in policies}
    made = trust([pair for pair in load_pairs(out) if pair.key in asked])
    told = json.dumps(_finite(asdict(made)), indent=2)
    write_whole(out / "simulator.json", told + "\n")
    for table in _tables(made):
        console.print(table)
    console.print(f"written: {out / 'simulator.json'}", soft_wrap=True)


def _imagined(generator: "ClipGenerator", seed: int, world: "Tabletop") -> "Environment":
    """The model as a world whose trials begin with what MuJoCo shows."""
    from action_images.inference.learned_simulator import LearnedSimulator

    return LearnedSimulator(generator, world.reset, lambda _: False, world.control_hz, seed)


def _policies(named: tuple[str, ...], offsets_mm: tuple[float, ...], seed: int) -> "dict[str, Make]":
    """Name -> what makes it."""
    from functools import partial

    from action_images.cli.evaluate import generative_policy
    from action_images.evaluation.references import DisplacedExpert, Hold, Random
    from action_images.model.shipped import models_folder, models_name

    if any(not 0 <= offset <= 300 for offset in offsets_mm):
        raise ActionImagesError(f"--offsets-mm {offsets_mm}: an offset lies between 0 and 300 mm")
    made: dict[str, Make] = {
        f"expert {offset:g} mm off": partial(DisplacedExpert, offset / 1e3, seed) for offset in offsets_mm
    }
    for name in dict.fromkeys(named):
        if name in ("hold", "random"):
            made[name] = Hold if name == "hold" else partial(Random, seed)
        else:
            made[models_name(name)] = partial(
                generative_policy, models_folder(name), "policy", False, None, seed
            )
    if len(made) < 2:
        raise ActionImagesError(
            "policies are compared with each other: give at least two with --policy and --offsets-mm"
        )
    return made


def _finite(value):
    """The same for a file: a number that is not finite is null."""
    import math

    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tables(made: "Trust"):
    """Policies in both worlds, and how the two agree."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(
        title=f"both worlds; pictures count as success from a progress of {made.threshold:.2f} on",
        box=SIMPLE,
        padding=(0, 0, 0, 1),
    )
    for heading in (
        "policy",
        "scenes",
        "success %",
        "inside %",
        "progress",
        "imagined",
        "missed mm",
        "inside mm",
    ):
        # In a narrow terminal names are wrapped, never figures.
        named = heading == "policy"
        table.add_column(
            heading.replace(" ", "\n"),
            justify="left" if named else "right",
            no_wrap=not named,
            overflow="fold",
        )
    for row in made.policies:
        cells = (100 * row.success, 100 * row.success_inside, row.real_progress, row.imagined_progress)
        table.add_row(
            row.policy,
            str(row.num_scenes),
            *(f"{cell:.3g}" for cell in (*cells, row.real_missed_mm, row.imagined_missed_mm)),
        )
    yield table
    table = Table(title="with 95 % bootstrap intervals over scenes", box=SIMPLE)
    for heading in ("figure", "value", "interval"):
        table.add_column(heading)
    for figure in made.figures:
        table.add_row(figure.name, f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")
    yield table
