"""What was learnt as models of their own: weights whole, adapters merged into the layers that they adapt."""

import torch
from torch import Tensor

from action_images.model.conditioning.conditioned import Conditioned
from action_images.training.fsdp import whole

ADAPTER = "default"


def whole_transformer(transformer: Conditioned, *, keep: bool = True) -> Conditioned | None:
    """A copy on the CPU that any process can save alone, with adapters merged into their layers.

    Every process takes part, and gets None unless it is to `keep` it.
    """
    state = {}
    for name, value in transformer.state_dict().items():
        gathered = whole(value)
        if keep:
            state[name] = gathered
    if not keep:
        return None
    with torch.device("meta"):
        copy = type(transformer).from_config(transformer.config)
    copy.load_state_dict(_merged(state, _scaling(transformer)), assign=True)
    return copy


def _scaling(transformer: Conditioned) -> dict[str, float]:
    """How much each adapted layer's adapter counts."""
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
        weight = merged[f"{layer}.weight"]
        merged[f"{layer}.weight"] = (weight.float() + scale * (up @ down)).to(weight.dtype)
    return merged
