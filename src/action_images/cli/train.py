"""Train a model by a named recipe, or resume a stopped run.

action-images train tiny --data dataset --out run
action-images train --resume run
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from action_images.errors import ActionImagesError
from action_images.terminal.paths import GivenDataset, GivenFolder
from action_images.training.recipe import MANY_STEPS, Recipe, SourceRecipe
from action_images.training.recipes import RECIPES

if TYPE_CHECKING:
    from action_images.model.bundle import Clips
    from action_images.samples.mixture import Mixture, Source
    from action_images.samples.sample import Sample

Trackers = tuple[Literal["tensorboard", "wandb", "trackio"], ...]
PICTURE = "first_batch.png"
SHOWN_SAMPLES = 6


@dataclass(frozen=True)
class Training:
    """One run. The same command resumes a stopped run."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    out: Path = tyro.MISSING
    """The run's folder."""
    data: tuple[GivenDataset, ...] = ()
    """Train on these data sets instead of the recipe's own. Some episodes are held out for validation, and
    frames are dropped so that clips have about 5 per second."""
    views: tuple[str, ...] = ()
    """With --data: the views that samples are drawn from; all if not given."""
    stride: int | None = None
    """With --data: windows take every n-th frame of each set, instead of about 5 per second."""
    dry_run: bool = False
    """Print the run's requirements and draw its first batch, without training."""
    trackers: Trackers = ()
    """Trackers that get the curves, besides the run's own log.jsonl."""
    device: str = "auto"
    """Where training runs: cuda, cuda:1, mps, cpu, or auto for the first one available."""
    dtype: Literal["auto", "float32", "bfloat16"] | None = None
    """Precision of passes, instead of the recipe's mixed_precision; auto takes what is fast on the device."""
    name: tyro.conf.Suppress[str] = ""
    """Name of the recipe; empty for a resumed run."""


Chosen = tyro.extras.subcommand_type_from_defaults(
    {name: Training(recipe, name=name) for name, recipe in RECIPES.items()}, prefix_names=False
)


def main(
    run: Annotated[Chosen | None, tyro.conf.arg(name="")] = None,  # type: ignore[valid-type]
    resume: GivenFolder | None = None,
    trackers: Trackers = (),
    device: str = "auto",
) -> None:
    """Train by a named recipe, each of whose values can be changed: `action-images train debug --out run
    --num-steps 100`.

    A run stopped by Ctrl-C, a kill or a power cut is resumed by the same command, or by `action-images train
    --resume run`.

    Args:
        run: The recipe.
        resume: The folder of a run to resume; its recipe is read from there.
        trackers: With --resume: trackers that get the curves.
        device: With --resume: where the run continues, such as cuda or cpu.
    """
    if (run is None) == (resume is None):
        raise ActionImagesError(
            f"give a recipe ({', '.join(RECIPES)}) and --out, or --resume and the folder of a run"
        )
    if resume is not None:
        from action_images.training.run_folder import saved_recipe

        told = Training(saved_recipe(resume), resume, trackers=trackers, device=device)
    else:
        told = run
    assert isinstance(told, Training)
    if told.data:
        told = on_own_data(told)
    elif told.views or told.stride is not None:
        raise ActionImagesError(
            "--views and --stride are about --data; give --sources.N.views and --sources.N.stride without it"
        )
    check_autoencoder(told)
    told = ended_by_minutes(told)
    if told.dry_run:
        _plan(_placed(told))
    else:
        _train(told)


def on_own_data(run: Training) -> Training:
    """The same run with its data as sources and validation; prints what was chosen."""
    from action_images.terminal.console import PlainConsole
    from action_images.training.own_data import check_overwritten, with_data

    if run.stride is not None and run.stride < 1:
        raise ActionImagesError(f"--stride must be at least 1, not {run.stride}")
    check_overwritten(run.recipe, RECIPES[run.name])
    recipe, said = with_data(run.recipe, run.data, run.views, run.stride)
    console = PlainConsole()
    for sentence in said:
        console.print(sentence, soft_wrap=True)
    return replace(run, recipe=recipe)


def check_autoencoder(run: Training) -> None:
    """Raise ActionImagesError for an --autoencoder that would not be read."""
    recipe, named = run.recipe, RECIPES.get(run.name)
    is_given = named is not None and recipe.autoencoder not in (None, named.autoencoder)
    if is_given and recipe.pretrained is not None:
        raise ActionImagesError(
            f"--autoencoder does nothing with --pretrained, as {recipe.pretrained} has an autoencoder; leave "
            "out one of them"
        )


