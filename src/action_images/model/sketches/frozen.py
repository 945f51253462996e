"""The memory of a preset's frozen parts: its autoencoder and its language model."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from action_images.model.presets import Preset
from action_images.model.sketches.tape import FLOAT32
from action_images.model.sketches.wan_autoencoder import WanAutoencoder

UMT5_XXL = {
    "vocabulary": 256_384,
    "width": 4096,
    "inner": 10_240,
    "layers": 24,
    "heads": 64,
    "head_width": 64,
}
"""Sizes of the language model of Wan's training."""
UMT5_BUCKETS = 32
"""The number of distances between words for which each layer has a bias."""


@dataclass(frozen=True)
class Frozen:
    """Bytes of the weights, and the peak of other memory while they encode or decode."""

    weights: int = 0
    encoding: int = 0
    decoding: int = 0


def autoencoder(
    preset: Preset, num_frames: int, size: tuple[int, int], num_clips: int, itemsize: int
) -> Frozen:
    """The memory of a preset's autoencoder (of a kind in `AUTOENCODERS`); `size` is (height, width) in px."""
    return AUTOENCODERS[preset.autoencoder_kind](preset, num_frames, size, num_clips, itemsize)


def _wan(preset: Preset, num_frames: int, size: tuple[int, int], num_clips: int, itemsize: int) -> Frozen:
    """Clips are encoded in sequence, but cast together."""
    time, space = preset.factors
    config = tuple(sorted((name, _hashable(value)) for name, value in preset.autoencoder.items()))
    latent_size = (size[0] // space, size[1] // space)
    one = _one_clip(config, itemsize, (num_frames, size), ((num_frames - 1) // time + 1, latent_size))
    others = (num_clips - 1) * 3 * num_frames * size[0] * size[1]
    return Frozen(
        weights=one.weights,
        encoding=one.encoding + others * (itemsize if itemsize != FLOAT32 else 0),
        decoding=one.decoding + others * itemsize,
    )


@cache
def _one_clip(
    config: tuple[tuple[str, Any], ...],
    itemsize: int,
    video: tuple[int, tuple[int, int]],
    latents: tuple[int, tuple[int, int]],
) -> Frozen:
    """The memory of one clip; `video` and `latents` are each a number of frames and their size."""
    encoding, decoding, whole = (WanAutoencoder(dict(config), itemsize) for _ in range(3))
    encoding.encode(*video)
    decoding.decode(*latents)
    return Frozen(whole.num_parameters() * itemsize, encoding.tape.meter.peak, decoding.tape.meter.peak)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _pca(preset: Preset, num_frames: int, size: tuple[int, int], num_clips: int, itemsize: int) -> Frozen:
    """All clips together, always in float32: patches, their latents, and the weights."""
    del itemsize
    time, space = preset.factors
    channels, patch = preset.autoencoder.get("channels", 64), 3 * space**2
    frame = num_clips * 3 * size[0] * size[1]
    latents = num_clips * channels * size[0] * size[1] // space**2
    num_latents = (num_frames - 1) // time + 1
    # While the frames after the first are encoded; then while both latents are concatenated.
    beside = max(channels * (patch * time + 1), latents * num_latents)
    return Frozen(
        weights=FLOAT32 * (patch * (1 + time) * (channels + 1) + 2),
        encoding=FLOAT32 * (frame * num_frames + latents * num_latents + beside),
        decoding=FLOAT32 * frame * 3 * num_frames,
    )


AUTOENCODERS = {"wan": _wan, "pca": _pca}
"""Name of an autoencoder -> the function that counts it."""


def umt5_parameters() -> int:
    """The number of parameters of UMT5-XXL's encoder."""
    sizes = UMT5_XXL
    width, attended = sizes["width"], sizes["heads"] * sizes["head_width"]
    products = 4 * width * attended + 3 * width * sizes["inner"]
    layer = products + UMT5_BUCKETS * sizes["heads"] + 2 * width
    return sizes["vocabulary"] * width + sizes["layers"] * layer + width


def text_encoder(preset: Preset, itemsize: int) -> Frozen:
    """The memory of the text encoder: hashed words have no weights; a language model is UMT5-XXL."""
    if preset.hashed_words is not None:
        return Frozen()
    num_tokens, heads = preset.num_words, UMT5_XXL["heads"]
    # Attention weights: the biases, the products, and their softmax in float32, input and output.
    scores = math.prod((heads, num_tokens, num_tokens))
    return Frozen(weights=umt5_parameters() * itemsize, encoding=scores * (2 * itemsize + 2 * FLOAT32))
