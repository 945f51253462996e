"""What a model costs by arithmetic: parameters, tokens, floating-point operations and memory."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from action_images.canvas import Task
from action_images.model.denoiser import ActionImagesTransformer3DModel
from action_images.model.rays import NUM_OCTAVES, POOLED_CHANNELS
from action_images.model.stem import FirstFrameStem

Mode = Literal["inference", "lora", "full"]
BYTES = {torch.float32: 4, torch.bfloat16: 2}
SAVED_BYTES = {torch.float32: (84, 8, 17), torch.bfloat16: (68, 4, 14)}
"""Bytes that a block keeps for its backward pass, for each token and width, token and feed-forward width, word and width:
counted with saved-tensor hooks on this very block (tests/model/test_cost.py counts again)."""


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
    per_frame_levels: bool = False

    def num_tokens(self, patch: tuple[int, int]) -> int:
        """Tokens of one sample."""
        return self.num_frames * (self.height // patch[0]) * (self.width // patch[1])


def load_of(
    task: Task, num_views: int, num_frames: int, size: tuple[int, int], factors: tuple[int, int], num_words: int, batch_size: int = 1
) -> Load:
    """The load of a task on clips of `num_frames` pixel frames; `factors` are the autoencoder's in (time, space)."""
    latent = task.layout(num_views, (num_frames - 1) // factors[0] + 1).num_frames
    return Load(batch_size, latent, size[0] // factors[1], size[1] // factors[1], num_words, num_views)


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
    levels = load.num_frames if load.per_frame_levels else 1
    time = 2 * levels * width * (config["freq_dim"] + 7 * width)
    return load.batch_size * (config["num_layers"] * _block_flops(config, load) + ends + text + time + _additions(config, load, tokens))


def _block_flops(config: dict[str, Any], load: Load) -> int:
    """Operations of one block for one sample."""
    width, ffn, patch = _width(config), config["ffn_dim"], config["patch_size"]
    tokens, words = load.num_tokens((patch[1], patch[2])), load.num_words
    attention = 4 * width * tokens * tokens + 4 * width * tokens * words
    projections = 2 * width * width * (6 * tokens + 2 * words) + 4 * width * ffn * tokens
    if config.get("camera") == "released":
        projections += 2 * width * (width * tokens + POOLED_CHANNELS * load.num_frames)
    return attention + projections


def _additions(config: dict[str, Any], load: Load, tokens: int) -> int:
    """Operations of the parts for training from scratch."""
    width, total = _width(config), 0
    if config.get("camera") == "rays":
        total += 2 * tokens * 128 * (24 * (1 + 2 * NUM_OCTAVES) + width)
    if config.get("stem_channels"):
        channels, side = config["stem_channels"], config["pixels_per_token"]
        pixels = load.height // config["patch_size"][1] * side * load.width // config["patch_size"][2] * side
        total += load.num_views * 2 * 3 * FirstFrameStem.NUM_KERNELS * pixels
        fan_in, num_layers = 3 + FirstFrameStem.NUM_KERNELS, side.bit_length() - 1
        for layer in range(1, num_layers + 1):
            fan_out = width if layer == num_layers else channels
            total += load.num_views * 2 * 9 * fan_in * fan_out * pixels // 4**layer
            fan_in = fan_out
        total += load.num_views * 2 * width * (4 * FirstFrameStem.NUM_KERNELS + 2 * channels * (num_layers - 1))
    return total


def training_flops(config: dict[str, Any], load: Load, mode: Mode, checkpointed: bool) -> int:
    """Operations of one training step: backward costs twice the forward (once where weights are frozen)."""
    operations = forward_flops(config, load) * (3 if mode == "full" else 2)
    if checkpointed:
        # Blocks run again, up to their last matrix: nothing that follows needs its output.
        patch = config["patch_size"]
        last = 2 * load.num_tokens((patch[1], patch[2])) * _width(config) * config["ffn_dim"]
        operations += load.batch_size * config["num_layers"] * (_block_flops(config, load) - last)
    return operations


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
    mode: Mode,
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
    trained = {"inference": 0, "lora": lora_parameters(config, lora_rank), "full": parameters}[mode]
    size, shards = BYTES[dtype], num_devices if sharded else 1
    # Adapters are float32; so are the two moments, and the master copy of what is trained in bfloat16.
    trained_size = 4 if mode == "lora" else size
    adapters = 4 * trained if mode == "lora" else 0
    block = parameters * size // config["num_layers"] if sharded else 0
    state = trained * (8 + (4 if trained_size == 2 else 0))
    return Memory(
        weights=(parameters * size + adapters) // shards + block,
        gradients=trained * trained_size // shards,
        optimizer=state // shards,
        activations=_activations(config, load, mode, dtype, num_devices, checkpointed),
    )


def _activations(config: dict[str, Any], load: Load, mode: Mode, dtype: torch.dtype, num_devices: int, checkpointed: bool) -> int:
    width, ffn, layers = _width(config), config["ffn_dim"], config["num_layers"]
    patch = config["patch_size"]
    tokens = load.batch_size * load.num_tokens((patch[1], patch[2]))
    size = BYTES[dtype]
    if mode == "inference":
        # The residual stream, its float32 copy, queries, keys, values and the wide hidden layer at once.
        return tokens * (width * (5 * size + 8) + ffn * 2 * size) // num_devices
    per_block = saved_by_a_block(tokens, load.batch_size * load.num_words, width, ffn, dtype)
    return per_block + layers * tokens * width * size if checkpointed else layers * per_block


def saved_by_a_block(tokens: int, words: int, width: int, ffn: int, dtype: torch.dtype) -> int:
    """Bytes that one block keeps for its backward pass."""
    per_token, per_hidden, per_word = SAVED_BYTES[dtype]
    return per_token * tokens * width + per_hidden * tokens * ffn + per_word * words * width


def full_config(config: dict[str, Any]) -> dict[str, Any]:
    """A preset's values with the defaults of those it leaves out."""
    with torch.device("meta"):
        whole = dict(ActionImagesTransformer3DModel(**{**config, "num_layers": 1}).config)
    return {name: value for name, value in whole.items() if not name.startswith("_")} | {"num_layers": config.get("num_layers", 30)}


def _width(config: dict[str, Any]) -> int:
    return config["num_attention_heads"] * config["attention_head_dim"]
