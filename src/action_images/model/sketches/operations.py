"""Operations on sketches; each holds memory, and keeps it for the backward pass, as torch does."""

import math
from collections.abc import Sequence
from typing import no_type_check

from action_images.model.sketches.tape import BFLOAT16, FLOAT32, Sketch, Storage, Tape


# Called thousands of times: with type checks of every call in tests, counting would take minutes.
@no_type_check
class Operations(Tape):
    """A tape with the operations of video transformers."""

    def linear(self, seen: Sketch, width: int, name: str, *, bias: bool = True) -> Sketch:
        """A product with a weight, and with adapters if the layer has them."""
        base = self._product(seen, width, name, bias=bias)
        if not self.learning.adapts(name):
            return base
        wide = self.to(seen, FLOAT32)  # to the precision of the adapters; autocast may cast it again
        narrow = self._product(wide, self.learning.rank, f"{name}.lora_A", bias=False, adapter=True)
        del wide
        added = self._product(narrow, width, f"{name}.lora_B", bias=False, adapter=True)
        added = self.unary(added, saves=False)
        return self.to(self.add(base, added), base.itemsize)

    def _product(self, seen: Sketch, width: int, name: str, *, bias: bool, adapter: bool = False) -> Sketch:
        rows, fan_in = seen.numel // seen.shape[-1], seen.shape[-1]
        number = fan_in * width + width * bias
        learns = self.register(name, number) or adapter
        seen, copy = self._cast(seen, name, number, learns=learns)
        flops = 2 * rows * fan_in * width
        self.meter.flops += flops
        follows = seen.node is not None
        kept = (seen.storage if learns else None, copy if follows else None)
        nbytes = seen.nbytes

        def backward(_gradient: Storage) -> Sequence[Storage | None]:
            self.meter.flops += flops * (follows + learns)
            _ = kept
            return (self.storage(nbytes) if follows else None,)

        return self.make((*seen.shape[:-1], width), seen.itemsize, (seen,), backward, learns=learns)

    def _cast(self, seen: Sketch, name: str, number: int, *, learns: bool) -> tuple[Sketch, Storage | None]:
        """The input of a layer as cast by autocast, and autocast's copy of the layer's weights."""
        if not self.autocast:
            return seen, None
        if learns and name not in self.cast:
            self.cast[name] = self.storage(number * BFLOAT16)
        return self.to(seen, BFLOAT16), self.cast.get(name)

    def to(self, seen: Sketch, itemsize: int) -> Sketch:
        """The same numbers in another precision."""
        if seen.itemsize == itemsize:
            return seen
        return self.unary(seen, saves=False, itemsize=itemsize)

    def unary(
        self, seen: Sketch, *, saves: bool = True, itemsize: int | None = None, shape: Sequence[int] = ()
    ) -> Sketch:
        """A function of each number, such as an activation or a copy; its gradient is a new tensor."""
        kept = seen.storage if saves else None
        nbytes = seen.nbytes

        def backward(_gradient: Storage) -> Sequence[Storage | None]:
            _ = kept
            return (self.storage(nbytes),)

        return self.make(shape or seen.shape, itemsize or seen.itemsize, (seen,), backward)

    def add(self, left: Sketch, right: Sketch) -> Sketch:
        """A sum with broadcasting. Gradients are the sum's own."""
        large, small = (left, right) if left.numel >= right.numel else (right, left)
        same, nbytes = small.numel == large.numel, small.nbytes

        def backward(gradient: Storage) -> Sequence[Storage | None]:
            return (gradient, gradient if same else self.storage(nbytes))

        return self.make(large.shape, max(left.itemsize, right.itemsize), (large, small), backward)

    def scale(self, seen: Sketch, factor: Sketch, *, learns: bool = False) -> Sketch:
        """A product with a factor of equal or smaller size; `learns`: the factor is a trained weight."""
        to_factor = learns or (self.record and factor.node is not None)
        kept = (seen.storage if to_factor else None, factor.storage if seen.node else None)
        follows, nbytes, small = seen.node is not None, seen.nbytes, factor.nbytes

        def backward(_gradient: Storage) -> Sequence[Storage | None]:
            _ = kept
            mine = self.storage(nbytes) if follows else None
            # The factor's gradient is as large as the product before it is summed.
            other = self.storage(nbytes) if to_factor else None
            if other is not None and small < nbytes:
                other = self.storage(small)
            return (mine, other)

        return self.make(seen.shape, seen.itemsize, (seen, factor), backward, learns=learns)

    def fused(self, base: Sketch, seen: Sketch, factor: Sketch) -> Sketch:
        """base + seen * factor in one operation (`torch.addcmul`); the factor is small, the base may be."""
        kept = (
            seen.storage if factor.node else None,
            factor.storage if seen.node else None,
        )
        parts = (base, seen, factor)
        sizes, follows = [part.nbytes for part in parts], [part.node is not None for part in parts]
        whole, once = seen.numel * max(base.itemsize, seen.itemsize), seen.nbytes
        same = base.numel == seen.numel

        def backward(gradient: Storage) -> Sequence[Storage | None]:
            _ = kept
            found = [gradient if follows[0] else None, self.storage(whole) if follows[1] else None, None]
            if follows[2]:
                scaled = self.storage(once)
                found[2] = self.storage(whole)
                del scaled
            if not same and follows[0]:
                found[0] = self.storage(sizes[0])
            if found[2] is not None:
                found[2] = self.storage(sizes[2])
            return found

        return self.make(seen.shape, max(base.itemsize, factor.itemsize), parts, backward)

    def layer_norm(self, seen: Sketch, name: str | None) -> Sketch:
        """Layer norm over the last axis, in float32; with weights if it has a name."""
        width = seen.shape[-1]
        learns = self.register(name, 2 * width) if name else False
        rows, nbytes = seen.numel // width, seen.nbytes
        statistics = [self.storage(rows * FLOAT32) for _ in range(2)]
        kept = (seen.storage, statistics) if seen.node or learns else None

        def backward(_gradient: Storage) -> Sequence[Storage | None]:
            _ = kept
            return (self.storage(nbytes),)

        return self.make(seen.shape, seen.itemsize, (seen,), backward, learns=learns)

    def rms_norm(self, seen: Sketch, name: str) -> Sketch:
        """RMS norm over the last axis, with a weight; its parts are separate operations on most devices."""
        learns = self.register(name, seen.shape[-1])
        wide = self.to(seen, FLOAT32)
        rows = (*seen.shape[:-1], 1)
        squares = self.unary(wide)
        roots = self.make(rows, FLOAT32, (squares,), self.copies(squares.nbytes))
        del squares
        normed = self.scale(wide, roots)
        weight = Sketch((seen.shape[-1],), seen.itemsize)
        weighted = self.scale(normed, weight, learns=learns)
        del wide, roots, normed
        return self.to(weighted, seen.itemsize)

    def rotated(self, seen: Sketch) -> Sketch:
        """Rotary embedding: pairs of numbers rotated by the angles of their positions."""
        half = seen.numel // 2 * FLOAT32
        part = seen.numel // 2 * seen.itemsize
        made = self.storage(seen.nbytes)
        for _ in range(2):
            products = [self.storage(half) for _ in range(2)]
            products.append(self.storage(half))
            del products

        def backward(gradient: Storage) -> Sequence[Storage | None]:
            second = self.storage(gradient.nbytes)
            copied = [self.storage(part), self.storage(half) if half != part else None]
            ends = [self.storage(half), self.storage(half)]
            del copied
            first = self.storage(gradient.nbytes)
            copied = [self.storage(part), self.storage(half)]
            del second
            del copied
            stacked = self.storage(gradient.nbytes)
            del ends, first
            return (stacked,)

        return self.followed(Sketch(seen.shape, seen.itemsize, made), (seen,), backward)

    def attention(self, query: Sketch, key: Sketch, value: Sketch, heads: int) -> Sketch:
        """Softmax attention by a fused kernel, which keeps one float32 number for each query and head."""
        batch, tokens, width = query.shape
        product = 2 * batch * tokens * key.shape[1] * width
        self.meter.flops += 2 * product
        parts = (query, key, value)
        follows = [part.node is not None for part in parts]
        made = self.storage(query.nbytes)
        sums = self.storage(batch * tokens * heads * FLOAT32)
        kept, sizes = (*(part.storage for part in parts), made, sums), [part.nbytes for part in parts]
        products = follows[0] + follows[1] + follows[2] + (follows[0] or follows[1])

        def backward(_gradient: Storage) -> Sequence[Storage | None]:
            _ = kept
            self.meter.flops += products * product
            return [self.storage(nbytes) for nbytes in sizes]

        return self.followed(Sketch(query.shape, query.itemsize, made), parts, backward)

    def convolution(
        self,
        seen: Sketch,
        channels: int,
        fan_in: int,
        name: str,
        fan_out: int | None = None,
        *,
        bias: bool = True,
    ) -> Sketch:
        """A convolution from (b c places) to (b channels fan_out); each output has `fan_in` inputs."""
        batch, places = seen.shape[0], fan_out or seen.shape[2]
        number = fan_in * channels + channels * bias
        learns = self.register(name, number)
        seen, copy = self._cast(seen, name, number, learns=learns)
        flops = 2 * batch * places * fan_in * channels
        self.meter.flops += flops
        follows, nbytes = seen.node is not None, seen.nbytes
        kept = (seen.storage if learns else None, copy if follows else None)

        def backward(_gradient: Storage) -> Sequence[Storage | None]:
            _ = kept
            self.meter.flops += flops * (follows + learns)
            return (self.storage(nbytes) if follows else None,)

        return self.make((batch, channels, places), seen.itemsize, (seen,), backward, learns=learns)

    def product(self, left: Sketch, right: Sketch, shape: Sequence[int], *, inner: int) -> Sketch:
        """A product of two tensors; the right one existed before."""
        flops, nbytes = 2 * math.prod(shape) * inner, left.nbytes
        self.meter.flops += flops
        follows = left.node is not None
        kept = right.storage

        def backward(_gradient: Storage) -> Sequence[Storage | None]:
            _ = kept
            self.meter.flops += flops * follows
            return (self.storage(nbytes),)

        return self.make(shape, left.itemsize, (left,), backward)

    def join(self, parts: Sequence[Sketch], shape: Sequence[int]) -> Sketch:
        """Concatenate tensors; the gradients of the parts are views."""
        number = len(parts)
        return self.make(shape, parts[0].itemsize, parts, lambda gradient: [gradient] * number)
