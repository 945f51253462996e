"""The memory of a whole model on a card, by part, and the cards that it fits."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from action_images.canvas.shown import Shown
from action_images.errors import ActionImagesError
from action_images.model import cost
from action_images.model.presets import Preset
from action_images.model.sketches import frozen

CARDS = (16, 24, 48, 80)
"""GiB of common cards."""
LEFT_FREE = 0.08
"""The share of a card reserved for the driver, kernels, and gaps between tensors."""


@dataclass(frozen=True)
class Setting:
    """The use of a model; `cached`: latents and embeddings come from disk, frozen parts are not loaded."""

    use: cost.Use
    cached: bool = False
    checkpointed: bool = True
    eight_bit: bool = False
    """AdamW's state is in bytes instead of float32; no recipe uses it."""
    offloaded: bool = False
    """Frozen parts and the network are on the card only while each works."""
    averaged: bool = False
    batch_size: int = 1
    dtype: cost.Precision = "float32"
    frozen_dtype: cost.Precision = "float32"
    """The dtype of autoencoder and language model."""
    num_devices: int = 1
    sharded: bool = False
    lora_rank: int = cost.LORA_RANK


@dataclass(frozen=True)
class Clip:
    """The contents of the canvas."""

    mode: Shown
    num_views: int
    num_frames: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Budget:
    """Bytes on one device, by part."""

    network: cost.Memory
    autoencoder: int
    text_encoder: int
    work: int
    """The peak of autoencoder or language model while they work; activations are not held then."""
    offloaded: bool = False

    @property
    def peak(self) -> int:
        """The largest memory at any moment."""
        kept = self.network.total - self.network.activations
        if self.offloaded:
            others = max(self.autoencoder, self.text_encoder) + self.work
            return max(self.network.total, others)
        return kept + self.autoencoder + self.text_encoder + max(self.network.activations, self.work)

    def fits(self, gibibytes: int) -> bool:
        """Whether a card of this size has room."""
        return self.peak <= (1 - LEFT_FREE) * gibibytes * 2**30


def load_of(preset: Preset, clip: Clip, batch_size: int = 1) -> cost.Load:
    """The load of a preset's network."""
    return cost.load_of(
        clip.mode, clip.num_views, clip.num_frames, clip.size, preset.factors, preset.num_words, batch_size
    )


def budget(preset: Preset, clip: Clip, setting: Setting) -> Budget:
    """The memory of a preset in a setting."""
    held = cost.memory(
        cost.Network.of(preset),
        load_of(preset, clip, setting.batch_size),
        setting.use,
        "float32" if setting.use == "full" else setting.dtype,
        passes="bfloat16" if setting.dtype == "bfloat16" and setting.use != "inference" else None,
        num_devices=setting.num_devices,
        sharded=setting.sharded,
        checkpointed=setting.checkpointed,
        averaged=setting.averaged and setting.use != "inference",
        eight_bit=setting.eight_bit,
        lora_rank=setting.lora_rank,
    )
    if setting.cached:
        return Budget(held, 0, 0, 0)
    if preset.autoencoder_kind not in frozen.AUTOENCODERS:
        known = ", ".join(frozen.AUTOENCODERS)
        raise ActionImagesError(
            f"autoencoders of the kind '{preset.autoencoder_kind}' are not counted, only {known}"
        )
    itemsize, clips = cost.BYTES[setting.frozen_dtype], setting.batch_size * clip.num_views
    autoencoder = frozen.autoencoder(preset, clip.num_frames, clip.size, clips, itemsize)
    text = frozen.text_encoder(preset, itemsize)
    works = [autoencoder.encoding, text.encoding]
    if setting.use == "inference":
        works.append(autoencoder.decoding)
    return Budget(held, autoencoder.weights, text.weights, max(works), setting.offloaded)


def fitting(preset: Preset, clip: Clip, setting: Setting) -> dict[int, tuple[str, ...] | None]:
    """Card -> the necessary changes for a setting to fit it; None: nothing helps."""
    found: dict[int, tuple[str, ...] | None] = dict.fromkeys(CARDS)
    for words in _tried(setting):
        left = [card for card in CARDS if found[card] is None]
        if not left:
            break
        held = budget(preset, clip, _changed(setting, words))
        for card in left:
            if held.fits(card):
                found[card] = _needed(preset, clip, setting, words, card)
    return found


def nearest(preset: Preset, clip: Clip, setting: Setting, num_bytes: int) -> tuple[str, ...] | None:
    """The fewest changes with which a setting takes at most `num_bytes`; None: nothing helps."""
    for words in _tried(setting):
        if budget(preset, clip, _changed(setting, words)).peak <= num_bytes:
            return words
    return None


def _needed(
    preset: Preset, clip: Clip, setting: Setting, words: tuple[str, ...], card: int
) -> tuple[str, ...]:
    """The necessary ones of the changes with which a setting fits a card."""
    for word in words[:-1]:
        fewer = tuple(one for one in words if one != word)
        if budget(preset, clip, _changed(setting, fewer)).fits(card):
            words = fewer
    return words


OFFLOAD, EIGHT_BIT = "offload", "8-bit optimizer"
CHANGES: dict[str, dict[str, Any]] = {
    OFFLOAD: {"offloaded": True},
    "caches": {"cached": True},
    "checkpointing": {"checkpointed": True},
    "one sample a pass": {"batch_size": 1},
    EIGHT_BIT: {"eight_bit": True},
    "FSDP over 2": {"sharded": True, "num_devices": 2},
    "FSDP over 4": {"sharded": True, "num_devices": 4},
    "FSDP over 8": {"sharded": True, "num_devices": 8},
}
"""Name of a change that saves memory -> its settings."""
ON_ONE_CARD = ("caches", "checkpointing", "one sample a pass")
"""Changes that the recipes have, in the order of trying."""


def _changed(setting: Setting, words: tuple[str, ...]) -> Setting:
    for word in words:
        setting = replace(setting, **CHANGES[word])
    return setting


def _tried(setting: Setting) -> Iterator[tuple[str, ...]]:
    """Changes that take less and less: recipes' first, then others; several cards if all weights learn."""
    yield ()
    if setting.use == "inference":
        yield (OFFLOAD,)
        return
    words: tuple[str, ...] = ()
    for word in ON_ONE_CARD:
        if _changed(setting, (word,)) != setting:
            words = (*words, word)
            yield words
    yield (*words, EIGHT_BIT)
    if setting.use == "full":
        yield from ((*words, f"FSDP over {number}") for number in (2, 4, 8))
