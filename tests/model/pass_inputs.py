"""The arguments of one pass of a network."""

from typing import Any, Literal

import torch
from torch import Tensor

from action_images.canvas import Mode
from action_images.model.conditioning.conditioned import Conditioned
from action_images.model.cost import Load


def inputs_for(
    network: Conditioned, load: Load, dtype: torch.dtype, device: torch.device | str = "meta"
) -> dict[str, Any]:
    """The arguments of one pass of `network.forward`; tensors of ones, where `device` is not meta."""
    config, batch, frames = network.config, load.batch_size, load.num_frames
    mode = Mode(**vars(load.mode))
    layout = mode.layout(load.num_views, load.num_latents)
    rows, columns = load.size[0] // network.patch[0], load.size[1] // network.patch[1]
    pixels = config["pixels_per_token"]
    picture = (3, rows * pixels, columns * pixels)

    def ones(*shape: int) -> Tensor:
        return torch.ones(*shape, dtype=dtype, device=device)

    def later(stream: Literal["video", "action"]) -> Tensor | None:
        is_given = layout.later(mode.given(layout), stream)
        shape = (batch, *is_given.shape, config["motion_frames"], *picture)
        return ones(*shape) if stream in network.later_stems and is_given.any() else None

    latents = ones(batch, config["in_channels"], frames, *load.size)
    levels = (batch, frames) if network.per_frame_noise_level else (batch,)
    camera = {
        "released": (2 * config["in_channels"], *load.size),
        "rays": (24, rows, columns),
        None: None,
    }[config["camera"]]
    return {
        "hidden_states": latents,
        "timestep": torch.ones(levels, device=device),
        "encoder_hidden_states": ones(batch, load.num_words, config["text_dim"]),
        "camera": None if camera is None else ones(batch, frames, *camera),
        "first_frames": None if network.stem is None else ones(batch, load.num_views, *picture),
        "layout": layout,
        "later_frames": later("video"),
        "later_actions": later("action"),
        # Which frames are given decides shapes, so it is known on the meta device too.
        "given": mode.given(layout).expand(batch, -1),
        "still": torch.zeros_like(latents) if network.still_anchor else None,
    }
