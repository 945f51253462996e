"""The codec's figures: accuracy, frames that leave the picture, speed against a plain reference, cost."""

import argparse
import json
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor

from action_images.codec import ActionImageFormat, draw, draw_uint8, read
from action_images.evaluation import codec_error
from action_images.evaluation.codec_error import Setting, measure, random_poses, rank_correlation, rig
from action_images.files.atomic import write_text
from action_images.geometry import Camera, Trajectory

FORMAT = ActionImageFormat()
ACCURACY = [
    *(
        Setting(512, 2, name)
        for name in ("clean", "8bit", "h264:18", "h264:23", "noise:0.05", "black:8", "offset:0.1")
    ),
    *(Setting(512, num, name) for num, name in product((3, 4), ("8bit", "h264:18", "h264:23", "noise:0.05"))),
    Setting(64, 2, "8bit"),
    *(Setting(512, 2, name, "fast") for name in ("8bit", "h264:18", "h264:23", "noise:0.05")),
]


def plain_draw(trajectory: Trajectory, cameras: Camera) -> Tensor:
    """One exp for every pixel of every spot, image by image."""
    height, width = cameras.size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    sigma_px = FORMAT.sigma_px(cameras.size)
    views = []
    for view in range(cameras.batch_shape[0]):
        frames = []
        for frame in range(trajectory.num_frames):
            pixels, _ = cameras[view].project(FORMAT.points(trajectory.world_from_tool[frame]))
            spots = [torch.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma_px**2)) for u, v in pixels]
            level = FORMAT.gripper_level * trajectory.opening[frame]
            spots[2] = torch.where(spots[2] <= FORMAT.gripper_level, level, spots[2])
            frames.append(torch.stack(spots))
        views.append(torch.stack(frames))
    return torch.stack(views)


def plain_draw_at_once(trajectory: Trajectory, cameras: Camera, dtype: torch.dtype) -> Tensor:
    """One exp for every pixel of every spot, all images in one expression: the formula as it stands."""
    height, width = cameras.size
    y, x = torch.meshgrid(
        torch.arange(height, dtype=dtype) + 0.5, torch.arange(width, dtype=dtype) + 0.5, indexing="ij"
    )
    pixels, _ = cameras[:, None, None].project(FORMAT.points(trajectory.world_from_tool))
    u, v = pixels.to(dtype)[..., None, None].unbind(3)
    spots = torch.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * FORMAT.sigma_px(cameras.size) ** 2))
    level = (FORMAT.gripper_level * trajectory.opening).to(dtype)[:, None, None]
    blue = torch.where(spots[:, :, 2] <= FORMAT.gripper_level, level, spots[:, :, 2])
    return torch.stack([spots[:, :, 0], spots[:, :, 1], blue], 2).float()


def plain_read(images: Tensor, cameras: Camera) -> Tensor:
    """Whole-image centroids in both views, then the depth on the first one's ray that fits the second.

    Of 512 depths it takes the one that projects nearest to the second centroid.
    """
    height, width = cameras.size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    depths = torch.linspace(0.3, 2.0, 512)
    points = []
    for frame in range(images.shape[1]):
        for channel in range(3):
            centres = []
            for image in images[:, frame, channel]:
                weight = (image - image.median()).clamp_min(0)
                centres.append(torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum())
            candidates = cameras[0].unproject(centres[0].expand(512, 2), depths)
            pixels, _ = cameras[1].project(candidates)
            points.append(candidates[(pixels - centres[1]).norm(dim=-1).argmin()])
    return torch.stack(points).unflatten(0, (-1, 3))


