"""Measure each task's ceiling: experts' paths executed as they are and after a round trip through video.

action-images replay --task push_button
action-images replay --task all --trials 50 --sizes 128 256 --json ceilings.json
"""

import os
from pathlib import Path
from typing import Literal

from action_images.errors import ActionImagesError
from action_images.terminal.choices import TaskOrAll


def main(
    task: tuple[TaskOrAll, ...] = ("all",),
    trials: int = 20,
    sizes: tuple[int, ...] = (64, 128, 256),
    views: int = 2,
    rig: Literal["fixed", "sampled", "around", "held_out", "moving"] = "sampled",
    seed: int = 1_000_000,
    workers: int = os.cpu_count() or 1,
    crf: int = 18,
    json: Path | None = None,
) -> int:
    """Measure each task's ceiling, to be shown beside every model's result.

    The expert's trajectory is executed as recorded, and after being drawn, stored as 8-bit H.264 and read
    back at each size. Ends with code 1 where the round trip at 128 px loses more than 2 points of success
    over all tasks.

    Args:
        task: Names of tasks, or `all`, or `paper` for kin of all tasks of the paper.
        trials: How many seeds of each task.
        sizes: Heights and widths of the video in px, even.
        views: How many cameras.
        rig: Where the cameras stand.
        seed: The first seed; those for evaluation begin at 1000000.
        workers: How many processes simulate.
        crf: H.264 quality, 0 (best) to 51.
        json: Also write the figures to this file.
    """
    from rich.progress import track

    from action_images.benchmarks import WorldConfig, find_benchmark, require_task
    from action_images.evaluation.ceiling import Gate, run_trials, summarise
    from action_images.terminal.console import PlainConsole

    if trials < 1 or seed < 0 or not sizes or any(size % 2 or size < 16 for size in sizes):
        raise ActionImagesError(
            f"--trials {trials}, --seed {seed}, --sizes {sizes}: give at least one trial, seeds from 0, even "
            "sizes from 16 px"
        )
    world = WorldConfig(rig=rig, num_views=views)
    groups = {"all": world.benchmark, "paper": find_benchmark("paper")}
    named: list[str] = []
    for given in task:
        group = groups.get(given)
        named += (given,) if group is None else (*group.trained, *group.held_out)
    names = tuple(dict.fromkeys(named))
    for name in names:
        require_task(world.benchmark, name)
    gate = Gate(world, sizes=sizes, crf=crf)
    console, everything, ceilings = PlainConsole(), [], []
    for name in names:
        runs = run_trials(name, range(seed, seed + trials), gate, num_workers=workers)
        done = list(track(runs, description=f"{name:<22}", total=trials, console=console))
        everything += done
        ceilings.append(summarise(name, done))
    total = summarise("all", everything)
    console.print(_table([*ceilings, total], sizes))
    if json is not None:
        _write(json, [*ceilings, total])
    if "128" not in total.num_succeeded:
        return 0
    console.print(f"At 128 px the round trip loses {total.lost('128'):.1f} points; up to 2 are allowed.")
    return int(total.lost("128") > 2)


def _table(ceilings: list, sizes: tuple[int, ...]):
    from rich.table import Table

    ways = {"expert": "expert", "recorded": "recorded", **{str(size): f"{size} px" for size in sizes}}
    table = Table(
        title="success % (95 % Wilson interval), and the median position error of what was read back",
        show_lines=True,
    )
    for heading in ("task", "trials", *ways.values()):
        table.add_column(heading, overflow="fold")
    for ceiling in ceilings:
        table.add_row(ceiling.task, str(ceiling.num_trials), *(_cell(ceiling, way) for way in ways))
    return table


def _cell(ceiling, way: str) -> str:
    low, high = ceiling.interval(way)
    cell = f"{100 * ceiling.num_succeeded[way] / ceiling.num_trials:.1f}\n({100 * low:.0f}-{100 * high:.0f})"
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
