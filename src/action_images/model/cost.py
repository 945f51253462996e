"""The cost of a network: parameters, operations and bytes, counted in plain Python without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from action_images.canvas.shown import SHOWN, STREAMS, Segment, Shown
from action_images.errors import ActionImagesError
from action_images.model.presets import Preset
from action_images.model.sketches import wan
from action_images.model.sketches.conditions import Given
from action_images.model.sketches.operations import Operations
from action_images.model.sketches.tape import Learning

Use = Literal["inference", "lora", "full"]
Precision = Literal["float32", "bfloat16"]
BYTES: dict[str, int] = {"float32": 4, "bfloat16": 2}
"""Bytes of one number."""
LORA_RANK = 64
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
"""Ends of the names of a block's projections that have adapters by default."""
SKETCHES = {"wan": wan}
"""The families of transformers that can be counted: name of a backbone -> its module of `sketches`."""
SHALLOW = 3
"""A deeper network is counted at this depth and at one block less, as all blocks are alike."""
IN_FLOAT32 = frozenset({"time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"})
"""Parts of names of weights that diffusers always loads in float32."""
ADAM_BYTES, ADAM_8BIT_BYTES = 8.0, 2 + 2 * 4 / 256
"""AdamW's bytes for a parameter: two float32 numbers, or two bytes with a float32 scale for each 256."""


@dataclass(frozen=True)
class Network:
    """A network by its family (a name of `BACKBONES`) and config."""

    backbone: str
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.backbone not in SKETCHES:
            raise ActionImagesError(
                f"transformers of the family '{self.backbone}' are not counted, only {', '.join(SKETCHES)}; "
                "add its operations to model/sketches"
            )

    @classmethod
    def of(cls, preset: Preset) -> "Network":
        """The network of a preset."""
        return cls(preset.backbone, preset.transformer)

    @cached_property
    def whole_config(self) -> dict[str, Any]:
        """The config with its default values filled in."""
        return {**SKETCHES[self.backbone].DEFAULTS, **self.config}

    @property
    def num_layers(self) -> int:
        """The number of blocks."""
        return self.whole_config["num_layers"]

    @property
    def patch(self) -> tuple[int, int]:
        """Latent rows and columns of one token."""
        _, rows, columns = self.whole_config["patch_size"]
        return rows, columns


@dataclass(frozen=True)
class Load:
    """The input of one pass: the canvas of a mode, and the text."""

    mode: Shown
    num_views: int
    num_latents: int
    """Latent frames of a whole video."""
    size: tuple[int, int]
    """Latent rows and columns."""
    num_words: int
    batch_size: int = 1

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments of the canvas."""
        return self.mode.segments(self.num_views, self.num_latents)

    @property
    def num_frames(self) -> int:
        """Latent frames on the canvas."""
        return sum(segment.num_frames for segment in self.segments)

    def num_tokens(self, patch: tuple[int, int]) -> int:
        """The number of tokens of one sample, with one token for each `patch` (rows, columns)."""
        return self.num_frames * (self.size[0] // patch[0]) * (self.size[1] // patch[1])

    def given(self, network: Network, itemsize: int) -> Given:
        """The input of a network's pass, with `itemsize` bytes for each number."""
        later = {}
        for stream in STREAMS:
            parts = [segment for segment in self.segments if segment.stream == stream]
            shown = sum(max(self.mode.num_given(part) - 1, 0) for part in parts)
            if shown:
                later[stream] = (sum(part.num_frames - 1 for part in parts), shown)
        return Given(
            batch=self.batch_size,
            frames=self.num_frames,
            rows=self.size[0] // network.patch[0],
            columns=self.size[1] // network.patch[1],
            levels=self.num_frames if network.whole_config["per_frame_noise_level"] else 1,
            words=self.num_words,
            views=self.num_views,
            itemsize=itemsize,
            later=later,
        )


