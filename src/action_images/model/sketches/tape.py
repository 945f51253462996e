"""Tensors without numbers: the cost of operations on them is counted in plain Python, without torch.

A network written with these operations is counted as torch runs it: each tensor holds its bytes as long as a
variable, or the backward pass, holds the tensor.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import no_type_check

FLOAT32, BFLOAT16 = 4, 2
"""Bytes of one number."""


# Called thousands of times: with type checks of every call in tests, counting would take minutes.
@no_type_check
class Meter:
    """The bytes held now and at the peak, and the operations on numbers (a multiply-add is two)."""

    def __init__(self) -> None:
        self.held = self.peak = self.flops = 0


@no_type_check
class Storage:
    """The bytes of a tensor, held while this object is referenced."""

    __slots__ = ("meter", "nbytes")

    def __init__(self, meter: Meter, nbytes: int) -> None:
        self.meter, self.nbytes = meter, nbytes
        meter.held += nbytes
        meter.peak = max(meter.peak, meter.held)

    def __del__(self) -> None:
        self.meter.held -= self.nbytes


Backward = Callable[[Storage], Sequence[Storage | None]]
"""From the gradient of an operation's output to those of its inputs."""


@no_type_check
class Node:
    """One operation's part of the backward pass."""

    _numbers = count()

    def __init__(self, backward: Backward | None, parents: Sequence["Node | None"]) -> None:
        self.number, self.backward, self.parents = next(self._numbers), backward, list(parents)

    def __lt__(self, other: "Node") -> bool:
        return self.number > other.number


@no_type_check
@dataclass(eq=False)
class Sketch:
    """A tensor's shape, bytes for each number, storage (None: it existed before), and its node.

    `node` None: no gradient flows to it.
    """

    shape: tuple[int, ...]
    itemsize: int
    storage: Storage | None = None
    node: Node | None = None

    @property
    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size in bytes."""
        return self.numel * self.itemsize


@no_type_check
@dataclass
class Learning:
    """The weights that are trained: all, none, or adapters of a rank on the layers with certain name ends."""

    everything: bool = False
    rank: int = 0
    targets: tuple[str, ...] = ()

    def adapts(self, name: str) -> bool:
        """Whether the layer has adapters."""
        return any(name == target or name.endswith(f".{target}") for target in self.targets)


@no_type_check
@dataclass
class Tape:
    """The memory held while operations run; with `record`, tensors for the backward pass are kept."""

    learning: Learning = field(default_factory=Learning)
    record: bool = False
    meter: Meter = field(default_factory=Meter)
    parameters: dict[str, int] = field(default_factory=dict)
    """Name of each layer that was run -> its number of parameters; adapters have their own names."""
    autocast: bool = False
    """Products are bfloat16 and trained weights float32; casts of the weights are made and kept."""
    cast: dict[str, Storage] = field(default_factory=dict)
    """Layer -> the cast of its weight, until autocast ends."""

    def make(
        self,
        shape: Sequence[int],
        itemsize: int,
        parents: Sequence[Sketch] = (),
        backward: Backward | None = None,
        *,
        learns: bool = False,
    ) -> Sketch:
        """A new tensor; `learns` means that a weight with a gradient takes part."""
        shape = tuple(shape)
        made = Sketch(shape, itemsize, self.storage(math.prod(shape) * itemsize))
        return self.followed(made, parents, backward, learns=learns)

    def storage(self, nbytes: int) -> Storage:
        """Allocate bytes."""
        return Storage(self.meter, nbytes)

    def view(self, seen: Sketch, *shape: int) -> Sketch:
        """The same bytes in another shape; its gradient is a view too."""
        made = Sketch(shape, seen.itemsize, seen.storage)
        return self.followed(made, (seen,), lambda gradient: (gradient,))

    def register(self, name: str, numel: int) -> bool:
        """Count a layer's parameters; returns whether they are trained."""
        self.parameters[name] = numel
        return self.learning.everything

    def copies(self, nbytes: int) -> Backward:
        """The backward pass of an operation whose input's gradient is a new tensor of `nbytes`."""
        return lambda _: (self.storage(nbytes),)

    def itemsize_given(self, itemsize: int) -> int:
        """Bytes of each number in a pass's input, if its products have `itemsize` bytes."""
        return FLOAT32 if self.autocast else itemsize

    def checkpoint(self, run: Callable[..., Sketch], *given: Sketch | None) -> Sketch:
        """The result of `run` with checkpointing: nothing is kept, and it runs again in the backward pass."""
        nodes = [None if one is None else one.node for one in given]
        kept = [None if one is None else Sketch(one.shape, one.itemsize, one.storage) for one in given]
        self.record = False
        made = run(*kept)
        self.record = True

        def backward(gradient: Storage) -> Sequence[Storage | None]:
            found: list[Storage | None] = [None] * len(kept)

            def take(place: int) -> Backward:
                def taken(gradient: Storage) -> Sequence[Storage | None]:
                    found[place] = gradient
                    return ()

                return taken

            inner = [None if one is None else Sketch(one.shape, one.itemsize, one.storage) for one in kept]
            for place, (one, node) in enumerate(zip(inner, nodes, strict=True)):
                if one is not None and node is not None:
                    one.node = Node(take(place), ())
            cast, self.cast = self.cast, {}
            made = run(*inner)
            self.cast = cast
            node = made.node
            del made, inner
            self.follow(node, gradient)
            return found

        learns = self.learning.everything or bool(self.learning.rank)
        made.node = Node(backward, nodes) if learns else None
        return made

    def backward(self, output: Sketch) -> None:
        """Run the backward pass from the last tensor, whose gradient takes no memory."""
        self.follow(output.node, Storage(self.meter, 0))

    def follow(self, node: Node | None, gradient: Storage) -> None:
        """Propagate a gradient from a node to all nodes before it."""
        if node is None:
            return
        gradients, ready = {node: gradient}, [node]
        del gradient
        while ready:
            node = heapq.heappop(ready)
            found = node.backward(gradients.pop(node)) if node.backward else ()
            node.backward = None
            for place, parent in enumerate(node.parents[: len(found)]):
                part = found[place]
                if parent is None or part is None:
                    continue
                if parent in gradients:
                    # A new sum, beside both of its parts.
                    gradients[parent] = self.storage(part.nbytes)
                else:
                    gradients[parent] = part
                    heapq.heappush(ready, parent)
                del part
            del found

    def followed(
        self, made: Sketch, parents: Sequence[Sketch], backward: Backward | None, *, learns: bool = False
    ) -> Sketch:
        nodes = [parent.node for parent in parents]
        if self.record and (learns or any(node is not None for node in nodes)):
            made.node = Node(backward, nodes)
        return made
