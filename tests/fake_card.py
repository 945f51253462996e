"""A CUDA card that is not there: its tensors have shapes, dtypes and a device, and no numbers.

What lies on the CPU is real and computed as ever; what lies on `cuda` is fake (torch's FakeTensorMode). So a
test finds tensors left on the wrong side, as any card would, and besides each wait for the card: a value that
Python asks for, a copy back that `device.to_cpu` does not name, and a copy there that waits.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from action_images.device import moves_watched
from action_images.structs import Struct

CUDA = torch.device("cuda", 0)
DEVICE = torch.ops.prim.device.default
"""What torch's C++ asks a fake tensor for its device by."""
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class WaitsError(AssertionError):
    """Something waited for the card without saying why."""


@dataclass
class FakeCard:
    """What happened at the card's door."""

    moves: Counter = field(default_factory=Counter)
    """Name in `device.MOVES` -> how many tensors moved to the CPU by it."""
    waits: Counter = field(default_factory=Counter)
    """What waited besides: blocking copies to the card, and stages that waited for their end."""
    where: Counter = field(default_factory=Counter)
    """Lines of this project's files at which blocking copies were made."""
    answer: Callable[[str, Tensor], Tensor] | None = None
    """What numbers come back from the card; None: zeros, and ones for numbers that stand alone."""

    def forget(self) -> None:
        """Count anew."""
        for counter in (self.moves, self.waits, self.where):
            counter.clear()

    def to_cpu(self, name: str, value: Any) -> Any:
        """The move of a tensor or a Struct: numbers are made up here, as the card has none."""
        if isinstance(value, Struct):
            return value.map(lambda tensor: self.to_cpu(name, tensor) if on_card(tensor) else tensor)
        assert on_card(value), f"{name}: lies on {value.device} already"
        self.moves[name] += 1
        if self.answer is not None:
            return self.answer(name, value)
        with unset_fake_temporarily():
            return torch.full(tuple(value.shape), fill_value=value.ndim == 0, dtype=value.dtype)


def on_card(value: Any) -> bool:
    """Whether a tensor lies on the fake card."""
    return isinstance(value, FakeTensor) and value.device.type == "cuda"


class _Door(TorchDispatchMode):
    """Computes on the CPU what lies there, and looks at all that passes to the card and back."""

    def __init__(self, card: FakeCard) -> None:
        super().__init__()
        self.card = card

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is DEVICE:
            return _meta(args) if on_card(args[0]) else func(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        wanted = kwargs.get("device")
        if wanted is not None and torch.device(wanted).type == "meta":
            kwargs = {**kwargs, "device": CUDA}  # by C++ code for a tensor like one of the card's
            wanted = CUDA
        to_card = wanted is not None and torch.device(wanted).type == "cuda"
        there = [tensor for tensor in tensors if on_card(tensor)]
        if not there and not to_card:
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func is torch.ops.aten._local_scalar_dense.default:
            raise WaitsError("Python asked for a number that lies on the card")
        if func in COPIES:
            self._look_at(func, args, kwargs, to_card=to_card)
        return func(*args, **kwargs)

    def _look_at(self, func: Any, args: Any, kwargs: Any, *, to_card: bool) -> None:
        target, source = (args[0], args[1]) if func is COPIES[1] else (None, args[0])
        arrives = to_card if target is None else on_card(target)
        leaves = on_card(source) and (
            not on_card(target) if target is not None else kwargs.get("device") is not None and not to_card
        )
        if leaves:
            raise WaitsError("a tensor left the card by another way than device.to_cpu")
        waits = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
        if arrives and not on_card(source) and waits:
            self.card.waits["blocking copy to the card"] += 1
            self.card.where[_caller()] += 1


def _caller() -> str:
    """The innermost line of the package that is being run."""
    lines = [frame for frame in traceback.extract_stack() if "/action_images/" in frame.filename]
    return f"{lines[-1].filename.split('/action_images/')[-1]}:{lines[-1].lineno}" if lines else "outside"


def _meta(_: Any) -> torch.device:
    """C++ is told `meta`, for which it has what a build without CUDA lacks: guards, streams, a way back.

    Python's `tensor.device` says cuda all the same.
    """
    return torch.device("meta")


@contextmanager
def fake_card() -> Iterator[FakeCard]:
    """A card for as long as this lasts."""
    card = FakeCard()

    def synchronize(*_: Any) -> None:
        card.waits["end of a stage"] += 1

    with (
        mock.patch("torch.cuda.synchronize", synchronize),
        mock.patch("torch.cuda.amp.common.amp_definitely_not_available", return_value=False),
        mock.patch("torch.cuda.is_bf16_supported", return_value=True),
        mock.patch.dict(fake_tensor._DISPATCH_META_HANDLERS, {DEVICE: _meta}),
        moves_watched(card.to_cpu),
        FakeTensorMode(allow_non_fake_inputs=True),
        _Door(card),
    ):
        yield card
