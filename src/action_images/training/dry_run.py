"""The cost of a recipe before anything is trained: parameters, memory, operations, data."""

import time
from collections import Counter
from dataclasses import dataclass

import torch

from action_images.canvas.shown import SHOWN
from action_images.model import cost
from action_images.model.budget import Clip, load_of
from action_images.model.bundle import Clips
from action_images.model.presets import Preset
from action_images.samples.mixture import Mixture
from action_images.training.recipe import Recipe

DRAWS = 2000
"""The number of first draws that are counted."""


@dataclass(frozen=True)
class ModeCost:
    """One mode in a pass of one process: share of the samples, tokens of a sample, operations and bytes."""

    share: float
    num_tokens: int
    flops_per_sample: float
    memory: cost.Memory


def costs(
    recipe: Recipe,
    preset: Preset,
    clips: Clips,
    mixture: Mixture,
    num_processes: int = 1,
    *,
    sharded: bool = False,
) -> dict[str, ModeCost]:
    """Mode -> its cost, as `action-images describe` counts it."""
    network = cost.Network.of(preset)
    passed = 1 if sharded else min(recipe.micro_batch_size, max(1, recipe.batch_size // num_processes))
    learning = {
        "checkpointed": recipe.gradient_checkpointing,
        "lora_rank": recipe.lora.rank,
        "lora_targets": recipe.lora.targets,
    }
    counts = drawn_modes(mixture)
    rows = {}
    for mode, count in counts.items():
        clip = Clip(SHOWN[mode], recipe.num_views, clips.num_frames, clips.size)
        one, many = load_of(preset, clip), load_of(preset, clip, passed)
        held = cost.memory(
            network,
            many,
            recipe.trainable,
            recipe.transformer_dtype,
            passes="bfloat16" if recipe.mixed_precision == "bf16" else None,
            num_devices=num_processes,
            sharded=sharded,
            averaged=recipe.ema_decay is not None,
            **learning,
        )
        flops = cost.training_flops(network, one, recipe.trainable, **learning)
        rows[mode] = ModeCost(count / sum(counts.values()), one.num_tokens(network.patch), flops, held)
    return rows


def drawn_modes(mixture: Mixture) -> Counter[str]:
    """The number of first draws of each mode."""
    return Counter(str(mixture[index].mode) for index in range(DRAWS))


def drawn_sources(mixture: Mixture) -> Counter[str]:
    """The number of first draws of each source."""
    return Counter(mixture[index].source for index in range(DRAWS))


def flops_per_second(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """The speed of a large matrix product on a device, which is an upper bound for a training step."""
    size = 1024 if device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    (left @ right).sum().item()
    start, number = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        (left @ right).sum().item()
        number += 1
    return number * 2 * size**3 / (time.perf_counter() - start)
