"""The draws of a mixture that each step of training takes."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from action_images.errors import ActionImagesError
from action_images.samples.mixture import Draw, Mixture
from action_images.samples.stateless_random import permuted


def all_alike(mixture: Mixture, draw: Draw) -> Hashable:
    """One kind for all draws."""
    del mixture, draw
    return None


@dataclass(frozen=True)
class StepOrder:
    """Steps of `batch_size` draws (over all ranks), one after the other, or by kind in blocks of steps.

    A pass of few samples costs more for each. With a `block` of several steps their draws are sorted by kind
    and then shared out, so that most steps hold one kind; the steps of a block come in random order. Either
    way every draw belongs to one step, which depends on nothing but the mixture and these numbers. Raises
    ActionImagesError if a step or a block would be empty.
    """

    batch_size: int
    block: int = 1
    kind: Callable[[Mixture, Draw], Hashable] = all_alike

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.block < 1:
            raise ActionImagesError(
                f"a step has at least one sample and a block one step, not {self.batch_size} and {self.block}"
            )

    def indices(self, mixture: Mixture, step: int) -> list[int]:
        """The indices of a step's draws in the mixture, `batch_size` of them; `step` counts from 0."""
        if self.block == 1:
            return list(range(step * self.batch_size, (step + 1) * self.batch_size))
        number, place = divmod(step, self.block)
        first = self.batch_size * permuted(place, self.block, mixture.seed, "steps", number)
        return _by_kind(self, mixture, number)[first : first + self.batch_size]


@lru_cache(maxsize=2)
def _by_kind(order: StepOrder, mixture: Mixture, number: int) -> list[int]:
    """The indices of a block, one kind after the other."""
    length = order.block * order.batch_size
    kinds: dict[Hashable, list[int]] = {}
    for index in range(number * length, (number + 1) * length):
        kinds.setdefault(order.kind(mixture, mixture[index]), []).append(index)
    return list(chain.from_iterable(kinds.values()))
