"""What a network costs: it is run without numbers (torch's meta device), and operations and bytes are
counted."""

# diffusers gives its models attributes that no type checker sees.
# pyright: reportAttributeAccessIssue=false

import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from action_images.canvas import Layout, Mode
from action_images.model.backbones import BACKBONES
from action_images.model.conditioning.conditioned import Conditioned
from action_images.model.presets import Preset

Use = Literal["inference", "lora", "full"]
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
"""Ends of the names of a block's projections that adapters are counted for where nothing else is said."""
SHALLOW = 4
"""Blocks are alike: a network of more is counted at two small depths, and their difference is added for the
rest."""


@dataclass(frozen=True)
class Network:
    """A network by its family (a word of `BACKBONES`) and config."""

    backbone: str
    config: Mapping[str, Any]

    @classmethod
    def of(cls, preset: Preset) -> "Network":
        """A preset's."""
        return cls(preset.backbone, preset.transformer)

    @property
    def num_layers(self) -> int:
        """How many blocks it has."""
        default = inspect.signature(BACKBONES[self.backbone].__init__).parameters["num_layers"].default
        return self.config.get("num_layers", default)

    @property
    def patch(self) -> tuple[int, int]:
        """Latent rows and columns that one token stands for."""
        return self.on_meta(num_layers=1).patch

    def on_meta(self, num_layers: int | None = None) -> Conditioned:
        """The network without memory; `num_layers` in the place of its own."""
        changed = {} if num_layers is None else {"num_layers": num_layers}
        with torch.device("meta"):
            return BACKBONES[self.backbone](**{**self.config, **changed})


