"""Train the convolutional autoencoder of a preset on your videos and their action images.

action-images train-autoencoder dataset --out autoencoder
action-images train-autoencoder dataset --out autoencoder --preset base --device cuda
"""

from pathlib import Path
from typing import Annotated

import tyro

from action_images.errors import ActionImagesError


def main(
    data: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path,
    preset: str = "base",
    height: int | None = None,
    width: int | None = None,
    frames: int | None = None,
    steps: int = 50_000,
    batch: int = 8,
    learning_rate: float = 2e-4,
    action_weight: float = 4.0,
    held_out: float = 0.1,
    seed: int = 0,
    workers: int = 2,
    device: str = "auto",
) -> None:
    """Write an autoencoder to OUT in diffusers' layout, with its figures on held-out episodes.

    `action-images train base --autoencoder OUT` uses it. The same command resumes a stopped run.

    Args:
        data: data sets with tool poses and calibrated views.
        out: the folder to write.
        preset: the preset whose autoencoder is trained.
        height: height of the clips in px; the preset's if not given.
        width: width of the clips in px; the preset's if not given.
        frames: frames of a clip; the preset's if not given.
        steps: optimizer steps.
        batch: video clips in a step, and as many clips of action images.
        learning_rate: the highest learning rate of the schedule.
        action_weight: weight of an action image relative to a video.
        held_out: approximate share of the episodes that is judged on instead of learnt from.
        seed: seed of the weights, the order of the data and the noise.
        workers: processes that decode data.
        device: where training runs: cuda, cuda:1, mps, cpu, or auto for the first one available.
    """
    from action_images.device import place_of
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.progress import counting
    from action_images.training.autoencoder import AutoencoderTraining, train_autoencoder

    if (height is None) != (width is None):
        raise ActionImagesError("give both --height and --width, or neither")
    size = None if height is None or width is None else (height, width)
    run = AutoencoderTraining(
        tuple(data),
        preset,
        size=size,
        num_frames=frames,
        num_steps=steps,
        batch_size=batch,
        learning_rate=learning_rate,
        action_weight=action_weight,
        held_out=held_out,
        seed=seed,
        num_workers=workers,
    )
    place, console, told = place_of(device), PlainConsole(soft_wrap=True), PlainConsole(stderr=True)
    told.print(place.line, soft_wrap=True)
    with counting("learning") as tell:

        def show(step: int, loss: float) -> None:
            tell(step + 1, steps, f"loss {loss:.4f}")

        figures = train_autoencoder(run, out, place.device, show)
    for name, value in figures.items():
        console.print(f"{name}: {'none was read' if value is None else f'{value:.4g}'}")
    console.print(f"written: {out}")
