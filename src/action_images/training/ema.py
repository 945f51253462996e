"""The exponential moving average (EMA) of the weights, which is evaluated and exported."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from action_images.errors import ActionImagesError
from action_images.training.fsdp import put


class EMA:
    """An exponential moving average of all trainable parameters, in float32.

    Without a decay it equals the weights.

    It follows faster in the beginning: after n updates the decay is at most (1 + n) / (10 + n). (diffusers'
    EMAModel supports neither names nor sharded parameters.)
    """

    def __init__(self, network: nn.Module, decay: float | None):
        """`network` is the model itself, not its wrapper for many processes."""
        self.decay, self.num_updates = decay, 0
        self._trained = {
            name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad
        }
        averaged = {} if decay is None else self._trained
        self._shadow = {name: parameter.detach().float().clone() for name, parameter in averaged.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the current weights."""
        if self.decay is None:
            return
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for name, shadow in self._shadow.items():
            shadow.lerp_(self._trained[name].detach().float(), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the averaged weights in the network within this context."""
        kept = {name: self._trained[name].detach().clone() for name in self._shadow}
        self._copy(self._shadow)
        try:
            yield
        finally:
            self._copy(kept)

    def named(self) -> dict[str, Tensor]:
        """The averages by the names of their parameters, and the number of updates."""
        return (
            self._shadow
            if self.decay is None
            else {**self._shadow, "num_updates": torch.tensor(self.num_updates)}
        )

    def load(self, named: Mapping[str, Tensor]) -> None:
        """Restore the result of `named`; raises ValueError if one is missing or has another shape."""
        if self.decay is None:
            return
        missing = sorted({*self._shadow, "num_updates"} - set(named))
        if missing:
            raise ActionImagesError(f"there is no average of {missing[0]} ({len(missing)} are missing)")
        self.num_updates = int(named["num_updates"])
        for name, shadow in self._shadow.items():
            put(shadow, named[name], name)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._trained[name].copy_(value)
