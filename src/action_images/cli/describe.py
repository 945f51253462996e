"""Print what a preset costs: parameters, tokens, operations, memory, and the cards that it fits.

action-images describe --preset tiny
action-images describe --preset wan2.2-5b --views 2 --frames 41 --height 256 --width 256
"""

import textwrap
from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    from action_images.model.budget import Budget, Clip, Setting
    from action_images.model.presets import Preset


def main(
    preset: str = "tiny",
    mode: str = "joint",
    views: int | None = None,
    frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    batch: int | None = None,
    devices: int = 1,
    dtype: Literal["float32", "bfloat16"] | None = None,
    *,
    sharded: bool = False,
    checkpointed: Literal["yes", "no"] | None = None,
    eight_bit: bool = False,
    offload: bool = False,
    lora_rank: int | None = None,
) -> None:
    """Calculate the costs in a second without loading anything; docs/model.md compares them with
    measurements.

    Args:
        preset: a size of the model; options left out take the preset's or its recipes' values.
        mode: what is on the canvas; 'policy' leaves the video's future out.
        views: how many cameras.
        frames: pixel frames, 1 + 4 n.
        height: pixels.
        width: pixels.
        batch: samples in one pass on each device; one in inference and the recipe's in training if not given.
        devices: how many devices share the tokens of a sample (inference) or split the batch (training).
        dtype: precision of passes; trained weights are float32 all the same.
        sharded: whether weights, gradients and optimizer state are split over the devices.
        checkpointed: whether training recomputes activations block by block; the recipe's own if not given.
        eight_bit: AdamW's state in 8 bits, for training loops of your own; no recipe has it.
        offload: in inference, keep parts of the model on the card only while they work; for your own code.
        lora_rank: rank of the adapters on all projections of all blocks.
    """
    from action_images.canvas.shown import SHOWN
    from action_images.model import budget, cost
    from action_images.model.presets import preset_named
    from action_images.terminal.console import PlainConsole
    from action_images.terminal.refusals import above_zero
    from action_images.training.recipes import RECIPES

    chosen = preset_named(preset)
    if mode not in SHOWN:
        raise ActionImagesError(f"there is no mode '{mode}'; there are: {', '.join(SHOWN)}")
    numbers = (1 if value is None else value for value in (batch, devices, views, lora_rank))
    if min(numbers) < 1:
        raise ActionImagesError("views, batch, devices and lora-rank are at least 1")
    above_zero({"height": height, "width": width, "frames": frames})
    size = (height or chosen.size[0], width or chosen.size[1])
    clip = budget.Clip(SHOWN[mode], views or chosen.num_views, frames or chosen.num_frames, size)
    _check_clip(chosen, clip)
    full = RECIPES.get(preset)
    lora = RECIPES.get(f"{preset}-lora", full)
    plain = dtype or ("float32" if full is None or full.mixed_precision == "no" else "bfloat16")

    def setting(use: cost.Use, *, cached: bool = False) -> "Setting":
        recipe = lora if use == "lora" else full
        passed = (
            1 if recipe is None or sharded else min(recipe.micro_batch_size, recipe.batch_size // devices)
        )
        return budget.Setting(
            use=use,
            cached=cached,
            checkpointed=(recipe is not None and recipe.gradient_checkpointing)
            if checkpointed is None
            else checkpointed == "yes",
            eight_bit=eight_bit,
            offloaded=offload and use == "inference",
            averaged=recipe is not None and recipe.ema_decay is not None,
            batch_size=batch or (1 if use == "inference" else max(passed, 1)),
            dtype=plain,
            frozen_dtype="float32" if full is None else full.autoencoder_dtype,
            num_devices=devices,
            sharded=sharded,
            lora_rank=lora_rank or (cost.LORA_RANK if lora is None else lora.lora.rank),
        )

    columns = {
        "inference": setting("inference"),
        "LoRA": setting("lora"),
        "LoRA cached": setting("lora", cached=True),
        "full": setting("full"),
        "full cached": setting("full", cached=True),
    }
    console = PlainConsole(soft_wrap=True)
    network, one = cost.Network.of(chosen), budget.load_of(chosen, clip)
    about = f"{clip.num_views} views, {clip.num_frames} frames of {size[0]} x {size[1]} px"
    console.print(f"{preset}, mode {mode}: {about}, {plain}")
    console.print(
        f"{cost.count_parameters(network):,} parameters; {one.num_frames} latent frames, "
        f"{one.num_tokens(network.patch):,} tokens a sample"
    )
    held = {name: budget.budget(chosen, clip, value) for name, value in columns.items()}
    console.print(_table(chosen, clip, columns, held))
    _print_notes(console, columns["LoRA"])
    for name in ("inference", "LoRA", "full"):
        answers = textwrap.wrap(_cards(chosen, clip, columns[name]), 62, break_on_hyphens=False)
        console.print(f"{name:9} fits: {(chr(10) + 17 * ' ').join(answers)}")


def _check_clip(preset: "Preset", clip: "Clip") -> None:
    """Raise ActionImagesError for frames and sizes that the autoencoder or the network would refuse."""
    from action_images.model.cost import Network
    from action_images.model.sizes import check_frames, check_size

    time, space = preset.factors
    check_frames(clip.num_frames, time)
    check_size(clip.size, Network.of(preset).patch[0] * space)


def _table(preset: "Preset", clip: "Clip", columns: "dict[str, Setting]", held: "dict[str, Budget]"):
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, padding=(0, 0, 0, 1))
    table.add_column("GB on each device", no_wrap=True)
    for name in columns:
        table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    rows = {
        "weights": [one.network.weights for one in held.values()],
        "gradients": [one.network.gradients for one in held.values()],
        "optimizer": [one.network.optimizer for one in held.values()],
        "activations": [one.network.activations for one in held.values()],
        "autoencoder": [one.autoencoder for one in held.values()],
        "its work": [one.work for one in held.values()],
        "text encoder": [one.text_encoder for one in held.values()],
        "peak": [one.peak for one in held.values()],
    }
    for name, row in rows.items():
        table.add_row(
            name, *(f"{part / 1e9:,.3f}" if part else "-" for part in row), style="bold" * (name == "peak")
        )
    table.add_row("samples a pass", *(str(value.batch_size) for value in columns.values()))
    table.add_row("TFLOP a sample", *(f"{_flops(preset, clip, value):,.4g}" for value in columns.values()))
    return table


