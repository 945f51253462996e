"""Train a painter for your models: imagined videos become sharper and truer.

action-images train-painter demonstrations --model run/model --out painted
action-images train-painter demonstrations play --model run/model --frames-cache frames --out painted
"""

from pathlib import Path
from typing import Annotated

import tyro

from action_images.terminal.paths import OutFolder


def main(
    data: Annotated[tuple[Path, ...], tyro.conf.Positional],
    model: Path,
    out: OutFolder,
    steps: int = 5_000,
    batch: int = 4,
    learning_rate: float = 1.5e-3,
    held_out: float = 0.1,
    judged: int = 64,
    frames_cache: Path | None = None,
    seed: int = 0,
    workers: int = 2,
    device: str = "auto",
) -> None:
    """Write a copy of the models with a painter to OUT/model, and its figures on held-out episodes.

    The painter is a small convolutional network. It sees the given image, the action images and the imagined
    frame, and paints that frame. Plans and labels stay as they are. All commands paint what OUT/model
    imagines: simulations, futures, second views.

    The models given stay as they are. The same command resumes a stopped run.

    Args:
        data: data sets with tool poses and calibrated views, such as those that the models learnt from.
        model: the folder of models.
        out: the folder to write to.
        steps: optimizer steps.
        batch: windows in a step; two frames of each view are painted.
        learning_rate: the highest learning rate of the schedule.
        held_out: approximate share of the episodes that is judged on instead of learnt from.
        judged: how many held-out windows are judged on.
        frames_cache: folder for frames that are decoded once; decoded for each step if not given.
        seed: seed of the weights, the noise and the order of the data.
        workers: processes that decode data.
        device: where training runs: cuda, cuda:1, mps, cpu, or auto for the first one available.
    """
    from action_images.device import place_of
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.progress import counting
    from action_images.training.painting import PainterTraining, train_painter

    run = PainterTraining(
        model,
        tuple(data),
        num_steps=steps,
        batch_size=batch,
        learning_rate=learning_rate,
        held_out=held_out,
        seed=seed,
        num_workers=workers,
        judged=judged,
        frames_cache=frames_cache,
    )
    place, console, told = place_of(device), PlainConsole(soft_wrap=True), PlainConsole(stderr=True)
    told.print(place.line, soft_wrap=True)
    with counting("learning") as tell:

        def show(step: int, loss: float) -> None:
            tell(step + 1, steps, f"loss {loss:.4f}")

        figures = train_painter(run, out, place.device, show)
    for name, value in figures.items():
        console.print(f"{name}: {value:.4g}")
    console.print(f"written: {out / 'model'}")
