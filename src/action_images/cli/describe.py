"""What a preset costs: parameters, tokens, memory and operations per step, counted without running it.

action-images describe --preset tiny
action-images describe --preset wan2.2-5b --views 2 --frames 41 --height 256 --width 256
"""

from typing import TYPE_CHECKING, Literal

from action_images.errors import ActionImagesError

if TYPE_CHECKING:
    from action_images.model.cost import Memory


def main(
    preset: str = "tiny",
    mode: str = "joint",
    views: int | None = None,
    frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    batch: int = 1,
    devices: int = 1,
    dtype: Literal["float32", "bfloat16"] | None = None,
    *,
    sharded: bool = False,
    checkpointed: bool = True,
    lora_rank: int = 32,
) -> None:
    """Nothing is loaded and no memory is taken; docs/model.md says how far the figures agree with
    measurements.

    Args:
        preset: a size of the model; what is left out below is the preset's own.
        mode: what is on the canvas; 'policy' leaves the video's future out.
        views: how many cameras.
        frames: pixel frames, 1 + 4 n.
        height: pixels.
        width: pixels.
        batch: samples on each device.
        devices: how many devices share the tokens of a sample (inference) or split the batch (training).
        dtype: of the weights; bfloat16 for the released size, float32 for the small ones.
        sharded: whether weights, gradients and optimizer state are split over the devices.
        checkpointed: whether training recomputes activations block by block.
        lora_rank: of the adapters on all projections of all blocks.
    """
    import torch
    from rich.table import Table

    from action_images.canvas import MODES
    from action_images.model import cost
    from action_images.model.autoencoders.autoencoder import check_size, num_latent_frames
    from action_images.model.presets import build_autoencoder, preset_named
    from action_images.terminal.console import PlainConsole

    chosen = preset_named(preset)
    if mode not in MODES:
        raise ActionImagesError(f"there is no mode '{mode}'; there are: {', '.join(MODES)}")
    if min(batch, devices, views or 1, lora_rank) < 1:
        raise ActionImagesError("views, batch, devices and lora-rank are at least 1")
    size = (height or chosen.size[0], width or chosen.size[1])
    num_frames, num_views = frames or chosen.num_frames, views or chosen.num_views
    with torch.device("meta"):
        autoencoder = build_autoencoder(chosen)
    factors = (autoencoder.temporal_factor, autoencoder.spatial_factor)
    num_latent_frames(autoencoder, num_frames)
    network = cost.Network.of(chosen)
    check_size(size, network.patch[0] * factors[1])
    num_words = 512 if chosen.hashed_words is None else 24
    load = cost.load_of(MODES[mode], num_views, num_frames, size, factors, num_words, batch)
    kind = (
        getattr(torch, dtype)
        if dtype
        else torch.bfloat16
        if chosen.autoencoder_kind == "wan"
        else torch.float32
    )
    tokens = load.num_tokens(network.patch)
    console = PlainConsole()
    clip = f"{num_views} views, {num_frames} frames of {size[0]} x {size[1]} px"
    console.print(f"{preset}, mode {mode}: {clip}, {str(kind).removeprefix('torch.')}")
    console.print(
        f"{cost.count_parameters(network):,} parameters; {load.num_frames} latent frames, {tokens:,} tokens "
        "a sample"
    )
    table = Table("on each device", "TFLOP", "weights", "gradients", "optimizer", "activations", "GB")
    sharing = {"num_devices": devices, "sharded": sharded}
    learning = {"checkpointed": checkpointed, "lora_rank": lora_rank}
    held = cost.memory(network, load, "inference", kind, **sharing)
    rows: list[tuple[str, float, Memory]] = [("one pass", cost.forward_flops(network, load) / devices, held)]
    trainings: tuple[tuple[str, Literal["lora", "full"]], ...] = (
        ("LoRA step", "lora"),
        ("full step", "full"),
    )
    for name, use in trainings:
        operations = cost.training_flops(network, load, use, **learning)
        rows.append((name, operations, cost.memory(network, load, use, kind, **sharing, **learning)))
    for name, operations, held in rows:
        parts = (held.weights, held.gradients, held.optimizer, held.activations, held.total)
        table.add_row(name, f"{operations / 1e12:,.4g}", *(f"{part / 1e9:,.3f}" for part in parts))
    console.print(table)
    console.print("Memory in GB. Guidance doubles the passes. Autoencoder and language model come on top.")
