"""From a step's samples to canvases with noise; all randomness depends on each draw alone."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.canvas import MODES, Canvas
from action_images.canvas.layout import STREAMS
from action_images.device import sent
from action_images.diffusion import flow
from action_images.errors import ActionImagesError
from action_images.model.denoiser import Condition, Denoiser
from action_images.pipeline import Pipeline
from action_images.samples.loader import Batch, kind
from action_images.samples.mixture import Draw, Mixture
from action_images.samples.sample import Sample
from action_images.samples.stateless_random import random_bits
from action_images.training.frozen import FrozenCache
from action_images.training.recipe import Recipe


@dataclass(frozen=True)
class Noised:
    """Samples of one layout, in the form in which the denoiser is trained on them."""

    sample: Sample
    """The encoded sample, its video in [-1, 1]."""
    canvas: Canvas
    condition: Condition
    noise: Float[Tensor, "b c l h w"]
    level: Float[Tensor, "b"]
    draws: tuple[Draw, ...]


def layout_kind(sample: Sample, draw: Draw) -> Hashable:
    """The properties that must agree for samples on one canvas: their own kind, and their mode's layout."""
    mode = MODES[_mode_name(draw)]
    return kind(sample, draw), mode.layout(1, 2)


def draw_kind(mixture: Mixture, draw: Draw) -> Hashable:
    """What is known of `layout_kind` before a sample is made."""
    return mixture.first_frame_only(draw), MODES[_mode_name(draw)].layout(1, 2)


def noised_batches(
    pipeline: Pipeline,
    batches: Sequence[Batch],
    recipe: Recipe,
    size: int,
    num_frames: int,
    frozen: FrozenCache | None = None,
) -> Iterator[Noised]:
    """The encoded samples of a step, at most `size` at a time, each with its own noise at its own level.

    `frozen` is a cache of latents, which is filled if they are missing.
    """
    for batch in batches:
        for start in range(0, len(batch.draws), size):
            part = slice(start, start + size)
            pixels = replace(batch.pixels[part], instruction=_told(batch.pixels, part))
            yield _noised(pipeline, pixels.normalised(), batch.draws[part], recipe, num_frames, frozen)


def losses(denoiser: Denoiser, batch: Noised, recipe: Recipe) -> Float[Tensor, "b"]:
    """The loss of each sample, see `flow.loss`; the weight of its noise level is the recipe's."""
    canvas = replace(batch.canvas, latents=flow.noised(batch.canvas, batch.noise, batch.level))
    velocity = denoiser(canvas, batch.level, batch.condition)
    weight = flow.LOSS_WEIGHTS[recipe.loss_weight](batch.level, recipe.shift)
    is_action = batch.canvas.layout.stream_of_frame(velocity.device) == STREAMS.index("action")
    frame_weight = torch.where(is_action, recipe.action_weight, 1.0)
    return flow.loss(velocity, batch.canvas, batch.noise, weight, frame_weight)


def _noised(
    pipeline: Pipeline,
    sample: Sample,
    draws: tuple[Draw, ...],
    recipe: Recipe,
    num_frames: int,
    frozen: FrozenCache | None,
) -> Noised:
    encoder = None if frozen is None else frozen.of_batch(draws)
    modes = [MODES[_mode_name(draw)] for draw in draws]
    canvas, condition = pipeline.encode(sample, modes, num_frames, encoder)
    device = canvas.latents.device
    noise = sent(torch.stack([_noise(canvas.latents[0].shape, draw) for draw in draws]), device)
    uniform = torch.tensor([1 - draw.uniform("noise level") for draw in draws], dtype=torch.float32)
    if recipe.drop_camera and condition.camera is not None:
        shown = sent(torch.tensor([draw.uniform("camera") >= recipe.drop_camera for draw in draws]), device)
        condition = replace(condition, camera=condition.camera * shown.view(-1, 1, 1, 1, 1))
    level = sent(flow.shifted(uniform, recipe.shift), device)
    return Noised(sent(sample, device), canvas, condition, noise, level, draws)


def _noise(shape: torch.Size, draw: Draw) -> Tensor:
    # Always on the CPU, so that the same draw has the same noise on every device.
    generator = torch.Generator().manual_seed(random_bits(draw.seed, draw.index, "noise") >> 1)
    return torch.randn(shape, generator=generator)


def _told(pixels: Sample, part: slice) -> tuple[str | None, ...]:
    instructions = pixels.instruction
    return instructions[part] if isinstance(instructions, tuple) else (instructions,)


def _mode_name(draw: Draw) -> str:
    if draw.mode is None:
        raise ActionImagesError(f"{draw.source}: no mode was drawn; give the source the weights of its modes")
    return draw.mode