def ended_by_minutes(run: Training) -> Training:
    """The same run; with --minutes, without the recipe's own limit of steps, which is said."""
    from action_images.terminal.console import PlainConsole

    recipe, named = run.recipe, RECIPES.get(run.name)
    if recipe.minutes is None or named is None or recipe.num_steps != named.num_steps:
        return run
    PlainConsole().print(
        f"runs for {recipe.minutes:g} minutes, and not for the recipe's {named.num_steps} steps; another "
        "--num-steps gives the most steps",
        soft_wrap=True,
    )
    return replace(run, recipe=replace(recipe, num_steps=MANY_STEPS))


def _train(run: Training) -> None:
    from torch import distributed

    from action_images.baselines.objectives import objective_of
    from action_images.reports.training_pictures import pictures_into
    from action_images.terminal.console import PlainConsole
    from action_images.training.run_folder import CHECKPOINTS
    from action_images.training.train import train

    console = PlainConsole()
    try:
        run = _placed(run)
        model = train(
            run.recipe,
            run.out,
            pictures_into(run.out),
            run.trackers,
            objective_of(run.recipe),
            device=run.device,
        )
    except KeyboardInterrupt:
        if (run.out / CHECKPOINTS).is_dir():
            console.print(f"saved; go on with: action-images train --resume {quote(str(run.out))}")
        raise
    console.print(f"written: {model}")
    if distributed.is_initialized():
        distributed.destroy_process_group()  # otherwise its threads would kill some processes


def _placed(run: Training) -> Training:
    """The run with an available device and the precision of its passes; the first process prints both."""
    import os
    import sys

    from action_images.device import dtype_name, place_of
    from action_images.training.run_folder import RECIPE, saved_recipe

    dtype = run.dtype or ("bfloat16" if run.recipe.mixed_precision == "bf16" else "float32")
    if dtype == "auto" and (run.out / RECIPE).is_file():
        # A run continues in the precision that it began with.
        dtype = "bfloat16" if saved_recipe(run.out).mixed_precision == "bf16" else "float32"
    place = place_of(run.device, dtype, learns=True)
    if os.environ.get("RANK", "0") == "0":
        print(place.line, file=sys.stderr)
    precision = "bf16" if dtype_name(place.dtype) == "bfloat16" else "no"
    # accelerate gives each of several processes a card of its own.
    device = run.device if int(os.environ.get("WORLD_SIZE", "1")) > 1 else str(place.device)
    return replace(run, recipe=replace(run.recipe, mixed_precision=precision), device=device)


def _plan(run: Training) -> None:
    """Print the run's requirements, and draw its first batch."""
    from action_images.terminal.console import PlainConsole
    from action_images.training.setup import clips_of, open_mixture

    recipe, out = run.recipe, run.out
    clips = clips_of(recipe)
    mixture = open_mixture(recipe.sources, recipe, clips, recipe.seed)
    judged = open_mixture(recipe.validation, recipe, clips, recipe.seed) if recipe.validation else None
    console = PlainConsole()
    height, width = clips.size
    frames = f"{clips.num_frames} frames of {height} x {width} px at {clips.fps:g} a second"
    clip = f"{recipe.num_views} views, {frames}"
    length = f"{recipe.num_steps} steps"
    if recipe.minutes is not None:
        most = "" if recipe.num_steps == MANY_STEPS else f", at most {recipe.num_steps},"
        length = f"{recipe.minutes:g} minutes of steps{most}"
    console.print(f"{recipe.preset}, {length} of {recipe.batch_size} samples: {clip}")
    _print_data(console, recipe, mixture, judged)
    _print_costs(console, recipe, clips, mixture, run.device)
    out.mkdir(parents=True, exist_ok=True)
    _draw_first_batch(out / PICTURE, recipe, clips, mixture)
    console.print(f"written: {out / PICTURE}")


def _print_data(console, recipe: Recipe, mixture: "Mixture", judged: "Mixture | None") -> None:
    """Print the sources of training and validation: episodes in their part, and how many are left out."""
    from rich.table import Column, Table

    from action_images.training.dry_run import DRAWS, drawn_sources
    from action_images.training.setup import episodes_of, learnt_and_judged

    def data(one: SourceRecipe, source: "Source") -> tuple[str, ...]:
        left_out = len(source.too_short) + len(source.bare)
        return source.name, one.part, str(len(episodes_of(one, source))), str(left_out), str(len(source))

    counts = drawn_sources(mixture)
    # The run itself measures how many steps its minutes hold.
    num_steps = recipe.num_steps if recipe.minutes is None else 1000
    passes = "passes over it" if recipe.minutes is None else f"passes in {num_steps} steps"
    table = Table(Column("source", no_wrap=True), "part", "episodes", "left out", "windows", "share", passes)
    for one, source in zip(recipe.sources, mixture.sources, strict=True):
        share = counts[source.name] / DRAWS
        number = share * num_steps * recipe.batch_size / len(source)
        table.add_row(*data(one, source), f"{share:.1%}", f"{number:.2f}")
    console.print(table)
    validation = () if judged is None else judged.sources
    table = Table(Column("validation", no_wrap=True), "part", "episodes", "left out", "windows")
    for one, source in zip(recipe.validation, validation, strict=True):
        table.add_row(*data(one, source))
    for warning in [] if judged is None else learnt_and_judged(mixture, [judged]):
        console.print(warning, style="yellow", soft_wrap=True)
    console.print(table if validation else "no validation: the recipe names no data to judge on")
    for source in (*mixture.sources, *validation):
        for episodes, why in (
            (source.too_short, "too short for a window"),
            (source.bare, "without tool poses, or with an uncalibrated view"),
        ):
            if episodes:
                console.print(f"{source.name}: {len(episodes)} left out, {why}")


