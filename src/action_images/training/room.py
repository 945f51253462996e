"""Check whether a recipe fits its card before anything is loaded."""

import torch

from action_images.canvas.shown import SHOWN
from action_images.errors import ActionImagesError
from action_images.model.budget import Clip, Setting, budget, nearest
from action_images.model.bundle import Clips
from action_images.model.presets import preset_named
from action_images.model.room import memory_of
from action_images.training.recipe import Recipe

CURES = {
    "caches": "--latents FOLDER --no-fill-latents",
    "checkpointing": "--gradient-checkpointing",
    "one sample a pass": "--micro-batch-size 1",
}
"""Change in `model.budget` -> its option of `train`."""


def check_room(
    recipe: Recipe, clips: Clips, device: torch.device, num_processes: int = 1, *, sharded: bool = False
) -> None:
    """Raise ActionImagesError, with options that need less, if a recipe needs more memory than a card has.

    The whole card counts, without the reserve for other needs (`budget.LEFT_FREE`), so a run may still fail.
    """
    available = memory_of(device)
    if available is None or recipe.learns != "action-images":
        return
    preset = preset_named(recipe.preset)
    passed = 1 if sharded else min(recipe.micro_batch_size, max(1, recipe.batch_size // num_processes))
    setting = Setting(
        use=recipe.trainable,
        cached=recipe.latents is not None and not recipe.fill_latents,
        checkpointed=recipe.gradient_checkpointing,
        averaged=recipe.ema_decay is not None,
        batch_size=passed,
        dtype="bfloat16" if recipe.mixed_precision == "bf16" else recipe.transformer_dtype,
        frozen_dtype=recipe.autoencoder_dtype,
        num_devices=num_processes,
        sharded=sharded,
        lora_rank=recipe.lora.rank,
    )
    modes: set[str] = set()
    for source in recipe.sources:
        modes |= {name for name, weight in source.modes.items() if weight > 0 and name in SHOWN}
    shown = [Clip(SHOWN[name], recipe.num_views, clips.num_frames, clips.size) for name in sorted(modes)]
    if not shown:
        return
    largest = max(shown, key=lambda clip: budget(preset, clip, setting).peak)
    needed = budget(preset, largest, setting).peak
    if needed <= available:
        return
    words = nearest(preset, largest, setting, available)
    raise ActionImagesError(
        f"{recipe.preset}: training takes {needed / 1e9:.1f} GB, {device} has {available / 1e9:.1f}; "
        f"{_cure(words)}"
    )


def _cure(words: tuple[str, ...] | None) -> str:
    known = [f"{word} ({CURES[word]})" for word in words or () if word in CURES]
    others = [word for word in words or () if word not in CURES]
    if words is None or any("FSDP" not in word for word in others):
        return "no setting of a recipe makes it fit: take a smaller preset, or adapters (a recipe's -lora)"
    return f"it fits with {' + '.join(known + others)}"
