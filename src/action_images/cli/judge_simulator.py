"""Judge a model as a simulator of policies: does what succeeds in MuJoCo also succeed when imagined?

action-images judge-simulator --out simulator
action-images judge-simulator --policy hold random shipped --trials 50 --out simulator
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.model_options import ModelOptions
from action_images.terminal.paths import OutFolder
from action_images.terminal.worlds import DEFAULT_WORLD, chosen_world

if TYPE_CHECKING:
    from rich.table import Table

    from action_images.evaluation.closed_loop import Make
    from action_images.evaluation.simulator_fidelity import Fidelity
    from action_images.inference.clip_generator import ClipGenerator
    from action_images.robot import Environment, RepeatableEnvironment


def main(
    out: OutFolder,
    policy: tuple[str, ...] = ("hold", "random"),
    offsets_mm: tuple[float, ...] = (0.0, 20.0, 50.0, 100.0),
    task: tuple[str, ...] = (),
    env: str = DEFAULT_WORLD,
    trials: int = 20,
    views: int = 2,
    seed: int = 0,
    models: Annotated[ModelOptions, tyro.conf.arg(name="")] = ModelOptions(),
) -> None:
    """Run policies of different quality in the same scenes, in MuJoCo and in the model, and report how the
    two agree.

    Writes OUT/pairs.jsonl, one line for each policy and scene as it ends, and OUT/simulator.json. The same
    command resumes a stopped run. Success in the model is judged from the imagined pictures, by a threshold
    found on MuJoCo's own pictures. docs/evaluation.md says how, and what the figures can and cannot show.

    Args:
        out: folder to write to; use one for each model.
        policy: folders of models, `shipped`, `hold` or `random`.
        offsets_mm: also run the expert with its path shifted by this distance, once for each value.
        task: names of tasks or of groups of tasks; all trained ones if not given.
        env: the world, or WORLD/TASK; 'action-images envs' lists them.
        trials: how many scenes of each task.
        views: how many cameras.
        seed: seed of the model's noise and of the policies.
    """
    from dataclasses import asdict, replace

    from action_images.evaluation.protocols import protocol_named
    from action_images.evaluation.simulator_fidelity import fidelity
    from action_images.evaluation.simulator_pairs import load_pairs
    from action_images.files.atomic import write_json
    from action_images.terminal.console import PlainConsole

    if trials < 1 or views < 1:
        raise ActionImagesError(f"--trials {trials}, --views {views}: give at least one of each")
    benchmark, tasks = chosen_world(env, task)
    protocol = protocol_named("in_domain", benchmark.name)
    models = models.placed().held()
    policies = _policies(policy, offsets_mm, seed, models)
    scenes = replace(protocol, tasks=tasks).addresses(trials)
    settings = {"model": models.name, "views": views, "seed": seed, "sampling": models.sampling}
    if benchmark.name != DEFAULT_WORLD:
        settings |= {"world": benchmark.name}
    # The world's version, its cameras and look, and the way plans are carried out.
    settings |= {name: value for name, value in protocol.settings().items() if name != "claim"}
    _run(out, policies, scenes, models, settings)
    asked = set(product(policies, scenes))
    made = fidelity([pair for pair in load_pairs(out) if (pair.key[0], pair.key[1:]) in asked])
    write_json(out / "simulator.json", _finite(asdict(made)))
    console = PlainConsole()
    console.print(_policy_table(made))
    console.print(_figure_table(made))
    console.print(f"written: {out / 'simulator.json'}", soft_wrap=True)


def _run(
    out: OutFolder,
    policies: "Mapping[str, Make]",
    scenes: "Sequence[tuple[str, int]]",
    models: ModelOptions,
    settings: "Mapping[str, Any]",
) -> None:
    """Add the missing pairs to a folder."""
    from functools import partial

    from rich.progress import track

    from action_images.evaluation.protocols import protocol_named
    from action_images.evaluation.results_folder import PAIRS, open_results
    from action_images.evaluation.simulator_pairs import BothWorlds, append_pair, compare, load_pairs
    from action_images.files.lock import alone_in
    from action_images.terminal.console import PlainConsole

    protocol = protocol_named("in_domain", settings.get("world", DEFAULT_WORLD))
    generator = models.generator()
    world = protocol.world(num_views=settings["views"], size=generator.clips.size)
    imagine = partial(_imagined, generator, settings["seed"])
    worlds = BothWorlds(world, imagine, rollout_config=protocol.rollout_config)
    with alone_in(out):
        done = load_pairs(out)
        if done:
            _complete(out / "settings.json", settings)
        open_results(out, PAIRS, settings)
        known = frozenset(pair.key for pair in done)
        pairs = compare(policies, worlds, scenes, done=known)
        left = [1 for name, scene in product(policies, scenes) if (name, *scene) not in known]
        for pair in track(pairs, "both worlds", len(left), console=PlainConsole(stderr=True)):
            append_pair(out, pair)


def _complete(path: Path, settings: "Mapping[str, Any]") -> None:
    """Add the settings that earlier versions did not write, as they were then: of the world's version 1."""
    from action_images.files.atomic import write_json
    from action_images.files.settings import load_settings

    known = load_settings(path) if path.is_file() else {}
    if known and "benchmark" not in known:
        name = known.get("world", DEFAULT_WORLD)
        write_json(path, {**settings, "benchmark": [name, "1"], **known})


