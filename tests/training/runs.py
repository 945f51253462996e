"""Small runs and what is asked about them."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.samples.loader import load
from action_images.training.batches import Noised, layout_kind, noised_batches
from action_images.training.log import read_log
from action_images.training.recipe import Recipe
from action_images.training.train import Run
from small_scenes import scenes


def write_demonstrations(folder: Path, num: int, seed: int, *, fps: float = 5.0, num_frames: int = 9) -> Path:
    """Frames of 32 px, two views: a tool that moves straight, seen as a grey spot."""
    batch = scenes(num, 2, num_frames, (32, 32), seed)
    pixels = batch.video.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    with DatasetWriter(folder, fps=fps) as writer:
        for number in range(num):
            views = tuple(
                View(f"view{view}", FramesInMemory(pixels[number, view]), batch.cameras[number, view, 0])
                for view in range(2)
            )
            writer.add(
                Episode(f"move/{number:04d}", f"go there {number % 2}", fps, views, batch.trajectory[number])
            )
    return folder


def losses_of(out: Path) -> dict[int, float]:
    """Step -> loss; the last one where a step was taken twice."""
    return {row["step"]: row["loss"] for row in read_log(out) if "loss" in row}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def parts_of(run: Run, recipe: Recipe, size: int = 64) -> list[Noised]:
    """The first step's batches."""
    batches = next(
        load(run.mixture, recipe.batch_size, 1, 0, run.clips.size, num_workers=0, group=layout_kind)
    )
    return list(noised_batches(run.pipeline, batches, recipe, size, run.clips.num_frames))
