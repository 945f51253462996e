"""What each choice of the tiny recipe is worth: short trainings on one task that differ in one choice.

    RECORD="action-images record --task reach_target --size 128 --views 4 --every 4 --hold 32"
    $RECORD --episodes 600 --actor disturbed --out DATA/demonstrations
    $RECORD --episodes 60 --seed 900000 --out DATA/validation
    python bench/ablations.py --data DATA --out RUNS --minutes 4

A few steps measure the rate of a variation first. It is then trained for as many steps as fit into the
minutes, so a slower one sees fewer samples. Each is judged on the same held-out windows and new scenes, with
single answers. `RUNS/ablations.jsonl` has a row for each finished one; run again to make the others.
With `--processor` minutes and rates are of processor time, of the run and its worker together: fair beside
other work. `--task` names what the scenes are of, `--modes tiny` trains all modes of `tiny`.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table

from action_images.evaluation.closed_loop import EvaluationConfig, run
from action_images.evaluation.protocols import protocol_named
from action_images.files import jsonl
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.presets import PRESETS, Preset
from action_images.policy import GenerativePolicy
from action_images.training.log import LOG
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import NO_TEXT_WHERE_SEEN, TINY, TINY_MODES
from action_images.training.run_folder import START
from action_images.training.setup import clips_of
from action_images.training.train import Run, train
from action_images.training.validation import Validation

SIZE = (128, 128)
PROBE_STEPS, WARM_STEPS = 40, 15
WINDOWS = 256
VARIED = "varied"
"""The name that the preset of the variation under way has among the others."""


@dataclass(frozen=True)
class Variation:
    """A recipe that differs in one choice; `preset` is that of its models."""

    choice: str
    name: str
    recipe: Recipe
    preset: Preset


SMALL_CELLS = {
    "output_split": None,
    "patch_size": [1, 2, 2],
    "pixels_per_token": 16,
    "stem_channels": 48,
}
"""Cells of 16 px, as `tiny` had them until 2026-12-01."""


def variations(data: Path, modes: dict[str, float]) -> Iterator[Variation]:
    """What is tried. The recipe itself comes first, with three seeds: their spread is the noise level."""
    source = SourceRecipe(data / "demonstrations", 1.0, modes, 0.02, NO_TEXT_WHERE_SEEN)
    judged = replace(source, path=data / "validation", modes={"policy": 1.0}, drop_text=0.0)
    never = {"validate_minutes": 1e6, "save_minutes": 1e6}
    base = replace(
        TINY,
        preset=VARIED,
        sources=(source,),
        validation=(judged,),
        validation_windows=WINDOWS,
        frames_cache=data / "frames",
        **never,
    )
    tiny = PRESETS["tiny"]

    def of(choice: str, name: str, preset: Preset = tiny, **values: Any) -> Variation:
        return Variation(choice, name, replace(base, **values), preset)

    def network(**values: Any) -> Preset:
        return replace(tiny, transformer={**tiny.transformer, **values})

    for seed in range(3):
        yield of("as it is", f"seed {seed}", seed=seed)
    yield of("first frame", "latents alone, no stem", network(stem_channels=None))
    yield of("cameras", "no rays", network(camera=None))
    small = network(**SMALL_CELLS)
    yield of("cells", "16 px", small)
    yield of("cells", "16 px, batches of 16", small, batch_size=16)
    yield of("cells", "32 px, batches of 16", batch_size=16)
    yield of("cells", "32 px, no split", network(output_split=None))
    yield of("cells", "32 px, stem of 48", network(stem_channels=48))
    yield of("resolution", "96 px, cells of 32", size=(96, 96))
    yield of("resolution", "96 px, cells of 16", small, size=(96, 96))
    yield of("resolution", "128 px, cells of 16", small, size=(128, 128))
    yield of("resolution", "128 px, cells of 32", size=(128, 128))
    yield of("axes", "0.2 m", axis_length=0.2)
    yield of("frames", "5", num_frames=5)
    yield of("tasks", "all six of tiny", sources=(replace(source, modes=TINY_MODES),))
    yield of(
        "autoencoder",
        "32 channels",
        replace(network(in_channels=32, out_channels=32), autoencoder={"channels": 32}),
    )
    yield of(
        "autoencoder",
        "128 channels",
        replace(network(in_channels=128, out_channels=128), autoencoder={"channels": 128}),
    )
    yield of("text", "mean of words, no pickers", network(word_pickers=None))
    yield of("text", "not told", sources=(replace(source, drop_text=1.0),))
    yield of("prediction", "velocity", network(prediction="velocity"))
    yield of("loss", "velocity's weights", loss_weight="velocity")
    yield of("noise", "shift 1", shift=1.0)
    yield of("noise", "shift 5", shift=5.0)
    yield of("noise", "shift 100", shift=100.0)
    yield of("augmentation", "no mirrors", mirror=0.0)
    yield of("optimizer", "batches of 16", batch_size=16)
    yield of("optimizer", "batches of 96", batch_size=96)
    yield of("optimizer", "rate 1e-3", learning_rate=1e-3)
    yield of("optimizer", "no average", ema_decay=None)


@dataclass(frozen=True)
class Trial:
    """How variations are tried: `minutes` of training (of processor time, where `processor`), then so many
    new `scenes` of each task."""

    minutes: float
    processor: bool
    tasks: tuple[str, ...]
    scenes: int


def tried(variation: Variation, out: Path, trial: Trial) -> dict[str, Any]:
    """Train a variation for the minutes and judge it."""
    PRESETS[VARIED] = variation.preset
    probe, folder = out / "probe", out / "run"
    for stale in (probe, folder):
        shutil.rmtree(stale, ignore_errors=True)
    batch = variation.recipe.batch_size
    to_probe = replace(variation.recipe, num_steps=PROBE_STEPS, validation=())
    if trial.processor:
        rate = _processor_rate(to_probe, probe)
    else:
        train(to_probe, probe)
        rate = _rate(probe, batch, WARM_STEPS)
    steps = round(60 * trial.minutes * rate / batch)
    # The same new models, whose autoencoder need not be fitted twice.
    models = train(
        replace(variation.recipe, pretrained=probe / START, num_steps=steps, validation=()), folder
    )
    return {
        "choice": variation.choice,
        "variation": variation.name,
        "minutes": trial.minutes,
        "samples/s": round(rate if trial.processor else _rate(folder, batch, WARM_STEPS), 1),
        "samples": steps * batch,
        **judged_on_windows(models, variation.recipe),
        **judged_in_scenes(models, trial),
    }


def _processor_rate(recipe: Recipe, out: Path) -> float:
    """Samples a second of processor time, of the run and its worker together."""
    run = Run.start(recipe, out)
    steps = run.steps()
    for step, batches in islice(steps, WARM_STEPS):
        run.learn(step, batches)
    begun, number = _processor_seconds(), PROBE_STEPS - WARM_STEPS - 2  # what the worker makes ahead
    for step, batches in islice(steps, number):
        run.learn(step, batches)
    used = _processor_seconds() - begun
    for step, batches in steps:
        run.learn(step, batches)
    run.log.close()
    return recipe.batch_size * number / used


def _processor_seconds() -> float:
    """Of this process and its workers."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def _rate(run_folder: Path, batch: int, skipped: int) -> float:
    """Samples a second after the first steps, of which the log has the mean since the start."""
    lines = [json.loads(line) for line in (run_folder / LOG).read_text().splitlines()]
    seconds = [batch * line["step"] / line["samples_per_second"] for line in lines if "loss" in line]
    return batch * (len(seconds) - skipped) / (seconds[-1] - seconds[skipped - 1])


