"""Figures of the model: speed, sampling, cost, autoencoders, text, and what a new model needs to learn.

python bench/model.py [--only SECTION ...] [--long] [--json PATH]; one core. Rows are shown as they are
measured, and the file is written again after each section. With --autoencoder FOLDER it measures that saved
autoencoder alone.
"""

import argparse
import inspect
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from model_autoencoders import autoencoders, of_folder
from model_learning import learning
from model_scenes import Scenes, fitted
from model_text import roles, text
from rich.console import Console

from action_images.canvas import MODES, Canvas
from action_images.diffusion.sampler import Sampling, StepCache, sample
from action_images.files.atomic import write_json
from action_images.model import cost
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.model.build import build
from action_images.model.denoiser import Condition
from action_images.model.presets import PRESETS
from action_images.pipeline import Pipeline

Row = dict[str, Any]


def seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """The least of some runs' times, after one that does not count."""
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def speed() -> Iterator[Row]:
    """The denoiser against the same operations as bare matrix products and attention on this machine."""
    for name, batch, frames, side in (
        ("tiny", 8, 8, 8),
        ("tiny", 32, 8, 8),
        ("tiny", 8, 12, 8),
        ("tiny", 2, 44, 16),
    ):
        preset = PRESETS[name]
        network, config = cost.Network.of(preset), preset.transformer
        load = cost.Load(MODES["joint"], 2, frames // 4, (side, side), 24, batch)
        models = build(preset, autoencoder=PcaAutoencoder(config["in_channels"]))
        layout = MODES["joint"].layout(2, frames // 4)
        inputs = {
            "hidden_states": torch.randn(batch, config["in_channels"], frames, side, side),
            "timestep": torch.rand(batch, frames) * 1000,
            "encoder_hidden_states": torch.randn(batch, 24, config["text_dim"]),
            "camera": torch.randn(batch, frames, 24, side // 2, side // 2),
            "first_frames": torch.rand(batch, 2, 3, side * 8, side * 8),
            "layout": layout,
        }
        inputs["still"] = torch.randn_like(inputs["hidden_states"])
        with torch.no_grad():
            taken = seconds(lambda: models.denoiser.transformer(**inputs))  # noqa: B023
        tokens = batch * load.num_tokens((2, 2))
        operations = cost.forward_flops(network, load)
        limit = _limit(tokens, batch, config)
        yield {
            "preset": name,
            "batch": batch,
            "tokens": tokens,
            "ms": 1e3 * taken,
            "tokens/s": tokens / taken,
            "GFLOP/s": operations / taken / 1e9,
            "matmul GFLOP/s": limit / 1e9,
            "share of limit": operations / taken / limit,
        }


def _limit(tokens: int, batch: int, config: dict[str, Any]) -> float:
    """Operations per second of this model's own matrix shapes and attention, with nothing between them."""
    width, ffn, heads = (
        config["num_attention_heads"] * config["attention_head_dim"],
        config["ffn_dim"],
        config["num_attention_heads"],
    )
    hidden, wide = torch.randn(tokens, width), torch.randn(tokens, ffn)
    square, up, down = torch.randn(width, width), torch.randn(width, ffn), torch.randn(ffn, width)
    query = torch.randn(batch, heads, tokens // batch, width // heads)

    def block() -> None:
        for _ in range(6):
            hidden @ square
        hidden @ up
        wide @ down
        torch.nn.functional.scaled_dot_product_attention(query, query, query)

    operations = 2 * tokens * width * (6 * width + 2 * ffn) + 4 * width * tokens * (tokens // batch)
    return operations / seconds(block, 5)


def sampling() -> Iterator[Row]:
    """Time of one call of the tiny model: layouts, what is decoded, steps, guidance and caching."""
    scenes = Scenes()
    scene, _ = scenes.batch(4, torch.Generator().manual_seed(0))
    pipeline = Pipeline(build(PRESETS["tiny"], autoencoder=fitted(64, scenes)))
    plans = (
        ("joint", 4, None, ("video", "action")),
        ("joint", 4, None, ("action",)),
        ("policy", 4, None, ("action",)),
        ("policy", 1, None, ("action",)),
        ("policy", 50, None, ("action",)),
        ("policy", 50, StepCache(), ("action",)),
    )
    for mode, steps, cache, wanted in plans:
        given, chosen = replace(scene, trajectory=scene.trajectory[:, :1]), Sampling(steps, cache=cache)
        canvas, condition = pipeline.encode(given, MODES[mode], 9)

        encoded = partial(pipeline.encode, given, MODES[mode], 9)
        sampled = partial(_sampled, pipeline, canvas, condition, chosen)
        done = sampled()
        decoded = partial(pipeline.decode, done, condition, scene.cameras, wanted)
        yield {
            "mode": mode,
            "steps": steps,
            "cached": cache is not None,
            "decoded": "+".join(wanted),
            "tokens": canvas.latents[0, 0].numel() // 4,
            "encode ms": 1e3 * seconds(encoded),
            "sample ms": 1e3 * seconds(sampled),
            "decode ms": 1e3 * seconds(decoded),
        }


def _sampled(pipeline: Pipeline, canvas: Canvas, condition: Condition, sampling: Sampling) -> Canvas:
    generator = torch.Generator().manual_seed(0)
    return sample(pipeline.models.denoiser, canvas, condition, sampling, generator)


def scaling() -> Iterator[Row]:
    """Time of one pass of `tiny` and operations of the released model, against frames, views and pixels."""
    tiny, released = (cost.Network.of(PRESETS[name]) for name in ("tiny", "wan2.2-5b"))
    models = build(PRESETS["tiny"], autoencoder=PcaAutoencoder(64))
    for mode, views, frames, side in (
        ("policy", 2, 9, 64),
        ("joint", 2, 9, 64),
        ("joint", 2, 17, 64),
        ("joint", 2, 41, 64),
        ("joint", 3, 9, 64),
        ("joint", 4, 9, 64),
        ("joint", 2, 9, 128),
        ("policy", 2, 41, 64),
    ):
        load = cost.load_of(MODES[mode], views, frames, (side, side), (4, 8), 24)
        large = cost.load_of(MODES[mode], views, frames, (8 * side, 8 * side), (4, 16), 512)
        layout = MODES[mode].layout(views, (frames - 1) // 4 + 1)
        inputs = (
            torch.randn(1, 64, load.num_frames, *load.size),
            torch.rand(1, load.num_frames),
            torch.randn(1, 24, 128),
        )
        camera = torch.randn(1, load.num_frames, 24, load.size[0] // 2, load.size[1] // 2)
        frames_seen = torch.rand(1, views, 3, side, side)
        with torch.no_grad():
            one_pass = partial(
                models.denoiser.transformer,
                *inputs,
                camera=camera,
                first_frames=frames_seen,
                still=torch.randn_like(inputs[0]),
                layout=layout,
            )
            taken = seconds(one_pass)
        yield {
            "mode": mode,
            "views": views,
            "frames": frames,
            "tiny px": side,
            "tokens": load.num_tokens((2, 2)),
            "tiny ms": 1e3 * taken,
            "tiny GFLOP": cost.forward_flops(tiny, load) / 1e9,
            "5B px": 8 * side,
            "5B tokens": large.num_tokens((2, 2)),
            "5B TFLOP": cost.forward_flops(released, large) / 1e12,
        }


SECTIONS: dict[str, Callable[..., Iterator[Row]]] = {
    "speed": speed,
    "sampling": sampling,
    "scaling": scaling,
    "autoencoders": autoencoders,
    "text": text,
    "roles": roles,
    "learning": learning,
}
"""Name -> its rows; those that take `long` have more of them in the long run."""


def show(console: Console, title: str, rows: Iterable[Row]) -> list[Row]:
    """Print each row as soon as it is there, under the names of the first one's columns; returns them all."""
    console.rule(title, align="left")
    shown: list[Row] = []
    for row in rows:
        if not shown:
            _print(console, row, list(row))
        _print(console, row, [_cell(value) for value in row.values()])
        shown.append(row)
    return shown


def _print(console: Console, row: Row, cells: list[str]) -> None:
    """One line, its columns as wide as this row's names; a name of a row stands first and to the left."""
    named = isinstance(next(iter(row.values())), str)
    first = cells[0].ljust(36) if named else cells[0].rjust(max(len(next(iter(row))), 6))
    rest = (cell.rjust(max(len(name), 8)) for name, cell in list(zip(row, cells, strict=True))[1:])
    console.print("  ".join([first, *rest]), highlight=False, soft_wrap=True)


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def write(path: Path, results: dict[str, list[Row]]) -> None:
    """All sections so far, whole or not at all; infinities become null, which JSON has no other word for."""
    write_json(path, {name: list(map(_finite, rows)) for name, rows in results.items()}, indent=1)


def _finite(row: Row) -> Row:
    """The row with None in the place of infinities and NaN."""
    infinite = {name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
    return row | dict.fromkeys(infinite)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="the sections to run"
    )
    parser.add_argument("--long", action="store_true", help="more sizes, and the tiny preset's training")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument(
        "--autoencoder", type=Path, help="a folder of diffusers' layout, such as Wan2.2's `vae`"
    )
    parser.add_argument("--size", type=int, default=256, help="pixels a side for --autoencoder")
    parser.add_argument("--frames", type=int, default=9, help="pixel frames for --autoencoder, 1 + 4 n")
    parser.add_argument("--scenes", type=int, default=4, help="clips for --autoencoder")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    sections = {name: SECTIONS[name] for name in arguments.only}
    if arguments.autoencoder is not None:
        size = (arguments.size, arguments.size)
        sections = {
            "autoencoder": partial(of_folder, arguments.autoencoder, size, arguments.frames, arguments.scenes)
        }
    console, results = Console(), {}
    for name, section in sections.items():
        began = time.perf_counter()
        told = {"long": arguments.long} if "long" in inspect.signature(section).parameters else {}
        results[name] = show(console, name, section(**told))
        console.print(f"{name}: {time.perf_counter() - began:.0f} s\n")
        if arguments.json:
            write(arguments.json, results)


if __name__ == "__main__":
    main()
