"""Gather and distribute tensors that may be sharded over several processes (FSDP2's DTensors)."""

from typing import Any

import torch
from torch import Tensor, nn

from action_images.errors import ActionImagesError


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor, on the CPU; every process with a shard takes part."""
    full: Any = getattr(tensor, "full_tensor", None)
    return (tensor if full is None else full()).detach().cpu()


def shared_like(value: Tensor, place: Tensor) -> Tensor:
    """A whole tensor moved to the device of `place`, and sharded like it."""
    value = value.to(place.device)
    mesh: Any = getattr(place, "device_mesh", None)
    if mesh is None:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, mesh, place.placements)  # pyright: ignore


@torch.no_grad()
def put(place: Tensor, value: Tensor, name: str) -> None:
    """Write a whole tensor into one that may be sharded; raises ValueError if their shapes differ."""
    if place.shape != value.shape:
        raise ActionImagesError(f"{name} has shape {tuple(value.shape)}, the run's {tuple(place.shape)}")
    place.copy_(shared_like(value, place))


def forget_whole_weights(module: nn.Module) -> None:
    """Make the next pass gather the weights again.

    A pass without a backward pass keeps some gathered weights, which would be outdated.
    """
    for part in module.modules():
        reshard: Any = getattr(part, "reshard", None)
        if reshard is not None:
            reshard()