def judged_on_windows(models: Path, recipe: Recipe) -> dict[str, float]:
    """Medians over held-out windows, one answer each."""
    generator = ClipGenerator.load(models, sampling="one-step")
    validation = Validation.of(recipe, clips_of(recipe))
    figures = validation.judge(generator).figures["policy"]
    return {name: round(figures[name], 1) for name in ("final mm", "path mm", "path deg", "gripper %")}


def judged_in_scenes(models: Path, trial: Trial) -> dict[str, Any]:
    """New scenes in closed loop, one answer for each plan."""
    load = partial(GenerativePolicy.load, models, sampling="one-step")
    config = EvaluationConfig(
        "in_domain", replace(protocol_named("in_domain"), tasks=trial.tasks), "ablation", load, 2, SIZE
    )
    trials = list(run(config, config.protocol.addresses(trial.scenes)))
    times = sorted(trial.plan_ms for trial in trials if trial.plan_ms is not None)
    return {
        "won": sum(trial.succeeded for trial in trials),
        "scenes": len(trials),
        "plan ms": round(times[len(times) // 2]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of `demonstrations` and `validation`"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs' results")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, each")
    parser.add_argument("--scenes", type=int, default=60, help="new scenes in closed loop, each")
    parser.add_argument("--only", nargs="*", help="choices, or names of variations, to try; all if left out")
    parser.add_argument("--task", nargs="*", default=["reach_target"], help="tasks of the new scenes")
    parser.add_argument("--modes", choices=("policy", "tiny"), default="policy", help="what is trained")
    parser.add_argument("--processor", action="store_true", help="minutes of processor time")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "ablations.jsonl"
    jsonl.repair(path)
    rows = jsonl.load(path)
    done = {(row["choice"], row["variation"], row["minutes"]) for row in rows}
    trial = Trial(options.minutes, options.processor, tuple(options.task), options.scenes)
    every = list(variations(options.data, TINY_MODES if options.modes == "tiny" else {"policy": 1.0}))
    choices = [one.choice for one in every] + [one.name for one in every]
    if unknown := sorted({*(options.only or [])} - {*choices}):
        known = dict.fromkeys(choices)
        parser.error(f"there is no choice {', '.join(unknown)}; there are: {', '.join(known)}")
    for variation in every:
        if (variation.choice, variation.name, options.minutes) in done or (
            options.only and not {variation.choice, variation.name} & {*options.only}
        ):
            continue
        rows.append(
            {
                **tried(variation, options.out, trial),
                "threads": torch.get_num_threads(),
            }
        )
        jsonl.append(path, rows[-1])
    if not rows:
        return
    table = Table(*rows[0], title=", ".join(trial.tasks))
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
