"""Figures of the model: speed, sampling, cost, autoencoders, text, and what a from-scratch model needs to learn.

python bench/model.py [--only SECTION ...] [--json PATH]; one core, deterministic but for times.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from model_learning import learning
from model_scenes import Scenes, clip_of, fitted
from rich.console import Console
from rich.table import Table

from action_images.canvas import TASKS
from action_images.codec import draw, read
from action_images.model import cost
from action_images.model.patches import PatchAutoencoder
from action_images.model.presets import PRESETS, build
from action_images.model.text import HashedWords
from action_images.pipeline import Pipeline
from action_images.sampler import Sampling, StepCache, sample

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


def speed() -> list[Row]:
    """The denoiser against the same operations as bare matrix products and attention on this machine."""
    rows = []
    for name, batch, frames, side in (("tiny", 8, 8, 8), ("tiny", 32, 8, 8), ("tiny", 8, 12, 8), ("tiny", 2, 44, 16)):
        preset = PRESETS[name]
        config = cost.full_config(preset.transformer)
        load = cost.Load(batch, frames, side, side, 24, 2, per_frame_levels=True)
        models = build(preset, autoencoder=PatchAutoencoder(config["in_channels"]))
        layout = TASKS["joint"].layout(2, frames // 4)
        inputs = {
            "hidden_states": torch.randn(batch, config["in_channels"], frames, side, side),
            "timestep": torch.rand(batch, frames) * 1000,
            "encoder_hidden_states": torch.randn(batch, 24, config["text_dim"]),
            "camera": torch.randn(batch, frames, 24, side // 2, side // 2),
            "first_frames": torch.rand(batch, 2, 3, side * 8, side * 8),
            "layout": layout,
        }
        with torch.no_grad():
            taken = seconds(lambda: models.denoiser.transformer(**inputs))  # noqa: B023
        tokens = batch * load.num_tokens((2, 2))
        operations = cost.forward_flops(config, load)
        limit = _limit(tokens, batch, config)
        rows.append(
            {
                "preset": name,
                "batch": batch,
                "tokens": tokens,
                "ms": 1e3 * taken,
                "tokens/s": tokens / taken,
                "GFLOP/s": operations / taken / 1e9,
                "matmul GFLOP/s": limit / 1e9,
                "share of limit": operations / taken / limit,
            }
        )
    return rows


def _limit(tokens: int, batch: int, config: dict[str, Any]) -> float:
    """Operations per second of this model's own matrix shapes and attention, with nothing between them."""
    width, ffn, heads = config["num_attention_heads"] * config["attention_head_dim"], config["ffn_dim"], config["num_attention_heads"]
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


def sampling() -> list[Row]:
    """Time of one call of the tiny model: layouts, what is decoded, steps, guidance and caching."""
    scenes = Scenes()
    scene, _ = scenes.batch(4, torch.Generator().manual_seed(0))
    pipeline = Pipeline(build(PRESETS["tiny"], autoencoder=fitted(64, scenes)))
    rows = []
    plans = (
        ("joint", 4, None, ("video", "action")),
        ("joint", 4, None, ("action",)),
        ("policy", 4, None, ("action",)),
        ("policy", 1, None, ("action",)),
        ("policy", 50, None, ("action",)),
        ("policy", 50, StepCache(), ("action",)),
    )
    for task, steps, cache, wanted in plans:
        begun = time.perf_counter()
        canvas, condition = pipeline.encode(replace(scene, trajectory=scene.trajectory[:, :1]), TASKS[task], 9)
        encoded = time.perf_counter()
        chosen = Sampling(steps, cache=cache)
        done = sample(pipeline.models.denoiser, canvas, condition, chosen, torch.Generator().manual_seed(0))
        sampled = time.perf_counter()
        pipeline.decode(done, scene.cameras, wanted)
        rows.append(
            {
                "task": task,
                "steps": steps,
                "cached": cache is not None,
                "decoded": "+".join(wanted),
                "tokens": canvas.latents[0, 0].numel() // 4,
                "encode ms": 1e3 * (encoded - begun),
                "sample ms": 1e3 * (sampled - encoded),
                "decode ms": 1e3 * (time.perf_counter() - sampled),
            }
        )
    return rows


