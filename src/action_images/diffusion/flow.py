"""Flow matching: noise levels, the straight path from data to noise, and the loss on unknown latents.

A noise level s runs from 0 (data) to 1 (noise): x_s = (1 - s) x + s noise, and the velocity is noise - x.
Source: paper section on training; the shift is that of Esser et al., "Scaling Rectified Flow Transformers",
2024, eq. 23.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.canvas import Canvas
from action_images.errors import ActionImagesError

TRAINING_LEVELS = 1000


def shifted(noise_level: Float[Tensor, "*batch"], shift: float) -> Float[Tensor, "*batch"]:
    """Move noise levels towards 1: s' = shift s / (1 + (shift - 1) s); shift 1 changes nothing."""
    return shift * noise_level / (1 + (shift - 1) * noise_level)


def sampling_levels(num_steps: int, shift: float) -> Float[Tensor, "num_levels"]:
    """The num_steps + 1 noise levels of a sampler, from 1 down to exactly 0."""
    if num_steps < 1:
        raise ActionImagesError(f"sampling needs at least one step, got {num_steps}")
    return shifted(torch.linspace(1, 0, num_steps + 1), shift)


def release_weight(noise_level: Float[Tensor, "*batch"], shift: float) -> Float[Tensor, "*batch"]:
    """The release's weight of a noise level: a bell around 1/2, 0 at 1, mean 1 over its 1000 levels."""
    levels = shifted(torch.linspace(1, 0, TRAINING_LEVELS + 1, dtype=torch.float64)[:-1], shift)
    mean = (_bell(levels) - _bell(levels).min()).mean()
    # Apple's GPUs have no float64.
    exact = noise_level if noise_level.device.type == "mps" else noise_level.double()
    return ((_bell(exact) - _bell(levels).min()) / mean).to(noise_level.dtype)


def velocity_weight(noise_level: Float[Tensor, "*batch"], shift: float) -> Float[Tensor, "*batch"]:  # noqa: ARG001
    """All noise levels have equal weight in the velocity's error."""
    return torch.ones_like(noise_level)


def clean_weight(noise_level: Float[Tensor, "*batch"], shift: float) -> Float[Tensor, "*batch"]:  # noqa: ARG001
    """All noise levels have equal weight in the clean latents' error (the velocity's times the level)."""
    return noise_level.square()


LOSS_WEIGHTS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "velocity": velocity_weight,
    "clean": clean_weight,
    "release": release_weight,
}
"""Name -> the weight of the velocity's squared error at a noise level, given the shift."""


def _bell(noise_level: Tensor) -> Tensor:
    return torch.exp(-2 * (noise_level - 0.5) ** 2)


def interpolate(
    clean: Float[Tensor, "b *rest"], noise: Float[Tensor, "b *rest"], noise_level: Float[Tensor, "b"]
) -> Float[Tensor, "b *rest"]:
    """The point at `noise_level` on the straight path from data to noise."""
    level = noise_level.view(-1, *[1] * (clean.ndim - 1))
    return (1 - level) * clean + level * noise


def noised(
    canvas: Canvas, noise: Float[Tensor, "b c l h w"], noise_level: Float[Tensor, "b"]
) -> Float[Tensor, "b c l h w"]:
    """The canvas's latents at one noise level for each sample; given latents stay clean."""
    return torch.where(canvas.asked, interpolate(canvas.latents, noise, noise_level), canvas.latents)


def loss(
    velocity: Float[Tensor, "b c l h w"],
    canvas: Canvas,
    noise: Float[Tensor, "b c l h w"],
    weight: Float[Tensor, "b"] | None = None,
    frame_weight: Float[Tensor, "l"] | None = None,
) -> Float[Tensor, "b"]:
    """Each sample's mean squared velocity error over unknown, valid latents, times its weight.

    `frame_weight` is the weight of each latent frame in that mean. Raises ValueError if a sample has no such
    latents (on the CPU; on other devices its loss is NaN).
    """
    counted = canvas.counted.expand_as(velocity)
    share = counted if frame_weight is None else counted * frame_weight[:, None, None]
    num_counted = share.flatten(1).sum(1)
    # Checking on another device would wait for it. There such a loss is NaN, and training stops at NaN.
    if num_counted.device.type == "cpu" and (num_counted == 0).any():
        where = (num_counted == 0).nonzero()[0].item()
        raise ActionImagesError(
            f"sample {where} of the batch has no latent frame that is asked and valid; drop it from the data"
        )
    # `where`, not a product: latents that are not counted may hold anything, even infinities.
    error = torch.where(counted, velocity.float() - (noise - canvas.latents), 0.0)
    per_sample = (error.square() * share).flatten(1).sum(1) / num_counted
    return per_sample if weight is None else per_sample * weight