def best_ms(run: Callable[[], Any], repeats: int = 7) -> float:
    """The fastest of several runs: what the machine allows when nothing disturbs it."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def speed(size: int = 512, num_frames: int = 41) -> dict[str, float]:
    """Milliseconds for two views of a clip, and their ratios within this run."""
    cameras = rig(2, size)
    trajectory = random_poses(num_frames, cameras, torch.Generator().manual_seed(0))
    images, levels = draw(trajectory, cameras), draw_uint8(trajectory, cameras)
    shape = images.shape
    buffer, buffer_uint8 = torch.empty_like(images), torch.empty_like(levels)
    # The plain references first and last, the better counts: how fast they are hangs on the state of the
    # memory allocator.
    plain = {
        "plain draw, image by image": lambda: plain_draw(trajectory, cameras),
        "plain draw, at once, float32": lambda: plain_draw_at_once(trajectory, cameras, torch.float32),
        "plain draw, at once, float64": lambda: plain_draw_at_once(trajectory, cameras, torch.float64),
        "plain read": lambda: plain_read(images, cameras),
    }
    ours = {
        "draw": lambda: draw(trajectory, cameras),
        "draw into out": lambda: draw(trajectory, cameras, out=buffer),
        "draw_uint8": lambda: draw_uint8(trajectory, cameras),
        "draw_uint8 into out": lambda: draw_uint8(trajectory, cameras, out=buffer_uint8),
        "fill fresh float32": lambda: torch.full(shape, 0.5),
        "fill the same float32": lambda: buffer.fill_(0.5),
        "fill fresh uint8": lambda: torch.full(shape, 127, dtype=torch.uint8),
        "fill the same uint8": lambda: buffer_uint8.fill_(127),
        "read fast, uint8": lambda: read(levels, cameras, precision="fast"),
        "read fast, float32": lambda: read(images, cameras, precision="fast"),
        "read exact, uint8": lambda: read(levels, cameras),
        "read exact, float32": lambda: read(images, cameras),
        "sum float32": lambda: images.sum(),
    }
    first = {name: best_ms(run, 2) for name, run in plain.items()}
    ms = {name: best_ms(run) for name, run in ours.items()}
    ms |= {name: min(first[name], best_ms(run, 2)) for name, run in plain.items()}
    ours = ("draw", "draw into out", "draw_uint8", "draw_uint8 into out")
    theirs = [name for name in ms if name.startswith("plain draw")]
    ratios = {f"{mine} against {other}": ms[other] / ms[mine] for mine, other in product(ours, theirs)}
    return (
        ms
        | {f"x: {name}": ratio for name, ratio in ratios.items()}
        | {
            "x: draw over filling fresh memory": ms["draw"] / ms["fill fresh float32"],
            "x: draw into out over filling the same memory": ms["draw into out"]
            / ms["fill the same float32"],
            "x: draw_uint8 over filling fresh memory": ms["draw_uint8"] / ms["fill fresh uint8"],
            "x: draw_uint8 into out over filling the same memory": ms["draw_uint8 into out"]
            / ms["fill the same uint8"],
            "x: read fast against plain read": ms["plain read"] / ms["read fast, uint8"],
            "x: read exact against plain read": ms["plain read"] / ms["read exact, uint8"],
        }
    )


def plan(num_ways: int = 4, num_frames: int = 9, size: int = 64) -> dict[str, float]:
    """Processor milliseconds to read a plan: four ways of showing a scene, two views, nine frames at 64 px.

    The pictures are drawn, blurred and under noise, and clipped at black as a decoder's are.
    """
    cameras = rig(2, size)
    generator = torch.Generator().manual_seed(0)
    paths = [random_poses(num_frames, cameras, generator) for _ in range(num_ways)]
    clean = torch.stack([draw(one, cameras) for one in paths])
    noisy = clean + 0.04 * torch.randn(clean.shape, generator=generator)
    pictures = torch.nn.functional.avg_pool2d(noisy.flatten(0, 2), 3, 1, 1).view_as(clean).clamp(0, 1)
    torch.set_num_threads(1)
    times = []
    for _ in range(25):
        begun = time.process_time()
        read(pictures, cameras)
        times.append(1e3 * (time.process_time() - begun))
    torch.set_num_threads(2)
    return {"read, processor ms, median of 25": median(times), "fastest": min(times)}


def report_plan(console: Console, _clips: int) -> dict[str, Any]:
    times = plan()
    rows = [{"what": name, "value": value} for name, value in times.items()]
    show(console, "a plan: 4 ways, 2 views, 9 frames of 64 px, one thread", rows)
    return {"plan": times}


def cost() -> list[dict[str, float]]:
    """How draw and read grow with pixels, frames and views, one at a time."""
    rows = []
    grid = (
        [(size, 41, 2) for size in (64, 128, 256, 512)]
        + [(256, n, 2) for n in (11, 82)]
        + [(256, 41, n) for n in (3, 4)]
    )
    for size, num_frames, num_views in grid:
        cameras = rig(num_views, size)
        trajectory = random_poses(num_frames, cameras, torch.Generator().manual_seed(0))
        levels = draw_uint8(trajectory, cameras)
        draw_ms = best_ms(lambda t=trajectory, c=cameras: draw_uint8(t, c), 3)
        fast_ms = best_ms(lambda i=levels, c=cameras: read(i, c, precision="fast"), 3)
        exact_ms = best_ms(lambda i=levels, c=cameras: read(i, c), 3)
        columns = {"draw_uint8 ms": draw_ms, "read fast ms": fast_ms, "read exact ms": exact_ms}
        rows.append({"px": size, "frames": num_frames, "views": num_views} | columns)
    return rows


def leaving_the_frame(num_views: int, num_clips: int, *, moving: bool, num_outside: int) -> dict[str, float]:
    """In the last view one point of a frame lies 2 to 4 sigma outside; 8-bit, 512 px.

    The principal point is moved for it.

    With `moving`, poses follow a smooth path and only `num_outside` frames in the middle are disturbed.
    """
    errors, valid = [], []
    for seed in range(num_clips):
        generator = torch.Generator().manual_seed(seed)
        cameras, trajectory = rig(num_views, 512), random_poses(41, rig(num_views, 512), generator)
        disturbed = slice(None)
        if moving:
            trajectory = random_poses(5, cameras, generator).at(torch.linspace(0, 4, 41))
            disturbed = slice(20 - num_outside // 2, 20 - num_outside // 2 + num_outside)
        pushed = _push_out(trajectory, cameras, disturbed, generator)
        reading = read(draw_uint8(trajectory, pushed), pushed)
        metres, _ = reading.trajectory.world_from_tool.distance(trajectory.world_from_tool)
        errors.append(metres[disturbed] * 1e3)
        valid.append(reading.valid[disturbed])
    error, kept = torch.cat(errors), torch.cat(valid)
    return {
        "views": num_views,
        "smooth path": moving,
        "frames": len(error),
        "valid": kept.double().mean().item(),
        "mm median of valid": error[kept].median().item(),
        "mm max of valid": error[kept].max().item(),
        "valid but wrong by > 5 mm": int((error[kept] > 5).sum()),
    }


def _push_out(trajectory: Trajectory, cameras: Camera, frames: slice, generator: torch.Generator) -> Camera:
    num_frames = trajectory.num_frames
    moving = cameras.per_frame((), num_frames)
    intrinsics = moving.intrinsics.clone()
    pixels, _ = moving[-1, :, None].project(FORMAT.points(trajectory.world_from_tool))
    point = torch.randint(3, (num_frames,), generator=generator)
    beyond = (2 + 2 * torch.rand(num_frames, generator=generator)) * FORMAT.sigma_px(cameras.size)
    shift = pixels[torch.arange(num_frames), point, 0] + beyond
    intrinsics[-1, frames, 0, 2] -= shift[frames]
    return Camera(intrinsics, moving.world_from_camera, cameras.size)


def show(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0], title=title, box=SIMPLE)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)


def report_speed(console: Console, _clips: int) -> dict[str, Any]:
    times, growth = speed(), cost()
    show(
        console,
        "512 px, 41 frames, 2 views: ms, and ratios",
        [{"what": k, "value": v} for k, v in times.items()],
    )
    show(console, "cost", growth)
    return {"speed": times, "cost": growth}


def report_accuracy(console: Console, clips: int) -> dict[str, Any]:
    samples = list(measure(ACCURACY, clips, seed=0))
    correlation = rank_correlation(samples)
    console.print(codec_error.table(samples))
    console.print(f"rank correlation of predicted and actual error over all rows: {correlation:.2f}")
    return {"accuracy": [sample.row() for sample in samples], "rank_correlation": correlation}


def report_leaving(console: Console, clips: int) -> dict[str, Any]:
    rows = [
        leaving_the_frame(3, clips, moving=False, num_outside=41),
        leaving_the_frame(2, clips, moving=False, num_outside=41),
        leaving_the_frame(2, clips, moving=True, num_outside=12),
    ]
    show(console, "one point 2 to 4 sigma outside the last view, 8 bit, 512 px", rows)
    return {"leaving_the_frame": rows}


REPORTS = {"speed": report_speed, "plan": report_plan, "accuracy": report_accuracy, "leaving": report_leaving}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--clips", type=int, default=6, help="clips of 41 random poses for each accuracy row")
    parser.add_argument("--only", choices=REPORTS, nargs="+", default=list(REPORTS), help="the parts to run")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    figures: dict[str, Any] = {}
    for name in arguments.only:
        figures |= REPORTS[name](Console(), arguments.clips)
    if arguments.json:
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