@dataclass(frozen=True)
class Load:
    """What one pass is given: the canvas of a mode, and the text."""

    mode: Mode
    num_views: int
    num_latents: int
    """Latent frames of a whole video."""
    size: tuple[int, int]
    """Latent rows and columns."""
    num_words: int
    batch_size: int = 1

    @property
    def layout(self) -> Layout:
        """Of the canvas."""
        return self.mode.layout(self.num_views, self.num_latents)

    @property
    def num_frames(self) -> int:
        """Latent frames on the canvas."""
        return self.layout.num_frames

    def num_tokens(self, patch: tuple[int, int]) -> int:
        """Tokens of one sample, each of which stands for a patch of (rows, columns)."""
        return self.num_frames * (self.size[0] // patch[0]) * (self.size[1] // patch[1])


def load_of(
    mode: Mode,
    num_views: int,
    num_frames: int,
    size: tuple[int, int],
    factors: tuple[int, int],
    num_words: int,
    batch_size: int = 1,
) -> Load:
    """The load of a mode on clips of `num_frames` pixel frames of `size` px.

    `factors` are the autoencoder's in (time, space).
    """
    return Load(
        mode=mode,
        num_views=num_views,
        num_latents=(num_frames - 1) // factors[0] + 1,
        size=(size[0] // factors[1], size[1] // factors[1]),
        num_words=num_words,
        batch_size=batch_size,
    )


def inputs_for(
    network: Conditioned, load: Load, dtype: torch.dtype, device: torch.device | str = "meta"
) -> dict[str, Any]:
    """The arguments of one pass of `network.forward`; tensors of ones, where `device` is not meta."""
    config, layout, batch, frames = network.config, load.layout, load.batch_size, load.num_frames
    rows, columns = load.size[0] // network.patch[0], load.size[1] // network.patch[1]
    pixels = config["pixels_per_token"]
    picture = (3, rows * pixels, columns * pixels)

    def ones(*shape: int) -> Tensor:
        return torch.ones(*shape, dtype=dtype, device=device)

    def later(stream: Literal["video", "action"]) -> Tensor | None:
        is_given = layout.later(load.mode.given(layout), stream)
        shape = (batch, *is_given.shape, config["motion_frames"], *picture)
        return ones(*shape) if stream in network.later_stems and is_given.any() else None

    latents = ones(batch, config["in_channels"], frames, *load.size)
    levels = (batch, frames) if network.per_frame_noise_level else (batch,)
    camera = {
        "released": (2 * config["in_channels"], *load.size),
        "rays": (24, rows, columns),
        None: None,
    }[config["camera"]]
    return {
        "hidden_states": latents,
        "timestep": torch.ones(levels, device=device),
        "encoder_hidden_states": ones(batch, load.num_words, config["text_dim"]),
        "camera": None if camera is None else ones(batch, frames, *camera),
        "first_frames": None if network.stem is None else ones(batch, load.num_views, *picture),
        "layout": layout,
        "later_frames": later("video"),
        "later_actions": later("action"),
        # Which frames are given decides shapes, so it is known on the meta device too.
        "given": load.mode.given(layout).expand(batch, -1),
        "still": torch.zeros_like(latents) if network.still_anchor else None,
    }


def count_parameters(network: Network) -> int:
    """Parameters of the network."""
    return _for_all_layers(network, lambda part: sum(parameter.numel() for parameter in part.parameters()))


def lora_parameters(network: Network, rank: int, targets: Sequence[str] = LORA_TARGETS) -> int:
    """Parameters of low-rank adapters on the layers whose names end in one of `targets`."""

    def count(part: Conditioned) -> int:
        adapted = _made_to_learn(part, "lora", rank, targets)
        return sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)

    return _for_all_layers(network, count)


def forward_flops(network: Network, load: Load) -> int:
    """Floating-point operations (a multiply-add is two) of one pass over the batch, by torch's own
    counter."""
    return _for_all_layers(network, lambda part: _count_flops(part, load, "inference"))


def training_flops(
    network: Network,
    load: Load,
    use: Literal["lora", "full"],
    *,
    checkpointed: bool,
    lora_rank: int = 32,
    lora_targets: Sequence[str] = LORA_TARGETS,
) -> int:
    """The same of one training step: forward, backward, and where `checkpointed` each block once more."""

    def count(part: Conditioned) -> int:
        learning = _made_to_learn(part, use, lora_rank, lora_targets)
        return _count_flops(_made_ready(learning, checkpointed=checkpointed), load, use)

    return _for_all_layers(network, count)


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
    network: Network,
    load: Load,
    use: Use,
    dtype: torch.dtype,
    *,
    num_devices: int = 1,
    sharded: bool = False,
    checkpointed: bool = True,
    lora_rank: int = 32,
    lora_targets: Sequence[str] = LORA_TARGETS,
) -> Memory:
    """What one of `num_devices` devices holds at its peak: of the network alone, with AdamW where it is
    trained.

    `sharded` splits weights, gradients and optimizer state over the devices (FSDP), which then hold one block
    whole besides. In inference devices share the tokens of one sample; in training each has its own batch.
    AdamW keeps two float32 numbers for each trained parameter, and where weights are bfloat16 a float32
    master copy. `activations` are all other tensors, at the moment of the pass or step when they are most.
    """

    def count(part: Conditioned) -> int:
        learning = _made_to_learn(_in_dtype(part, dtype), use, lora_rank, lora_targets)
        return _count_activations(_made_ready(learning, checkpointed=checkpointed), load, use, dtype)

    parameters = count_parameters(network)
    adapters = lora_parameters(network, lora_rank, lora_targets) if use == "lora" else 0
    trained = {"inference": 0, "lora": adapters, "full": parameters}[use]
    # Adapters are float32; so are the two moments, and the master copy of what is trained in bfloat16.
    trained_size = 4 if use == "lora" else dtype.itemsize
    optimizer_size = 8 if trained_size == 4 else 12
    weights, shards = parameters * dtype.itemsize, num_devices if sharded else 1
    one_block = weights // network.num_layers if sharded else 0
    activations = _for_all_layers(network, count, depth=3)
    return Memory(
        weights=(weights + 4 * adapters) // shards + one_block,
        gradients=trained * trained_size // shards,
        optimizer=trained * optimizer_size // shards,
        activations=activations // num_devices if use == "inference" else activations,
    )


