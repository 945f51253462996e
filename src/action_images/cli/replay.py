"""Measure each task's ceiling: experts' paths executed as they are and after a round trip through video.

action-images replay --task all --trials 50 --sizes 128 256 --out results/ceilings
action-images replay --env metaworld/mt10 --sizes 128 --fps 20 5 --path reached told
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError
from action_images.terminal.paths import OutFolder
from action_images.terminal.worlds import DEFAULT_WORLD, chosen_world

if TYPE_CHECKING:
    from action_images.benchmarks import Benchmark, WorldConfig
    from action_images.terminal.console import PlainConsole


def main(
    task: tuple[str, ...] = (),
    trials: int = 20,
    sizes: tuple[int, ...] = (64, 128, 256),
    env: str = DEFAULT_WORLD,
    fps: tuple[float, ...] = (),
    path: tuple[Literal["reached", "told"], ...] = ("reached",),
    views: int = 2,
    rig: str | None = None,
    seed: int | None = None,
    workers: int = os.cpu_count() or 1,
    crf: int = 18,
    out: OutFolder | None = None,
) -> int:
    """Measure each task's ceiling, to show beside every model's result.

    The expert's trajectory is executed as recorded. It is then drawn, stored as 8-bit H.264, read back and
    executed at each size. Exits with code 1 if the round trip at 128 px loses more than 2 points of success
    over all tasks of the embedded world.

    Args:
        task: Names of tasks or of groups of tasks; `all` if not given.
        trials: How many seeds of each task.
        sizes: Heights and widths of the video in px, even.
        env: The world, or WORLD/TASK; 'action-images envs' lists them.
        fps: Frame rates of the video per second; the arm's own control rate if not given. A path at a lower
            rate is resampled to control steps as a model's plan is.
        path: What is drawn: where the tool was (`reached`), where the arm was commanded to bring it
            (`told`), or both.
        views: How many cameras.
        rig: Where the cameras stand, in the embedded world fixed, sampled, around, held_out or moving; the
            rig of the world's training if not given.
        seed: The first seed; the world's first seed for evaluation if not given.
        workers: How many processes simulate.
        crf: H.264 quality, 0 (best) to 51.
        out: Results folder. OUT/replays.jsonl gets a line for each trial as it ends, and OUT/ceilings.json
            the figures after each task; the same command resumes a stopped run or adds trials. Nothing is
            kept if not given.
    """
    from rich.progress import track

    from action_images.benchmarks import WorldConfig
    from action_images.evaluation.ceiling import Gate, run_trials, summarise
    from action_images.evaluation.ceiling_results import kept_trials
    from action_images.terminal.console import PlainConsole

    benchmark, names = chosen_world(env, task, usual="all")
    first = benchmark.seeds.first_for_judging if seed is None else seed
    if trials < 1 or first < 0 or not sizes or any(size % 2 or size < 16 for size in sizes):
        raise ActionImagesError(
            f"--trials {trials}, --seed {first}, --sizes {sizes}: give at least one trial, seeds from 0, "
            "even sizes from 16 px"
        )
    if any(not 0 < rate <= benchmark.control_hz for rate in fps):
        raise ActionImagesError(f"--fps {fps}: a rate lies above 0 and up to {benchmark.control_hz:g}")
    if seed is None:
        benchmark.seeds.for_judging(trials)
    world = WorldConfig(benchmark.name, rig=rig, num_views=views)
    gate = Gate(world, sizes=sizes, crf=crf, rates=_rates(fps, benchmark), paths=path)
    console, everything, ceilings = PlainConsole(), [], []
    measure = run_trials if out is None else partial(kept_trials, out)
    for name in _with_experts(names, world, console):
        runs = measure(name, range(first, first + trials), gate, num_workers=workers)
        done = list(track(runs, description=f"{name:<22}", total=trials, console=console))
        everything += done
        ceilings.append(summarise(name, done))
        if out is not None:
            _write(out / "ceilings.json", [*ceilings, summarise("all", everything)])
    total = summarise("all", everything)
    console.print(_table([*ceilings, total]))
    if "128" not in total.num_succeeded or benchmark.name != DEFAULT_WORLD:
        return 0
    console.print(f"At 128 px the round trip loses {total.lost('128'):.1f} points; up to 2 are allowed.")
    return int(total.lost("128") > 2)


def _rates(fps: tuple[float, ...], benchmark: "Benchmark") -> tuple[float | None, ...]:
    """None stands for the arm's own rate."""
    return tuple(None if rate == benchmark.control_hz else rate for rate in fps) or (None,)


def _with_experts(names: tuple[str, ...], world: "WorldConfig", console: "PlainConsole") -> Iterator[str]:
    """The tasks that have an expert; a line is printed for each task without one, which has no ceiling.

    Each is asked when its turn comes. Raises ActionImagesError at the end if no task has one.
    """
    num_found = 0
    for name in names:
        environment = world.environment(name)
        environment.begin(world.benchmark.seeds.first_for_judging)
        has_expert = environment.expert() is not None
        environment.close()
        num_found += has_expert
        if has_expert:
            yield name
        else:
            console.print(f"{name}: has no expert, so it has no ceiling: left out", soft_wrap=True)
    if not num_found:
        raise ActionImagesError("none of these tasks has an expert, so there is no ceiling; choose others")


def _table(ceilings: list):
    from rich.table import Table

    ways = {name: _heading(name) for name in ceilings[-1].num_succeeded}
    table = Table(
        title="success % (95 % Wilson interval), at any step where that differs, "
        "and the median position error of what was read back",
        show_lines=True,
    )
    for heading in ("task", "trials", *ways.values()):
        table.add_column(heading, overflow="fold")
    for ceiling in ceilings:
        table.add_row(ceiling.task, str(ceiling.num_trials), *(_cell(ceiling, way) for way in ways))
    return table


def _heading(way: str) -> str:
    size, _, rest = way.partition(" ")
    return f"{size} px {rest}".strip() if size.isdigit() else way


def _cell(ceiling, way: str) -> str:
    low, high = ceiling.interval(way)
    succeeded, touched = ceiling.num_succeeded[way], ceiling.num_touched[way]
    cell = f"{100 * succeeded / ceiling.num_trials:.1f}\n({100 * low:.0f}-{100 * high:.0f})"
    if touched != succeeded:
        cell += f"\nany step {100 * touched / ceiling.num_trials:.1f}"
    return f"{cell}\n{ceiling.error_mm[way]:.2f} mm" if way in ceiling.error_mm else cell


def _write(path: Path, ceilings: list) -> None:
    import json
    from dataclasses import asdict

    from action_images.files.atomic import write_text

    rows = []
    for ceiling in ceilings:
        intervals = {way: ceiling.interval(way) for way in ceiling.num_succeeded}
        rows.append({**asdict(ceiling), "interval": intervals})
    write_text(path, json.dumps(rows, indent=2) + "\n")
