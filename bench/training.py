"""Samples a second of the training loop against its passes alone; memory; and two processes.

The recipe is `tiny` on demonstrations recorded for the purpose. `passes` are forward and backward of its
denoiser on canvases that are ready, `steps` adds encoding, clipping, optimizer and average, `loop` the loader
with one worker process on the same cores. Each turn measures the three one after the other on the same
steps; ratios are the median over turns. `ways` runs the loop in several ways by turns in one process, each
with a worker of its own: as `tiny` once was (cells of 16 px, batches of 16, frames decoded for each sample),
with one change after the other: decoded
frames from a cache, cells of 32 px with finer tokens for the last layer, batches as they are now, passes in
bfloat16, steps that hold one kind of samples. `processes` trains with one thread in each of one and two
processes: the same batch, shared out; the second half of a run.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import action_images.training
from action_images.benchmarks import find_benchmark
from action_images.files.atomic import write_json
from action_images.model.presets import PRESETS
from action_images.sim import LOOKS, RIGS
from action_images.sim.record import RecordingConfig, record
from action_images.training.batches import noised_batches
from action_images.training.engine import cast_passes
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import NO_TEXT_WHERE_SEEN, TINY, TINY_MODES
from action_images.training.train import Run

CONSOLE = Console()
TURNS = 5
SAMPLES_A_TURN = 480
"""Of each way: a block of sorted steps."""
SMALL_CELLS = {
    "output_split": None,
    "patch_size": [1, 2, 2],
    "pixels_per_token": 16,
    "stem_channels": 48,
}
"""Cells of 16 px, as `tiny` had them until 2026-12-01."""
STEPS = 12
"""Steps of each turn."""
WARM_STEPS = 40
"""Until most episodes are open and the allocator has settled."""


def demonstrations(folder: Path, per_task: int) -> None:
    """Record a few demonstrations of each task as `make train-tiny` does."""
    recording = RecordingConfig(
        RIGS["sampled"], LOOKS["train"], 4, (128, 128), every=4, hold=32, actor="disturbed"
    )
    wanted = list(product(find_benchmark("tabletop").trained, range(per_task)))
    for _ in track(
        record(folder, wanted, recording, num_workers=2), "recording", len(wanted), console=CONSOLE
    ):
        pass


def tiny_on(data: Path, root: Path) -> Recipe:
    """The recipe `tiny` on one data set, of as many steps as are asked for."""
    source = SourceRecipe(data, 1.0, TINY_MODES, 0.02, NO_TEXT_WHERE_SEEN)
    return replace(
        TINY,
        sources=(source,),
        validation=(),
        num_steps=100_000,
        minutes=None,
        num_workers=1,
        frames_cache=root / "frames",
    )


def throughput(recipe: Recipe, out: Path) -> dict[str, Any]:
    """Samples a second of passes, of steps and of the whole loop."""
    run = Run.start(recipe, out)
    steps = run.steps()
    for step, batches in islice(steps, WARM_STEPS):
        run.learn(step, batches)
    rates: dict[str, list[float]] = {"passes": [], "steps": [], "loop": []}
    for _ in track(range(TURNS), "throughput", console=CONSOLE):
        begun, taken = time.perf_counter(), []
        for step, batches in islice(steps, STEPS):
            run.learn(step, batches)
            taken.append((step, batches))
        rates["loop"].append(recipe.batch_size * STEPS / (time.perf_counter() - begun))
        begun = time.perf_counter()
        for step, batches in taken:
            run.learn(step, batches)
        rates["steps"].append(recipe.batch_size * STEPS / (time.perf_counter() - begun))
        ready = [
            list(noised_batches(run.pipeline, batches, recipe, recipe.micro_batch_size, run.clips.num_frames))
            for _, batches in taken
        ]
        begun = time.perf_counter()
        for parts in ready:
            for part in parts:
                loss = run.objective.losses(run.engine.module, part, recipe).sum() / recipe.batch_size
                run.accelerator.backward(loss)
            run.engine.optimizer.zero_grad()
        rates["passes"].append(recipe.batch_size * STEPS / (time.perf_counter() - begun))
    return {
        **{f"{name}, samples/s": median(values) for name, values in rates.items()},
        "steps beyond passes, %": extra_time(rates["steps"], rates["passes"]),
        "loop beyond passes, %": extra_time(rates["loop"], rates["passes"]),
        "loop beyond steps, %": extra_time(rates["loop"], rates["steps"]),
        "threads": torch.get_num_threads(),
    }


def ways(recipe: Recipe, root: Path) -> dict[str, Recipe]:
    """The recipe without a frames cache, and with one change after the other."""
    tiny = PRESETS["tiny"]
    PRESETS["tiny, small cells"] = replace(tiny, transformer={**tiny.transformer, **SMALL_CELLS})
    plain = replace(recipe, sorted_steps=1)
    small = replace(plain, preset="tiny, small cells", batch_size=16, frames_cache=None)
    return {
        "before": small,
        "and frames cache": replace(small, frames_cache=root / "frames"),
        "and cells of 32 px, split": replace(plain, batch_size=16),
        f"and batches of {recipe.batch_size}": plain,
        "and bfloat16": replace(plain, mixed_precision="bf16"),
        "and steps of one kind": replace(recipe, mixed_precision="bf16"),
    }


def by_turns(recipes: dict[str, Recipe], out: Path, *, turns: int, samples: int) -> list[dict[str, Any]]:
    """Samples a second of each way's loop, and processor time of all processes a sample.

    Ratios are of the same turn, to the first way.
    """
    runs: dict[str, Run] = {}
    for number, (name, recipe) in enumerate(recipes.items()):
        # accelerate allows one precision in a process, so all start alike.
        run = runs[name] = Run.start(replace(recipe, mixed_precision="no"), out / str(number))
        cast_passes(run.engine.module, run.accelerator, recipe)
    steps = {name: run.steps() for name, run in runs.items()}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    costs: dict[str, list[float]] = {name: [] for name in runs}
    for turn in track(range(turns + 1), "ways", console=CONSOLE):
        for name, run in runs.items():
            for step, batches in islice(steps[name], 3):  # what its worker has made ahead
                run.learn(step, batches)
            number = max(1, round(samples / run.recipe.batch_size))
            begun, used = time.perf_counter(), _processor_seconds()
            for step, batches in islice(steps[name], number):
                run.learn(step, batches)
            if turn:
                num_samples = number * run.recipe.batch_size
                rates[name].append(num_samples / (time.perf_counter() - begun))
                costs[name].append((_processor_seconds() - used) / num_samples)
    first = next(iter(runs))
    return [
        {
            "way": name,
            "samples/s": median(rates[name]),
            "times the first": _median_ratio(rates[name], rates[first]),
            "processor ms a sample": 1000 * median(costs[name]),
            "a part of the first's": _median_ratio(costs[first], costs[name]),
        }
        for name in runs
    ]


def _median_ratio(values: list[float], others: list[float]) -> float:
    """Turn by turn, so that what slows the machine for a while slows both."""
    return median(one / other for one, other in zip(values, others, strict=True))


def _processor_seconds() -> float:
    """Of this process and its workers."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def extra_time(rates: list[float], of: list[float]) -> float:
    """How much more time (%) a sample takes at `rates` than at the rates `of`; the median over turns."""
    return 100 * median(base / rate - 1 for rate, base in zip(rates, of, strict=True))


