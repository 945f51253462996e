"""The embedded world's figures: experts, what stays in view, the cost of images, kinematics and recording."""

import argparse
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from action_images.codec import ActionImageFormat
from action_images.evaluation.statistics import wilson_interval
from action_images.files.atomic import write_json
from action_images.sim import LOOKS, RIGS, TASKS, Tabletop, demonstrate
from action_images.sim.record import RecordingConfig, record

CONSOLE = Console()
Rows = list[dict[str, Any]]


def experts(num_seeds: int) -> Rows:
    """Success, length and pace of every task's expert; how exactly the arm follows."""
    rows = []
    for name in TASKS:
        environment, steps, succeeded, errors = Tabletop(name), [], [], []
        start = time.perf_counter()
        for seed in track(range(num_seeds), description=f"{name:<22}", console=CONSOLE):
            environment.begin(seed)
            errors += [report.position_error for report in demonstrate(environment)]
            steps.append(environment.num_steps)
            succeeded.append(environment.succeeded())
        seconds = time.perf_counter() - start
        low, high = wilson_interval(sum(succeeded), num_seeds)
        ordered = torch.tensor(errors).sort().values * 1e3
        rows.append(
            {
                "task": name,
                "trials": num_seeds,
                "succeeded": sum(succeeded),
                "success_%": 100 * sum(succeeded) / num_seeds,
                "wilson_95_%": f"{100 * low:.1f}-{100 * high:.1f}",
                "steps": f"{min(steps)}-{sorted(steps)[num_seeds // 2]}-{max(steps)}",
                "tracking_mm_median": ordered[len(ordered) // 2].item(),
                "tracking_mm_p95": ordered[int(0.95 * len(ordered))].item(),
                "s_per_trial": seconds / num_seeds,
                "failed_seeds": [seed for seed, done in enumerate(succeeded) if not done],
            }
        )
    return rows


def in_view(num_seeds: int) -> Rows:
    """Share of all frames of experts in which the three drawn points lie inside every one of two views."""
    rows = []
    for rig in RIGS:
        inside = []
        for name in TASKS:
            environment = Tabletop(name, RIGS[rig])
            for seed in range(num_seeds):
                environment.begin(seed)
                for _ in demonstrate(environment):
                    pixels, depth = (
                        environment.cameras[:, None]
                        .to(torch.float64)
                        .project(ActionImageFormat().points(environment.world.tool))
                    )
                    inside.append(bool((environment.cameras[0].contains(pixels) & (depth > 0)).all()))
        rows.append(
            {"rig": rig, "frames": len(inside), "all_points_in_all_views_%": 100 * sum(inside) / len(inside)}
        )
    return rows


def images(num_images: int) -> Rows:
    """Milliseconds for one image, rendered and brought to memory."""
    rows = []
    for look in LOOKS:
        for size in (64, 128, 256, 512):
            environment = Tabletop("stack_blocks", look=LOOKS[look], size=(size, size))
            environment.reset(0)
            start = time.perf_counter()
            for _ in range(num_images // 2):
                environment.observation()
            rows.append(
                {
                    "look": look,
                    "size_px": size,
                    "ms_per_image": 1e3 * (time.perf_counter() - start) / (num_images // 2 * 2),
                }
            )
            environment.close()
    return rows


def recording(num_episodes: int) -> Rows:
    """Episodes a second in one process, simulated, rendered in two views five times a second, and stored."""
    rows = []
    asked = product(("train", "wide"), ("reach_target", "stack_blocks", "open_jar"), (64, 128))
    for look, task, size in asked:
        recording = RecordingConfig(RIGS["sampled"], LOOKS[look], num_views=2, size=(size, size), every=4)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            for _ in record(Path(folder), [(task, seed) for seed in range(num_episodes)], recording):
                pass
            seconds = time.perf_counter() - start
        episodes = {"episodes_per_s": num_episodes / seconds}
        rows.append({"look": look, "task": task, "size_px": size, **episodes})
    return rows


def show(title: str, rows: Rows) -> None:
    table = Table(title=title)
    for key in rows[0]:
        table.add_column(key.replace("_", " "))
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    CONSOLE.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="trials of each task's expert")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for measure, number in (
        (experts, arguments.seeds),
        (in_view, max(1, arguments.seeds // 20)),
        (images, 100),
        (recording, 20),
    ):
        results[measure.__name__] = measure(number)
        show(measure.__doc__ or "", results[measure.__name__])
    if arguments.json is not None:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