def _imagined(generator: "ClipGenerator", seed: int, world: "RepeatableEnvironment") -> "Environment":
    """The model as a world; its trials begin with what MuJoCo shows."""
    from action_images.inference.learned_simulator import LearnedSimulator

    return LearnedSimulator(generator, world.reset, lambda _: False, world.control_hz, seed)


def _policies(
    named: tuple[str, ...], offsets_mm: tuple[float, ...], seed: int, models: ModelOptions
) -> "dict[str, Make]":
    """Name -> a maker of the policy; policies of models run on the device of the judged models."""
    from functools import partial

    from action_images.evaluation.references import DisplacedExpert
    from action_images.policies import REFERENCES, Planning, policy_named

    if any(not 0 <= offset <= 300 for offset in offsets_mm):
        raise ActionImagesError(f"--offsets-mm {offsets_mm}: an offset lies between 0 and 300 mm")
    made: dict[str, Make] = {}
    for offset in offsets_mm:
        made[f"expert {offset:g} mm off"] = partial(DisplacedExpert, offset / 1e3, seed)
    for name in dict.fromkeys(named):
        planning = Planning() if name == "hold" else Planning(seed=seed)
        if name not in REFERENCES:
            planning = Planning(seed=seed, device=models.device)
        named_policy = policy_named(name, planning)
        made[named_policy.name] = named_policy.make
    if len(made) < 2:
        raise ActionImagesError(
            "policies are compared with each other: give at least two with --policy and --offsets-mm"
        )
    return made


def _finite(value):
    """The value as a file stores it: a number that is not finite becomes null."""
    import math

    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _policy_table(made: "Fidelity") -> "Table":
    """Success of each policy in both worlds."""
    from action_images.terminal.tables import figure_table

    title = f"both worlds; pictures count as success from a progress of {made.threshold:.2f} on"
    headings = ("scenes", "success %", "inside %", "progress", "imagined", "missed mm", "inside mm")
    table = figure_table(title, "policy", headings)
    for row in made.policies:
        success = (100 * row.success, 100 * row.success_inside)
        progress = (row.real_progress, row.imagined_progress)
        missed_mm = (row.real_missed_mm, row.imagined_missed_mm)
        cells = [f"{figure:.3g}" for figure in (*success, *progress, *missed_mm)]
        table.add_row(row.policy, str(row.num_scenes), *cells)
    return table


def _figure_table(made: "Fidelity") -> "Table":
    """Figures of how far the two worlds agree."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title="with 95 % bootstrap intervals over scenes", box=SIMPLE)
    for heading in ("figure", "value", "interval"):
        table.add_column(heading)
    for figure in made.figures:
        table.add_row(figure.name, f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")
    return table