def memory(recipe: Recipe, out: Path, num_steps: int) -> list[dict[str, float]]:
    """Resident memory of the training process and its worker, four times along the way."""
    run = Run.start(recipe, out)
    rows = []
    for step, batches in track(islice(run.steps(), num_steps), "memory", num_steps, console=CONSOLE):
        run.learn(step, batches)
        if (step + 1) % (num_steps // 4) == 0:
            processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
            rows.append(
                {
                    "step": step + 1,
                    "resident MB": sum(process.memory_info().rss for process in processes) / 1e6,
                }
            )
    return rows


def processes(recipe: Recipe, root: Path, num_steps: int) -> list[dict[str, float]]:
    """Samples a second of one and of two processes of one thread, over the second half of a short run."""
    rows = []
    for number in (1, 2):
        out = root / f"processes-{number}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = Path(action_images.training.__path__[0]) / "configs" / "ddp.yaml"
        several = [
            "-m",
            "accelerate.commands.accelerate_cli",
            "launch",
            "--config_file",
            str(config),
            "--num_processes",
            "2",
        ]
        several += ["--main_process_port", str(port)]
        command = [
            sys.executable,
            *(several if number == 2 else []),
            str(_program(root, recipe, num_steps)),
            str(out),
        ]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        # The log has the mean rate since the start: seconds since then are samples by rate.
        seconds = [
            recipe.batch_size * line["step"] / line["samples_per_second"] for line in lines if "loss" in line
        ]
        half = len(seconds) // 2
        rows.append(
            {
                "processes": number,
                "samples/s": recipe.batch_size * (len(seconds) - half) / (seconds[-1] - seconds[half - 1]),
            }
        )
    rows[1]["times one"] = rows[1]["samples/s"] / rows[0]["samples/s"]
    return rows


def _program(root: Path, recipe: Recipe, num_steps: int) -> Path:
    """A program that trains the recipe for some steps into the folder that it is told."""
    (root / "recipe.json").write_text(json.dumps(replace(recipe, num_steps=num_steps).as_json()))
    program = root / "program.py"
    program.write_text(
        "import json, sys\n"
        "from pathlib import Path\n"
        "from action_images.training.recipe import Recipe\n"
        "from action_images.training.train import train\n"
        "if __name__ == '__main__':\n"
        f"    recipe = json.loads(Path({str(root / 'recipe.json')!r}).read_text())\n"
        "    train(Recipe.from_json(recipe), Path(sys.argv[1]))\n"
    )
    return program


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """A table of rows that share their names."""
    table = Table(*rows[0] | rows[-1], title=title)
    for row in rows:
        table.add_row(*(f"{value:.1f}" if isinstance(value, float) else str(value) for value in row.values()))
    CONSOLE.print(table)


def main() -> None:
    """Measure and print; `--json` keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, help="demonstrations that are there already")
    parser.add_argument("--per-task", type=int, default=8, help="demonstrations of each task")
    parser.add_argument(
        "--steps", type=int, default=60, help="steps of each number of processes; 0: leave them out"
    )
    parser.add_argument("--memory-steps", type=int, default=160, help="0: leave it out")
    parser.add_argument("--ways", action="store_true", help="the ways alone")
    parser.add_argument("--turns", type=int, default=TURNS, help="of each way")
    parser.add_argument("--samples", type=int, default=SAMPLES_A_TURN, help="of each way in a turn")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if options.data is None:
            demonstrations(root / "demonstrations", options.per_task)
        recipe = tiny_on(options.data or root / "demonstrations", root)
        tried, out = ways(recipe, root), root / "ways"
        results["ways"] = by_turns(tried, out, turns=options.turns, samples=options.samples)
        show("ways", results["ways"])
        if not options.ways:
            measure_the_rest(recipe, root, options, results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.json, results)


def measure_the_rest(
    recipe: Recipe, root: Path, options: argparse.Namespace, results: dict[str, Any]
) -> None:
    """All but the ways."""
    results["throughput"] = [throughput(recipe, root / "throughput")]
    show(
        "tiny, mixed modes",
        [{"what": name, "value": value} for name, value in results["throughput"][0].items()],
    )
    if options.memory_steps:
        results["memory"] = memory(recipe, root / "memory", options.memory_steps)
        show("memory", results["memory"])
    if options.steps:
        results["processes"] = processes(recipe, root, options.steps)
        show("processes", results["processes"])


if __name__ == "__main__":
    main()
