"""The running average of the weights, which is what is judged and shipped."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of all trainable parameters, in float32; without a decay it is the weights themselves.

    It follows faster in the beginning: after n updates the decay is at most (1 + n) / (10 + n).
    """

    def __init__(self, module: nn.Module, decay: float | None):
        self.decay, self.num_updates = decay, 0
        trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        self._names = [name for name, _ in trained]
        self._shadow = [] if decay is None else [parameter.detach().float().clone() for _, parameter in trained]

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the weights of now."""
        if self.decay is None:
            return
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for shadow, parameter in zip(self._shadow, _trained(module), strict=True):
            shadow.lerp_(parameter.detach().float(), 1 - decay)

    @contextmanager
    def in_place_of(self, module: nn.Module) -> Iterator[None]:
        """The averaged weights in the module for as long as this lasts."""
        if self.decay is None:
            yield
            return
        kept = [parameter.detach().clone() for parameter in _trained(module)]
        self._put(module, self._shadow)
        try:
            yield
        finally:
            self._put(module, kept)

    def named(self) -> dict[str, Tensor]:
        """The averages by the names of their parameters, and how many updates made them."""
        if self.decay is None:
            return {}
        return {**dict(zip(self._names, self._shadow, strict=True)), "num_updates": torch.tensor(self.num_updates)}

    @torch.no_grad()
    def load(self, named: Mapping[str, Tensor]) -> None:
        """Go on from what `named` gave."""
        if self.decay is None:
            return
        self.num_updates = int(named["num_updates"])
        for name, shadow in zip(self._names, self._shadow, strict=True):
            _copy(shadow, named[name])

    @torch.no_grad()
    def _put(self, module: nn.Module, values: list[Tensor]) -> None:
        for parameter, value in zip(_trained(module), values, strict=True):
            parameter.copy_(value)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _copy(place: Tensor, whole: Tensor) -> None:
    """Into a tensor that may be sharded over processes."""
    mesh = getattr(place, "device_mesh", None)
    if mesh is None:
        place.copy_(whole)
    else:
        from torch.distributed.tensor import distribute_tensor

        place.copy_(distribute_tensor(whole.to(place.device), mesh, place.placements))  # pyright: ignore
