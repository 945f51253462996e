"""How many bytes of tensors a piece of code holds: at its peak, and for its backward pass."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Live(TorchDispatchMode):
    """Counts the storages that operations make for as long as anything holds them."""

    def __init__(self, known: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.sizes = {tensor.untyped_storage()._cdata: 0 for tensor in known}
        self.live = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.sizes:
                storage = tensor.untyped_storage()
                self.sizes[storage._cdata] = storage.nbytes()
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._free, storage._cdata)
        return made

    def _free(self, key: int) -> None:
        self.live -= self.sizes.pop(key)


def peak_bytes(call: Callable[[], Any], known: Iterable[torch.Tensor]) -> int:
    """The most bytes that `call` holds at once besides `known`, keeping nothing for a backward pass."""
    with torch.no_grad(), _Live(list(known)) as live:
        call()
    return live.peak


def saved_bytes(call: Callable[[], Any], known: Iterable[torch.Tensor]) -> int:
    """Bytes that `call` keeps for its backward pass besides `known`."""
    addresses, kept = {tensor.untyped_storage().data_ptr() for tensor in known}, {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if (address := tensor.untyped_storage().data_ptr()) not in addresses:
            kept[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        call()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
