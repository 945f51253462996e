"""What bfloat16 is worth on a processor: passes of a model with and without a gradient, three ways.

`float32`; `autocast`, which casts the weights of each product in each pass; `cast once`, in which all
weights are cast once a step and activations stay in bfloat16 through a block. The ways take turns; figures
are the least processor seconds of a pass, which other work on the machine does not enter.

Then whole plans in both dtypes, by turns, on scenes of the embedded world: the median time of each stage.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from statistics import median

import torch
from model_scenes import Scenes
from rich.console import Console
from rich.table import Table
from torch import Tensor

from action_images.canvas import MODES, Canvas
from action_images.device import bfloat16_gain
from action_images.files.atomic import write_json
from action_images.model.bundle import Models
from action_images.model.denoiser import CanvasDenoiser, Condition
from action_images.model.shipped import models_folder
from action_images.pipeline import Pipeline
from action_images.policies import Planning, load_policy
from action_images.sim import Tabletop

LEVEL = 0.7
DTYPES = ("float32", "bfloat16")


def passes(
    network: CanvasDenoiser, half: CanvasDenoiser, canvas: Canvas, condition: Condition
) -> Mapping[str, Callable[[], Tensor]]:
    """A pass with its gradient in each way, and passes without one."""
    kinds = {name: parameter.dtype for name, parameter in half.named_parameters()}
    level = torch.full((len(canvas.latents),), LEVEL)
    given = (canvas, level, condition)

    def learnt(velocity: Tensor) -> Tensor:
        loss = velocity.square().mean()
        loss.backward()
        network.zero_grad()
        return loss

    def autocast() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            velocity = network(*given)
        return learnt(velocity.float())

    def cast_once() -> Tensor:
        cast = {name: parameter.to(kinds[name]) for name, parameter in network.named_parameters()}
        return learnt(torch.func.functional_call(network, cast, given))

    return {
        "learn, float32": lambda: learnt(network(*given)),
        "learn, autocast": autocast,
        "learn, cast once": cast_once,
        "plan, float32": torch.no_grad()(lambda: network(*given)),
        "plan, cast once": torch.no_grad()(lambda: half(*given)),
    }


def least_seconds(runs: Mapping[str, Callable[[], Tensor]], repeats: int) -> dict[str, float]:
    """Of the processor, for each run."""
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            begun = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - begun)
    return least


def whole_plans(model: Path, count: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of each stage of a plan in each dtype, over scenes, after two to warm up."""
    policies = {dtype: load_policy(model, Planning(dtype=dtype)) for dtype in DTYPES}
    world = Tabletop("push_button", size=(128, 128))
    took: dict[str, list[dict[str, float]]] = {dtype: [] for dtype in policies}
    for seed in range(count + 2):
        seen = world.reset(seed=seed)
        for dtype, policy in policies.items():
            stages = policy.plan(seen).stage_ms or {}
            took[dtype].append(stages | {"plan": sum(stages.values())})
    return {dtype: _medians(each[2:]) for dtype, each in took.items()}


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each column of rows that share their names."""
    return {name: median(map(itemgetter(name), rows)) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plans", type=int, default=30, help="whole plans in each dtype; 0: none")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = models_folder(arguments.model)
    models, half = Models.load(folder), Models.load(folder, torch.bfloat16)
    clips = models.clips
    assert clips is not None
    scene, _ = Scenes(clips.size, clips.num_frames).batch(arguments.samples, torch.Generator().manual_seed(0))
    first = replace(scene, video=scene.video[:, :, :1])
    canvas, condition = Pipeline.of(models).encode(first, MODES["policy"], clips.num_frames)
    runs = passes(models.denoiser, half.denoiser, canvas, condition)
    least = least_seconds(runs, arguments.repeats)
    table = Table("pass", "processor ms", "against float32")
    for name, seconds in least.items():
        plain = least[f"{name.partition(',')[0]}, float32"]
        table.add_row(name, f"{1e3 * seconds:.1f}", f"{plain / seconds:.2f}")
    console = Console()
    console.print(table)
    console.print(f"a block alone, as --dtype auto measures it: {bfloat16_gain():.2f}")
    results: dict[str, object] = {**least, "block": bfloat16_gain()}
    if arguments.plans:
        plans = results["plans"] = whole_plans(folder, arguments.plans)
        stages = list(plans["float32"])
        table = Table("ms, median", *stages)
        for dtype, each in plans.items():
            table.add_row(dtype, *(f"{each[stage]:.1f}" for stage in stages))
        console.print(table)
    if arguments.json is not None:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
