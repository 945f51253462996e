"""What a cache of latents saves: a training step with a small frozen `AutoencoderKLWan`, without and with it.

The data are synthetic reaches of two views. A step is measured three ways on the same samples: `without` a
cache, `filling` an empty one, and `reading` a full one; figures are processor seconds of a step, the median
over all steps of the second pass. Losses must be equal to the last bit, or the script fails.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from model_scenes import Scenes, clip_of
from rich.console import Console
from rich.table import Table

from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.files.atomic import write_json
from action_images.model.autoencoders.wan import WanAutoencoder
from action_images.model.backbones import BACKBONES
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.presets import PRESETS
from action_images.model.text import HashedWords
from action_images.samples.latent_cache import entries
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import DEBUG
from action_images.training.train import Run

CHANNELS, SIZE, NUM_FRAMES = 16, (64, 64), 9
AUTOENCODER = {"base_dim": 24, "z_dim": CHANNELS}


def write_data(folder: Path, num_episodes: int) -> None:
    """Reaches of nine frames."""
    scene, _ = Scenes(SIZE, NUM_FRAMES).batch(num_episodes, torch.Generator().manual_seed(0))
    pixels = clip_of(scene).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    with DatasetWriter(folder, fps=5) as writer:
        for number in range(num_episodes):
            views = tuple(
                View(f"view{view}", FramesInMemory(pixels[number, view]), scene.cameras[number, view, 0])
                for view in range(2)
            )
            told = scene.instruction[number]
            writer.add(Episode(f"reach/{number:04d}", told, 5.0, views, scene.trajectory[number]))


def write_models(folder: Path) -> None:
    """The network of `tiny` on a convolutional autoencoder with random weights."""
    torch.manual_seed(0)
    sizes = {"in_channels": CHANNELS, "out_channels": CHANNELS, "still_anchor": False}
    network = BACKBONES["wan"](**PRESETS["tiny"].transformer | sizes)
    autoencoder = WanAutoencoder.new(**AUTOENCODER)
    text = HashedWords(**(PRESETS["tiny"].hashed_words or {}))
    Models(CanvasDenoiser(network), autoencoder, text, Clips(SIZE, NUM_FRAMES, 5.0, "one-step")).save(folder)


def seconds(recipe: Recipe, out: Path) -> tuple[float, list[float]]:
    """Processor seconds of a step (median), and the losses."""
    run = Run.start(recipe, out)
    taken, losses = [], []
    for step, batches in run.steps():
        begun = time.process_time()
        losses.append(run.learn(step, batches)[0])
        taken.append(time.process_time() - begun)
    return median(taken[len(taken) // 2 :]), losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_data(root / "data", arguments.episodes)
        write_models(root / "models")
        recipe = replace(
            DEBUG,
            preset="tiny",
            sources=(SourceRecipe(root / "data", modes={"joint": 1.0}),),
            validation=(),
            pretrained=root / "models",
            num_steps=arguments.steps,
            batch_size=arguments.batch,
            num_workers=0,
        )
        cached = replace(recipe, latents=root / "latents")
        ways = {"without": recipe, "filling": cached, "reading": replace(cached, fill_latents=False)}
        rows = {way: seconds(one, root / way) for way, one in ways.items()}
        size = sum(path.stat().st_size for path in entries(root / "latents"))
    assert all(losses == rows["without"][1] for _, losses in rows.values()), "the losses differ"
    table = Table("way", "processor s a step", "of without")
    for way, (taken, _) in rows.items():
        table.add_row(way, f"{taken:.3f}", f"{taken / rows['without'][0]:.2f}")
    console = Console()
    console.print(table)
    console.print(f"{arguments.steps} steps of {arguments.batch}; the cache holds {size / 1e6:.2f} MB")
    if arguments.json is not None:
        write_json(arguments.json, {way: taken for way, (taken, _) in rows.items()} | {"cache bytes": size})


if __name__ == "__main__":
    main()