def load_of(
    mode: Shown,
    num_views: int,
    num_frames: int,
    size: tuple[int, int],
    factors: tuple[int, int],
    num_words: int,
    batch_size: int = 1,
) -> Load:
    """The load of a mode on clips of `num_frames` pixel frames of `size` px.

    `factors` are the autoencoder's factors in (time, space).
    """
    return Load(
        mode=mode,
        num_views=num_views,
        num_latents=(num_frames - 1) // factors[0] + 1,
        size=(size[0] // factors[1], size[1] // factors[1]),
        num_words=num_words,
        batch_size=batch_size,
    )


def count_parameters(network: Network) -> int:
    """The number of parameters of the network."""
    return _counted(network, _LEAST, Learning(), "inference").weights.number


def lora_parameters(network: Network, rank: int, targets: tuple[str, ...] = LORA_TARGETS) -> int:
    """The number of parameters of low-rank adapters on the layers whose names end in one of `targets`."""
    return _counted(network, _LEAST, _learning("lora", rank, targets), "inference").weights.adapters


def forward_flops(network: Network, load: Load) -> int:
    """Floating-point operations (a multiply-add is two) of one pass over the batch."""
    return _counted(network, load, Learning(), "inference").flops


def training_flops(
    network: Network,
    load: Load,
    use: Literal["lora", "full"],
    *,
    checkpointed: bool,
    lora_rank: int = LORA_RANK,
    lora_targets: tuple[str, ...] = LORA_TARGETS,
) -> int:
    """The same for one training step: forward, backward, and with `checkpointed` each block once more."""
    learning = _learning(use, lora_rank, tuple(lora_targets))
    return _counted(network, load, learning, use, checkpointed=checkpointed).flops


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: int
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.weights + self.gradients + self.optimizer + self.activations


def memory(
    network: Network,
    load: Load,
    use: Use,
    dtype: Precision,
    *,
    passes: Precision | None = None,
    num_devices: int = 1,
    sharded: bool = False,
    checkpointed: bool = True,
    averaged: bool = False,
    eight_bit: bool = False,
    lora_rank: int = LORA_RANK,
    lora_targets: tuple[str, ...] = LORA_TARGETS,
) -> Memory:
    """The peak memory of one of `num_devices` devices: the network alone, with AdamW if it is trained.

    - Frozen weights have `dtype`; trained weights and their gradients are float32.
    - `passes` bfloat16: autocast runs passes in it, with a copy of all trained weights. None: they run in
      `dtype`.
    - `averaged`: the running average of trained weights is kept too, and during validation also the weights
      in use.
    - `eight_bit`: AdamW's two numbers take a byte each.
    - `sharded` splits weights, gradients and optimizer state over the devices (FSDP), and each device also
      holds one whole block.
    - In inference the devices share the tokens of one sample; in training each has its own batch.
    - `activations` are all other tensors, at their peak in the pass or step.
    """
    learning = _learning(use, lora_rank, tuple(lora_targets))
    counted = _counted(
        network,
        load,
        learning,
        use,
        BYTES[passes or dtype],
        checkpointed=checkpointed,
        autocast=passes == "bfloat16",
    )
    number, adapters = counted.weights.number, counted.weights.adapters
    learns = {"inference": 0, "lora": adapters, "full": number}[use]
    shards = num_devices if sharded else 1
    kept = number if use == "full" else counted.weights.in_float32
    weights = BYTES["float32"] * kept + BYTES[dtype] * (number - kept)
    one_block = weights // network.num_layers if sharded else 0
    state = (ADAM_8BIT_BYTES if eight_bit else ADAM_BYTES) + 8.0 * averaged
    return Memory(
        weights=(weights + 4 * adapters) // shards + one_block,
        gradients=4 * learns // shards,
        optimizer=int(state * learns) // shards,
        activations=counted.peak // num_devices if use == "inference" else counted.peak,
    )


@dataclass(frozen=True)
class _Weights:
    """The numbers of parameters of a network, of those that diffusers keeps in float32, and of adapters."""

    number: int
    in_float32: int
    adapters: int


@dataclass(frozen=True)
class _Counted:
    """The cost of a pass, with its backward pass if weights are trained."""

    flops: int
    forward_peak: int
    backward_peak: int
    weights: _Weights

    @property
    def peak(self) -> int:
        """The largest number of bytes at any moment, without weights and their gradients."""
        return max(self.forward_peak, self.backward_peak)


_LEAST = Load(SHOWN["joint"], num_views=1, num_latents=1, size=(16, 16), num_words=1)


def _learning(use: Use, rank: int, targets: tuple[str, ...]) -> Learning:
    if use == "lora":
        return Learning(rank=rank, targets=targets)
    return Learning(everything=use == "full")


def _counted(
    network: Network,
    load: Load,
    learning: Learning,
    use: Use,
    itemsize: int = 4,
    *,
    checkpointed: bool = False,
    autocast: bool = False,
) -> _Counted:
    """The cost of a network: for a deep one that of three blocks, plus the third's share for each other."""
    depth = network.num_layers
    how = {"checkpointed": checkpointed, "autocast": autocast}
    if depth <= SHALLOW:
        return _run(network, load, learning, use, itemsize, depth=depth, **how)
    more, fewer = (
        _run(network, load, learning, use, itemsize, depth=number, **how) for number in (SHALLOW, SHALLOW - 1)
    )

    def whole(of_more: int, of_fewer: int) -> int:
        return of_more + (depth - SHALLOW) * (of_more - of_fewer)

    names = ("number", "in_float32", "adapters")
    weights = [whole(getattr(more.weights, name), getattr(fewer.weights, name)) for name in names]
    # Both grow by a block's share, but the depth may change which of them is larger.
    forward_peak = whole(more.forward_peak, fewer.forward_peak)
    backward_peak = whole(more.backward_peak, fewer.backward_peak)
    return _Counted(whole(more.flops, fewer.flops), forward_peak, backward_peak, _Weights(*weights))


def _run(
    network: Network,
    load: Load,
    learning: Learning,
    use: Use,
    itemsize: int,
    *,
    depth: int,
    checkpointed: bool,
    autocast: bool,
) -> _Counted:
    """The cost of a network of `depth` blocks."""
    tape = Operations(learning, record=use != "inference", autocast=autocast)
    config = {**network.whole_config, "num_layers": depth}
    given = load.given(network, itemsize)
    output = SKETCHES[network.backbone].forward(tape, config, given, checkpointed=checkpointed)
    forward_peak, tape.meter.peak = tape.meter.peak, 0
    if use != "inference":
        tape.cast.clear()
        tape.meter.peak = tape.meter.held
        tape.backward(output)
    return _Counted(tape.meter.flops, forward_peak, tape.meter.peak, _weights(tape.parameters))


def _weights(parameters: Mapping[str, int]) -> _Weights:
    adapters = {name: number for name, number in parameters.items() if name.endswith((".lora_A", ".lora_B"))}
    frozen = {name: number for name, number in parameters.items() if name not in adapters}
    kept = [number for name, number in frozen.items() if IN_FLOAT32.intersection(name.split("."))]
    return _Weights(sum(frozen.values()), sum(kept), sum(adapters.values()))