def scaling() -> list[Row]:
    """Measured time of one pass of a tiny model, and the released model's operations, against frames, views and pixels."""
    rows = []
    tiny, released = (cost.full_config(PRESETS[name].transformer) for name in ("tiny", "wan2.2-5b"))
    models = build(PRESETS["tiny"], autoencoder=PatchAutoencoder(64))
    for task, views, frames, side in (
        ("policy", 2, 9, 64),
        ("joint", 2, 9, 64),
        ("joint", 2, 17, 64),
        ("joint", 2, 41, 64),
        ("joint", 3, 9, 64),
        ("joint", 4, 9, 64),
        ("joint", 2, 9, 128),
        ("policy", 2, 41, 64),
    ):
        load = cost.load_of(TASKS[task], views, frames, (side, side), (4, 8), 24)
        large = cost.load_of(TASKS[task], views, frames, (8 * side, 8 * side), (4, 16), 512)
        layout = TASKS[task].layout(views, (frames - 1) // 4 + 1)
        inputs = (torch.randn(1, 64, load.num_frames, load.height, load.width), torch.rand(1, load.num_frames), torch.randn(1, 24, 128))
        camera = torch.randn(1, load.num_frames, 24, load.height // 2, load.width // 2)
        frames_seen = torch.rand(1, views, 3, side, side)
        with torch.no_grad():
            taken = seconds(lambda: models.denoiser.transformer(*inputs, camera=camera, first_frames=frames_seen, layout=layout))  # noqa: B023
        rows.append(
            {
                "task": task,
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
        )
    return rows


def autoencoders() -> list[Row]:
    """Reconstruction of held-out clips, and the tool poses read back from reconstructed action images."""
    rows = []
    for size in ((64, 64), (128, 128)):
        scenes = Scenes(size)
        scene, _ = scenes.batch(48, torch.Generator().manual_seed(99))
        images = draw(scene.trajectory, scene.cameras)
        for channels, weight in ((None, 0.0), (32, 10.0), (48, 10.0), (64, 1.0), (64, 10.0), (64, 100.0), (96, 10.0)):
            shown, psnr = images, math.inf
            if channels is not None:
                autoencoder = fitted(channels, scenes, weight)
                shown = (autoencoder.decode(autoencoder.encode(images * 2 - 1)) / 2 + 0.5).clamp(0, 1)
                clip = clip_of(scene)
                video = (autoencoder.decode(autoencoder.encode(clip)) - clip) / 2
                psnr = -10 * math.log10(video.square().mean())
            reading = read(shown, scene.cameras)
            metres, radians = scene.trajectory.world_from_tool.distance(reading.trajectory.world_from_tool)
            rows.append(
                {
                    "px": size[0],
                    "channels": channels or "none",
                    "weight of action images": weight,
                    "video PSNR dB": psnr,
                    "position mm": 1e3 * metres.median().item(),
                    "p95 mm": 1e3 * metres.flatten().quantile(0.95).item(),
                    "rotation deg": math.degrees(radians.median().item()),
                    "valid": reading.valid.float().mean().item(),
                }
            )
    return rows


COLOUR_WORDS = ("red", "green", "blue", "yellow", "orange", "purple")
TASK_WORDS = ("pick up", "push", "reach", "slide")
TRAINED = ("{verb} the {colour} block", "please {verb} the {colour} cube", "{verb} the block that is {colour}")
HELD_OUT = ("can you {verb} that {colour} thing on the table", "the {colour} one, {verb} it now")


def text(encoders: dict[str, Any] | None = None) -> list[Row]:
    """Held-out phrasings: which colour and which task, by a small attention-pooled probe trained on other phrasings."""
    rows = []
    for name, encoder in (encoders or {"HashedWords 128": HashedWords(128)}).items():
        sets = {"trained": _sentences(TRAINED), "held out": _sentences(HELD_OUT)}
        row: Row = {"encoder": name}
        for which, words in (("task", TASK_WORDS), ("colour", COLOUR_WORDS)):
            column = 1 if which == "task" else 2
            row[f"{which} right, %"] = 100 * _probe(encoder, sets, words, column)
        rows.append(row)
    return rows


def _sentences(forms: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [(form.format(verb=verb, colour=colour), verb, colour) for form in forms for verb in TASK_WORDS for colour in COLOUR_WORDS]


def _probe(encoder: Any, sets: dict[str, list[tuple[str, str, str]]], words: tuple[str, ...], column: int) -> float:
    torch.manual_seed(0)
    tokens = {part: encoder.encode([entry[0] for entry in entries]) for part, entries in sets.items()}
    labels = {part: torch.tensor([words.index(entry[column]) for entry in entries]) for part, entries in sets.items()}
    value = torch.nn.Sequential(torch.nn.Linear(encoder.dim, 64), torch.nn.GELU(), torch.nn.Linear(64, 64))
    attend, out = torch.nn.Linear(encoder.dim, 1), torch.nn.Linear(64, len(words))

    def classify(given: torch.Tensor) -> torch.Tensor:
        padding = ~(given != 0).any(-1, keepdim=True)
        return out((attend(given).masked_fill(padding, -torch.inf).softmax(1) * value(given)).sum(1))

    optimizer = torch.optim.AdamW([*value.parameters(), *attend.parameters(), *out.parameters()], 3e-3, weight_decay=0.05)
    for _ in range(400):
        loss = torch.nn.functional.cross_entropy(classify(tokens["trained"]), labels["trained"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return (classify(tokens["held out"]).argmax(-1) == labels["held out"]).float().mean().item()


SECTIONS: dict[str, Callable[[], list[Row]]] = {
    "speed": speed,
    "sampling": sampling,
    "scaling": scaling,
    "autoencoders": autoencoders,
    "text": text,
    "learning": learning,
}


def show(name: str, rows: list[Row]) -> None:
    table = Table(*rows[0], title=f"{name}: {SECTIONS[name].__doc__}")
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=180).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    results = {name: SECTIONS[name]() for name in arguments.only}
    for name, rows in results.items():
        show(name, rows)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        part = arguments.json.with_name(arguments.json.name + ".part")
        part.write_text(json.dumps(results, indent=1) + "\n")
        part.replace(arguments.json)


if __name__ == "__main__":
    main()