def _print_costs(console, recipe: Recipe, clips: "Clips", mixture: "Mixture", device: str) -> None:
    import torch
    from rich.table import Table

    from action_images.device import place_of
    from action_images.model import cost
    from action_images.model.presets import preset_named
    from action_images.training.dry_run import costs, flops_per_second

    preset = preset_named(recipe.preset)
    if preset.backbone not in cost.SKETCHES:
        console.print(f"what a transformer of the family '{preset.backbone}' takes is not counted")
        return
    network = cost.Network.of(preset)
    trained = (
        cost.lora_parameters(network, recipe.lora.rank, recipe.lora.targets)
        if recipe.trainable == "lora"
        else cost.count_parameters(network)
    )
    headless = (
        ""
        if recipe.learns == "action-images"
        else " (of the network that answers with canvases; a path head takes its end's place)"
    )
    console.print(f"{cost.count_parameters(network):,} parameters, {trained:,} of them learn{headless}")
    table = Table(
        "mode", "share", "tokens", "GFLOP a sample", "weights", "gradients", "optimizer", "activations", "GB"
    )
    rows = costs(recipe, preset, clips, mixture)
    for mode, row in rows.items():
        held = row.memory
        parts = (held.weights, held.gradients, held.optimizer, held.activations, held.total)
        gigabytes = (f"{part / 1e9:,.3f}" for part in parts)
        table.add_row(
            mode, f"{row.share:.1%}", f"{row.num_tokens:,}", f"{row.flops_per_sample / 1e9:,.2f}", *gigabytes
        )
    console.print(table)
    dtype = torch.bfloat16 if recipe.mixed_precision == "bf16" else torch.float32
    speed = flops_per_second(place_of(device).device, dtype)
    seconds = recipe.batch_size * sum(row.share * row.flops_per_sample for row in rows.values()) / speed
    console.print("Memory of one process in GB, without autoencoder and language model.")
    hours = seconds * recipe.num_steps / 3600
    products = f"at the {speed / 1e9:,.0f} GFLOP/s of this device's large matrix products"
    bound = f"{products}; small models reach a part of that"
    in_all = f"{hours:.3g} hours in all" if recipe.minutes is None else f"{recipe.minutes:g} minutes in all"
    console.print(f"At least {seconds:.3g} s a step and {in_all} on one such device, {bound}.")


def _draw_first_batch(path: Path, recipe: Recipe, clips: "Clips", mixture: "Mixture") -> None:
    import torch

    from action_images.reports.contact_sheet import sheet
    from action_images.reports.pictures import save_png

    draws = [mixture[index] for index in range(min(recipe.batch_size, SHOWN_SAMPLES))]
    blocks = []
    for draw in draws:
        # Show whole videos, even if the mode sees their first frame alone.
        sample = mixture.sample(replace(draw, mode=None), clips.size).normalised()
        place = f"{Path(draw.source).name} {draw.window}"
        title = f"{draw.mode}: {sample.instruction or '(no instruction)'}   {place}"
        blocks.append(sheet(title, list(_rows(sample, recipe, clips.axis_length))))
    width = max(block.shape[-1] for block in blocks)
    save_png(
        path,
        torch.cat(
            [
                torch.nn.functional.pad(block, (0, width - block.shape[-1], 0, 8), value=255)
                for block in blocks
            ],
            -2,
        ),
    )


def _rows(sample: "Sample", recipe: Recipe, axis_length: float) -> Iterator:
    from action_images.codec import RELEASED, ActionImageFormat, draw
    from action_images.model.presets import preset_named

    released = preset_named(recipe.preset).transformer.get("camera") == "released"
    drawn = None
    if sample.trajectory is not None and sample.cameras is not None:
        format = replace(RELEASED if released else ActionImageFormat(), axis_length=axis_length)
        drawn = draw(sample.trajectory, sample.cameras, format)
    for view in range(sample.video.shape[0]):
        yield f"view {view} video", sample.video[view].add(1).div(2)
        if drawn is not None:
            yield f"view {view} actions", drawn[view]
