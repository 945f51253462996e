"""What a model costs by arithmetic: parameters, tokens, floating-point operations and memory."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch

from action_images.canvas import Mode
from action_images.canvas.layout import STREAMS
from action_images.model.backbones.wan import ActionImagesTransformer3DModel
from action_images.model.conditioning.rays import NUM_OCTAVES, POOLED_CHANNELS
from action_images.model.conditioning.stems import FirstFrameStem
from action_images.model.conditioning.text_pooling import AttentionPooling

Use = Literal["inference", "lora", "full"]
BYTES = {torch.float32: 4, torch.bfloat16: 2}
SAVED_BYTES = {torch.float32: (88, 8, 17, 52), torch.bfloat16: (68, 4, 14, 52)}
"""Bytes that a block keeps for its backward pass, for each token and width, token and feed-forward width, word and width, and
for each token whatever the width.

These and the next were counted tensor by tensor on this very block (tests/model/test_cost.py counts again)."""
SAVED_AROUND_BLOCKS = {torch.float32: 12, torch.bfloat16: 10}
"""The same before the first block and after the last one, for each token and width."""
PEAK_BYTES = {torch.float32: (26, 12, 8), torch.bfloat16: (20, 10, 4)}
"""Bytes that a block without a backward pass holds at once besides its input: in attention, for each token and width; in its
feed-forward part, for each token and width, and for each token and feed-forward width."""
NUM_RAY_FEATURES = 24 * (1 + 2 * NUM_OCTAVES)
RAY_HIDDEN = 128


@dataclass(frozen=True)
class Load:
    """What one pass of the transformer is given."""

    batch_size: int
    num_frames: int
    """Latent frames on the canvas."""
    height: int
    """Latent rows."""
    width: int
    """Latent columns."""
    num_words: int
    num_views: int = 2
    num_given: int = 0
    """Latent frames of given videos after their first, all views' of one sample: what a motion stem looks at."""
    num_given_actions: int = 0
    """The same of given actions: what an action stem looks at."""

    def num_tokens(self, patch: tuple[int, int]) -> int:
        """Tokens of one sample."""
        return self.num_frames * (self.height // patch[0]) * (self.width // patch[1])


def load_of(
    mode: Mode,
    num_views: int,
    num_frames: int,
    size: tuple[int, int],
    factors: tuple[int, int],
    num_words: int,
    batch_size: int = 1,
) -> Load:
    """The load of a mode on clips of `num_frames` pixel frames; `factors` are the autoencoder's in (time, space)."""
    layout = mode.layout(num_views, (num_frames - 1) // factors[0] + 1)
    num_given = [int(layout.later(mode.given(layout), stream).sum()) for stream in STREAMS]
    return Load(
        batch_size,
        layout.num_frames,
        size[0] // factors[1],
        size[1] // factors[1],
        num_words,
        num_views,
        *num_given,
    )


def count_parameters(config: dict[str, Any]) -> int:
    """Parameters of the transformer, counted on one that takes no memory."""
    with torch.device("meta"):
        model = ActionImagesTransformer3DModel(**config)
    return sum(parameter.numel() for parameter in model.parameters())


def lora_parameters(config: dict[str, Any], rank: int) -> int:
    """Parameters of low-rank adapters on all of attention's and the feed-forward's projections of every block."""
    width, ffn = _width(config), config["ffn_dim"]
    return config["num_layers"] * rank * (8 * 2 * width + 2 * (width + ffn))


def forward_flops(config: dict[str, Any], load: Load) -> int:
    """Floating-point operations (a multiply-add is two) of one pass over the batch."""
    width, patch, words = _width(config), config["patch_size"], load.num_words
    tokens = load.num_tokens((patch[1], patch[2]))
    pixels = patch[1] * patch[2]
    ends = 2 * tokens * width * pixels * (config["in_channels"] + config["out_channels"])
    text = 2 * words * width * (config["text_dim"] + width)
    levels = load.num_frames if config.get("per_frame_noise_level") else 1
    time = 2 * levels * width * (config["freq_dim"] + 7 * width)
    return load.batch_size * (
        config["num_layers"] * _block_flops(config, load)
        + ends
        + text
        + time
        + _additions(config, load, tokens)
    )


def _block_flops(config: dict[str, Any], load: Load) -> int:
    """Operations of one block for one sample."""
    return (
        _attention_flops(config, load)
        + _token_projection_flops(config, load)
        + _condition_projection_flops(config, load)
    )


def _attention_flops(config: dict[str, Any], load: Load) -> int:
    tokens = load.num_tokens(_patch(config))
    return 4 * _width(config) * tokens * (tokens + load.num_words)


def _token_projection_flops(config: dict[str, Any], load: Load) -> int:
    """Of one block's matrices on tokens."""
    width, camera = _width(config), int(config.get("camera") == "released")
    return 2 * width * load.num_tokens(_patch(config)) * ((6 + camera) * width + 2 * config["ffn_dim"])


def _condition_projection_flops(config: dict[str, Any], load: Load) -> int:
    """Of one block's matrices on words and pooled cameras."""
    width, pooled = (
        _width(config),
        POOLED_CHANNELS * load.num_frames if config.get("camera") == "released" else 0,
    )
    return 2 * width * (2 * width * load.num_words + pooled)


def _additions(config: dict[str, Any], load: Load, tokens: int) -> int:
    """Operations of the parts for training from scratch."""
    width, total = _width(config), 0
    if config.get("camera") == "rays":
        total += 2 * tokens * RAY_HIDDEN * (NUM_RAY_FEATURES + width)
    if config.get("stem_channels"):
        channels, pixels = config["stem_channels"], _pixels(config, load)
        convolutions = _halving_flops(config, 3 + FirstFrameStem.NUM_KERNELS, channels, pixels)
        told = 2 * width * (4 * FirstFrameStem.NUM_KERNELS + 2 * channels * (_num_halvings(config) - 1))
        total += load.num_views * (2 * 3 * FirstFrameStem.NUM_KERNELS * pixels + convolutions + told)
    for channels, num_given in _later_stems(config, load):
        total += num_given * _halving_flops(
            config, 3 * config["motion_frames"], channels, _pixels(config, load)
        )
    if config.get("word_pickers"):
        convolved = AttentionPooling.SPAN * AttentionPooling.CHANNELS * (width + config["word_pickers"])
        total += 2 * load.num_words * (convolved + width * (width + 1))
    return total


def _later_stems(config: dict[str, Any], load: Load) -> list[tuple[int, int]]:
    """Channels of each stem for what is given after the first frame, and at how many latent frames of one sample it looks."""
    stems = (
        (config.get("motion_channels"), load.num_given),
        (config.get("action_channels"), load.num_given_actions),
    )
    return [(channels, num_given) for channels, num_given in stems if channels]


def _num_halvings(config: dict[str, Any]) -> int:
    return config["pixels_per_token"].bit_length() - 1


def _layers_of_an_image(config: dict[str, Any]) -> float:
    """What all hidden layers of a stem hold of one channel, as a part of an image."""
    return sum(0.25**layer for layer in range(1, _num_halvings(config)))


def _halving_flops(config: dict[str, Any], fan_in: int, channels: int, pixels: int) -> int:
    """Operations of a stem's convolutions of one image."""
    fans = [fan_in] + [channels] * (_num_halvings(config) - 1) + [_width(config)]
    return sum(
        2 * 9 * before * after * pixels // 4**layer for layer, (before, after) in enumerate(pairwise(fans), 1)
    )


def training_flops(
    config: dict[str, Any], load: Load, use: Use, checkpointed: bool, lora_rank: int = 32
) -> int:
    """Operations of one training step: backward costs once the forward for inputs, and once for weights where these are trained.

    What no trained weight lies before is left out of it, and attention, which has two inputs to each product, is twice.
    """
    layers, tokens, width = config["num_layers"], load.num_tokens(_patch(config)), _width(config)
    adapters = 0 if use == "full" else _adapter_flops(config, load, lora_rank)
    if use == "full":
        backward = 2 * forward_flops(config, load) // load.batch_size - _input_gradient_flops_of_first_layers(
            config, load
        )
    else:
        output = 2 * tokens * width * _patch(config)[0] * _patch(config)[1] * config["out_channels"]
        # No adapter lies before the first block's queries, keys and values.
        first = 2 * tokens * width * 3 * width
        backward = (
            layers * (2 * _attention_flops(config, load) + _token_projection_flops(config, load))
            + output
            - first
        )
    operations = forward_flops(config, load) + load.batch_size * (backward + 3 * layers * adapters)
    if checkpointed:
        # Blocks run again, up to their last matrix: nothing that follows needs its output. An adapter of it comes after it.
        last = 2 * tokens * width * config["ffn_dim"] if use == "full" else 0
        operations += load.batch_size * layers * (_block_flops(config, load) - last + adapters)
    return operations


def _adapter_flops(config: dict[str, Any], load: Load, rank: int) -> int:
    """Operations of one block's low-rank adapters for one sample, forward."""
    width, tokens = _width(config), load.num_tokens(_patch(config))
    return (
        2
        * rank
        * (6 * 2 * width * tokens + 2 * 2 * width * load.num_words + 2 * (width + config["ffn_dim"]) * tokens)
    )


def _input_gradient_flops_of_first_layers(config: dict[str, Any], load: Load) -> int:
    """What backward does not do for one sample: nobody asks how the loss depends on latents, text, levels and cameras."""
    width, tokens, patch = _width(config), load.num_tokens(_patch(config)), _patch(config)
    levels = load.num_frames if config.get("per_frame_noise_level") else 1
    total = (
        2
        * width
        * (tokens * patch[0] * patch[1] * config["in_channels"] + load.num_words * config["text_dim"])
    )
    total += 2 * width * levels * config["freq_dim"]
    if config.get("camera") == "released":
        total += config["num_layers"] * 2 * width * POOLED_CHANNELS * load.num_frames
    elif config.get("camera") == "rays":
        total += 2 * tokens * RAY_HIDDEN * NUM_RAY_FEATURES
    for channels, num_given in _later_stems(config, load):
        total += num_given * 2 * 9 * 3 * config["motion_frames"] * channels * _pixels(config, load) // 4
    return total


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: int
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.gradients + self.optimizer + self.activations


def memory(
    config: dict[str, Any],
    load: Load,
    use: Use,
    dtype: torch.dtype,
    num_devices: int = 1,
    sharded: bool = False,
    checkpointed: bool = True,
    lora_rank: int = 32,
) -> Memory:
    """What one of `num_devices` devices holds at its peak: of the transformer alone, with AdamW where it is trained.

    `sharded` splits weights, gradients and optimizer state over the devices (FSDP), which then hold one block whole
    besides. In inference devices share the tokens of one sample; in training each has its own batch. AdamW keeps two
    float32 numbers for each trained parameter, and where weights are bfloat16 a float32 master copy.
    """
    parameters = count_parameters(config)
    trained = {"inference": 0, "lora": lora_parameters(config, lora_rank), "full": parameters}[use]
    size, shards = BYTES[dtype], num_devices if sharded else 1
    # Adapters are float32; so are the two moments, and the master copy of what is trained in bfloat16.
    trained_size = 4 if use == "lora" else size
    adapters = 4 * trained if use == "lora" else 0
    block = parameters * size // config["num_layers"] if sharded else 0
    state = trained * (8 + (4 if trained_size == 2 else 0))
    return Memory(
        weights=(parameters * size + adapters) // shards + block,
        gradients=trained * trained_size // shards,
        optimizer=state // shards,
        activations=_activations(config, load, use, dtype, num_devices, checkpointed),
    )


def _activations(
    config: dict[str, Any], load: Load, use: Use, dtype: torch.dtype, num_devices: int, checkpointed: bool
) -> int:
    """Bytes besides weights and optimizer; those of adapters' training are taken to be those of all weights', which are more."""
    tokens, size, layers = (
        load.batch_size * load.num_tokens(_patch(config)),
        BYTES[dtype],
        config["num_layers"],
    )
    residual = tokens * _width(config) * size
    if use == "inference":
        blocks = (residual + peak_of_a_block(config, tokens, dtype)) // num_devices
        return _conditions(config, load, dtype) + max(
            blocks, residual + _peak_of_the_additions(config, load, dtype)
        )
    per_block = saved_by_a_block(config, tokens, load.batch_size * load.num_words, dtype)
    blocks = per_block + layers * residual if checkpointed else layers * per_block
    around = SAVED_AROUND_BLOCKS[dtype] * tokens * _width(config)
    return _conditions(config, load, dtype) + blocks + around + _saved_by_the_additions(config, load, dtype)


def _conditions(config: dict[str, Any], load: Load, dtype: torch.dtype) -> int:
    """Bytes of what all blocks are told: modulation, text, rotations, pooled cameras, and which frame a token belongs to."""
    width, tokens = _width(config), load.num_tokens(_patch(config))
    levels = load.num_frames if config.get("per_frame_noise_level") else 1
    held = 4 * 7 * levels * width + load.num_words * width * BYTES[dtype]
    if config.get("camera") == "released":
        held += load.num_frames * POOLED_CHANNELS * BYTES[dtype]
    return load.batch_size * held + tokens * (2 * 4 * config["attention_head_dim"] + 8)


def _peak_of_the_additions(config: dict[str, Any], load: Load, dtype: torch.dtype) -> int:
    """Bytes at once in the ray encoder or in a stem's first layer, whichever holds more."""
    size, rays, stem, later = BYTES[dtype], 0, 0, 0
    if config.get("camera") == "rays":
        copies = (1 if dtype == torch.float32 else 2) * NUM_RAY_FEATURES + RAY_HIDDEN
        angles = 24 * NUM_OCTAVES
        rays = (
            load.batch_size
            * load.num_tokens(_patch(config))
            * (4 * (NUM_RAY_FEATURES + angles) + size * copies)
        )
    if config.get("stem_channels"):
        seen = 3 + FirstFrameStem.NUM_KERNELS
        per_pixel = max(seen + FirstFrameStem.NUM_KERNELS, seen + 2 * config["stem_channels"] / 4)
        stem = load.batch_size * load.num_views * int(_pixels(config, load) * per_pixel) * size
    for channels, num_given in _later_stems(config, load):
        # Besides the first convolution and its norm the place of what comes out.
        held = _pixels(config, load) * (3 * config["motion_frames"] + 2 * channels / 4)
        tokens = load.num_tokens(_patch(config)) // load.num_frames * _width(config)
        later = max(later, load.batch_size * num_given * (int(held) + tokens) * size)
    return max(rays, stem, later)


def _saved_by_the_additions(config: dict[str, Any], load: Load, dtype: torch.dtype) -> int:
    """Bytes that the ray encoder and the stem keep for their backward pass."""
    size, saved = BYTES[dtype], 0
    if config.get("camera") == "rays":
        saved += (
            load.batch_size * load.num_tokens(_patch(config)) * size * (NUM_RAY_FEATURES + 2 * RAY_HIDDEN)
        )
    if config.get("stem_channels"):
        # Each layer keeps what it was shown, its convolution, its norm and what enters its nonlinearity.
        per_pixel = 3 + FirstFrameStem.NUM_KERNELS + 4 * config["stem_channels"] * _layers_of_an_image(config)
        saved += load.batch_size * load.num_views * int(_pixels(config, load) * per_pixel) * size
    for channels, num_given in _later_stems(config, load):
        per_pixel = 3 * config["motion_frames"] + 3 * channels * _layers_of_an_image(config)
        saved += load.batch_size * num_given * int(_pixels(config, load) * per_pixel) * size
    return saved


def saved_by_a_block(config: dict[str, Any], tokens: int, words: int, dtype: torch.dtype) -> int:
    """Bytes that one block keeps for its backward pass."""
    width, (per_token, per_hidden, per_word, flat) = _width(config), SAVED_BYTES[dtype]
    per_token += BYTES[dtype] if config.get("camera") == "released" else 0
    return tokens * (per_token * width + per_hidden * config["ffn_dim"] + flat) + per_word * words * width


def peak_of_a_block(config: dict[str, Any], tokens: int, dtype: torch.dtype) -> int:
    """Bytes that one block holds at once besides its input where nothing is kept for a backward pass."""
    width, (attention, feed_forward, hidden) = _width(config), PEAK_BYTES[dtype]
    # With a level for each latent frame sums are made beside what enters them: 5 bytes counted bare, 9 where the types of
    # calls are checked as in the tests, which keeps arguments longer. The released camera branch's sum likewise.
    beside = 8 if config.get("per_frame_noise_level") and dtype == torch.float32 else 0
    attention += BYTES[dtype] if config.get("camera") == "released" else 0
    return tokens * (
        max(attention * width, feed_forward * width + hidden * config["ffn_dim"]) + beside * width
    )


def full_config(config: dict[str, Any]) -> dict[str, Any]:
    """A preset's values with the defaults of those it leaves out."""
    with torch.device("meta"):
        whole = dict(ActionImagesTransformer3DModel(**{**config, "num_layers": 1}).config)
    return {name: value for name, value in whole.items() if not name.startswith("_")} | {
        "num_layers": config.get("num_layers", 30)
    }


def _width(config: dict[str, Any]) -> int:
    return config["num_attention_heads"] * config["attention_head_dim"]


def _patch(config: dict[str, Any]) -> tuple[int, int]:
    return config["patch_size"][1], config["patch_size"][2]


def _pixels(config: dict[str, Any], load: Load) -> int:
    """Pixels of one view's first frame."""
    return load.num_tokens(_patch(config)) // load.num_frames * config["pixels_per_token"] ** 2
