"""Attention of Wan's blocks; what learns in bfloat16 on a processor takes norm and softmax in float32.

torch's fused attention on processors takes about twelve times as long for a gradient in bfloat16 as in
float32 (docs/gpu.md), which is more than all that bfloat16 saves in the rest of a step.
"""

# Type checkers do not see what diffusers' processors take.
# pyright: reportIncompatibleMethodOverride=false

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Attention(WanAttnProcessor):
    """diffusers' attention; if it learns in bfloat16 on a processor, norm and softmax are in float32."""

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The same arguments and result as diffusers' own."""
        lower = hidden_states.dtype is torch.bfloat16 or torch.is_autocast_enabled("cpu")
        if hidden_states.device.type != "cpu" or not torch.is_grad_enabled() or not lower:
            return super().__call__(attn, hidden_states, *args, **kwargs)
        with _LearningInFloat32():
            return super().__call__(attn, hidden_states, *args, **kwargs)


class _LearningInFloat32(TorchFunctionMode):
    """torch's fused attention in float32, with a result in bfloat16 again, and its norms as on cards.

    On cards autocast takes norms in float32; on processors it leaves them to a slower path with a warning.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.rms_norm and kwargs["weight"].dtype is torch.float32:
            return func(*map(_wide, args), **kwargs)
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            wide = {name: _wide(value) for name, value in kwargs.items()}
            return func(*map(_wide, args), **wide).to(torch.bfloat16)


def _wide(value: Any) -> Any:
    """A tensor of floats in float32; anything else as it is."""
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