def _for_all_layers(network: Network, count: Callable[[Conditioned], int], depth: int = 2) -> int:
    """What is counted on a network; of a deep one, from one of `depth` blocks and one of a block less."""
    if network.num_layers <= SHALLOW:
        return count(network.on_meta())
    more, fewer = (count(network.on_meta(num_layers)) for num_layers in (depth, depth - 1))
    return more + (network.num_layers - depth) * (more - fewer)


def _made_to_learn(
    network: Conditioned, use: Use, lora_rank: int, lora_targets: Sequence[str]
) -> Conditioned:
    """The network with what learns marked: everything, float32 adapters that are added to it, or nothing."""
    network.requires_grad_(use == "full")
    if use == "lora":
        from peft import LoraConfig

        network.add_adapter(LoraConfig(r=lora_rank, target_modules=list(lora_targets)))
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    return network


def _made_ready(network: Conditioned, *, checkpointed: bool) -> Conditioned:
    if checkpointed:
        network.enable_gradient_checkpointing()
    return network


def _in_dtype(network: Conditioned, dtype: torch.dtype) -> Conditioned:
    """The network as it is loaded in a dtype: what diffusers keeps in float32 stays so."""
    kept = set(network._keep_in_fp32_modules or ())
    for name, parameter in network.named_parameters():
        if not kept.intersection(name.split(".")):
            parameter.data = parameter.data.to(dtype)
    return network


def _count_flops(network: Conditioned, load: Load, use: Use) -> int:
    # The counter does not know all fused attention kernels; plain matrix products it does.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        _run(network, inputs_for(network, load, torch.float32), use)
    return counter.get_total_flops()


def _count_activations(network: Conditioned, load: Load, use: Use, dtype: torch.dtype) -> int:
    """The most bytes at once, but for parameters, inputs and gradients of parameters."""
    given = inputs_for(network, load, dtype)
    tensors = [part for part in given.values() if isinstance(part, Tensor)]
    with _fused_attention(), _Held([*network.parameters(), *network.buffers(), *tensors]) as held:
        _run(network, given, use)
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return held.peak_without(gradients)


def _run(network: Conditioned, given: Mapping[str, Any], use: Use) -> None:
    with torch.set_grad_enabled(use != "inference"):
        output = network(**given, return_dict=False)[0]
    if use != "inference":
        output.sum().backward()


@contextmanager
def _fused_attention() -> Iterator[None]:
    """Attention by a kernel that never holds all weights of tokens on tokens, as every device has one.

    On the meta device torch takes plain matrix products. The function itself is exchanged, since modes of
    torch are off where checkpointed blocks run again.
    """
    kernel, before = (
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu,
        F.scaled_dot_product_attention,
    )

    def fused(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: Any) -> Tensor:
        return kernel(query, key, value, attn_mask=attn_mask)[0]

    F.scaled_dot_product_attention = fused
    try:
        yield
    finally:
        F.scaled_dot_product_attention = before


class _Held(TorchDispatchMode):
    """Notes when operations make storages, and when nothing holds these any more."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.number_of = {tensor.untyped_storage()._cdata: -1 for tensor in known}
        self.changes: list[tuple[int, int]] = []
        """(number of the storage, bytes more or less), in their order."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self.number_of:
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        number = len(self.changes)
        self.number_of[storage._cdata] = number
        self.changes.append((number, storage.nbytes()))
        weakref.finalize(storage, self._remove, storage._cdata, number, storage.nbytes())

    def _remove(self, address: int, number: int, nbytes: int) -> None:
        self.number_of.pop(address, None)
        self.changes.append((number, -nbytes))

    def peak_without(self, left_out: Iterable[Tensor]) -> int:
        """The most bytes at once, but for some tensors that are still alive."""
        numbers = {self.number_of.get(tensor.untyped_storage()._cdata) for tensor in left_out}
        counted = (nbytes for number, nbytes in self.changes if number not in numbers)
        return max(accumulate(counted), default=0)