def _flops(preset: "Preset", clip: "Clip", setting: "Setting") -> float:
    from action_images.model import budget, cost

    network, load = cost.Network.of(preset), budget.load_of(preset, clip)
    if setting.use == "inference":
        return cost.forward_flops(network, load) / setting.num_devices / 1e12
    learning = {"checkpointed": setting.checkpointed, "lora_rank": setting.lora_rank}
    return cost.training_flops(network, load, setting.use, **learning) / 1e12


def _print_notes(console, setting: "Setting") -> None:
    anew = "" if setting.checkpointed else "not "
    sentences = (
        f"LoRA has rank {setting.lora_rank}. Blocks are {anew}computed anew in training.",
        "cached: latents and embeddings come from a disk.",
        "Activations and the autoencoder's work are not held at once.",
        "TFLOP: one pass of inference, which guidance doubles; one training step.",
        "Below, 8 % of a card are left free; * no recipe has it.",
    )
    console.print(textwrap.fill(" ".join(sentences), 79))


def _cards(preset: "Preset", clip: "Clip", setting: "Setting") -> str:
    from action_images.model.budget import EIGHT_BIT, OFFLOAD, fitting

    answers = []
    for card, words in fitting(preset, clip, setting).items():
        if words is None:
            answer = "no"
        else:
            marked = [f"{word}*" if word in (EIGHT_BIT, OFFLOAD) else word for word in words]
            answer = f"with {' + '.join(marked)}" if marked else "yes"
        answers.append(f"{card} GB {answer}")
    return ", ".join(answers)
