"""What a recipe will take, before anything is trained: parameters, memory, operations, data."""

import time
from collections import Counter
from dataclasses import dataclass, replace

import torch

from action_images.canvas import MODES
from action_images.model import cost
from action_images.model.bundle import Clips
from action_images.model.presets import Preset, build_autoencoder
from action_images.samples.mixture import Mixture
from action_images.training.recipe import Recipe

DRAWS = 2000
"""How many of the first draws are counted."""


@dataclass(frozen=True)
class ModeCost:
    """One mode in one pass of a process: its share of the samples, tokens of a sample, operations and
    bytes."""

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
    """Mode -> what it takes, as `action-images describe` counts it."""
    network = cost.Network.of(preset)
    with torch.device("meta"):
        autoencoder = build_autoencoder(preset)
    factors = (autoencoder.temporal_factor, autoencoder.spatial_factor)
    num_words = 512 if preset.hashed_words is None else 24
    passed = 1 if sharded else min(recipe.micro_batch_size, max(1, recipe.batch_size // num_processes))
    kind, use = getattr(torch, recipe.transformer_dtype), recipe.trainable
    checkpointed, rank, targets = recipe.gradient_checkpointing, recipe.lora.rank, recipe.lora.targets
    how = {
        "num_devices": num_processes,
        "sharded": sharded,
        "checkpointed": checkpointed,
        "lora_rank": rank,
        "lora_targets": targets,
    }
    counts = drawn_modes(mixture)
    rows = {}
    for mode, count in counts.items():
        one = cost.load_of(MODES[mode], recipe.num_views, clips.num_frames, clips.size, factors, num_words)
        many = cost.load_of(
            MODES[mode], recipe.num_views, clips.num_frames, clips.size, factors, num_words, passed
        )
        held = cost.memory(network, many, use, kind, **how)
        if recipe.mixed_precision == "bf16":
            passing = cost.memory(network, many, use, torch.bfloat16, **how)
            held = replace(held, activations=passing.activations)
        if recipe.ema_decay is not None:
            learning = (
                cost.count_parameters(network)
                if use == "full"
                else cost.lora_parameters(network, rank, targets)
            )
            # The average is float32; for as long as it is judged or exported the weights in use lie beside
            # it.
            held = replace(
                held, optimizer=held.optimizer + 2 * 4 * learning // (num_processes if sharded else 1)
            )
        tokens = one.num_tokens(network.patch)
        rows[mode] = ModeCost(
            count / sum(counts.values()),
            tokens,
            cost.training_flops(
                network, one, use, checkpointed=checkpointed, lora_rank=rank, lora_targets=targets
            ),
            held,
        )
    return rows


def drawn_modes(mixture: Mixture) -> Counter[str]:
    """How often each mode comes among the first draws."""
    return Counter(str(mixture[index].mode) for index in range(DRAWS))


def drawn_sources(mixture: Mixture) -> Counter[str]:
    """How often each source comes among the first draws."""
    return Counter(mixture[index].source for index in range(DRAWS))


def flops_per_second(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """What a large product of matrices reaches on a device: a bound that a training step stays below."""
    size = 1024 if device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    (left @ right).sum().item()
    start, number = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        (left @ right).sum().item()
        number += 1
    return number * 2 * size**3 / (time.perf_counter() - start)
