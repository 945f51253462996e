"""Export of trained weights: as whole models with adapters merged, and as separate adapters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from action_images.files.atomic import write_json
from action_images.model.conditioning.conditioned import Conditioned
from action_images.training.fsdp import whole
from action_images.training.optimizer import lora_config
from action_images.training.recipe import LoraRecipe

ADAPTER = "default"
ADAPTERS = "adapter"
"""The adapters' folder in a folder of models."""
PREFIX = "base_model.model."
"""Peft's prefix of each layer's name."""


def whole_transformer(transformer: Conditioned, *, keep: bool = True) -> Conditioned | None:
    """A copy on the CPU that any process can save alone, with adapters merged into their layers.

    Adapted layers are always float32, as bfloat16 would round small changes away. Every process takes part,
    and gets None unless `keep`.
    """
    state = {}
    for name, value in transformer.state_dict().items():
        gathered = whole(value)
        if keep:
            state[name] = gathered
    if not keep:
        return None
    with torch.device("meta"):
        # diffusers' classes have these attributes.
        kind: Any = type(transformer)
        copy = kind.from_config(transformer.config)
    copy.load_state_dict(_merged(state, _scaling(transformer)), assign=True)
    return copy


def _scaling(transformer: Conditioned) -> dict[str, float]:
    """The scale of each adapted layer's adapter."""
    return {
        name: module.scaling[ADAPTER]
        for name, module in transformer.named_modules()
        if hasattr(module, "lora_A")
    }


def _merged(state: dict[str, Tensor], scaling: dict[str, float]) -> dict[str, Tensor]:
    merged = {
        name.replace(".base_layer.", "."): value for name, value in state.items() if ".lora_" not in name
    }
    for layer, scale in scaling.items():
        down, up = (state[f"{layer}.lora_{which}.{ADAPTER}.weight"].float() for which in "AB")
        merged[f"{layer}.weight"] = merged[f"{layer}.weight"].float() + scale * (up @ down)
    return merged


def whole_adapters(transformer: Conditioned, *, keep: bool = True) -> dict[str, Tensor] | None:
    """The adapters' matrices by peft's names in files; empty if there are none.

    Every process takes part, and gets None unless `keep`.
    """
    named = {name: value for name, value in transformer.state_dict().items() if ".lora_" in name}
    adapters = {}
    for name, value in named.items():
        gathered = whole(value)
        if keep:
            adapters[PREFIX + name.replace(f".{ADAPTER}.", ".")] = gathered.contiguous()
    return adapters if keep else None


def save_adapters(folder: Path, adapters: Mapping[str, Tensor], recipe: LoraRecipe) -> None:
    """Write adapters as peft does, with the metadata for diffusers' `load_lora_adapter`."""
    folder.mkdir()
    config = _plain(lora_config(recipe).to_dict())
    # diffusers reads the configuration here, with the prefix of the names.
    told = {f"{PREFIX}{name}": config[name] for name in ("r", "lora_alpha", "target_modules")}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(told)}
    save_file(dict(adapters), folder / "adapter_model.safetensors", metadata=metadata)
    write_json(folder / "adapter_config.json", config)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration as JSON types; peft keeps the layers' names in a set."""
    return {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
