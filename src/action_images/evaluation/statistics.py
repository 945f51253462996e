"""How sure a rate or a figure is, and the difference between two."""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from action_images.errors import ActionImagesError

Key = TypeVar("Key", bound=Hashable)


def wilson_interval(num_successes: int, num_trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval in [0, 1] that holds the true rate with this confidence, after so many successes in independent trials.

    Raises ValueError where the counts cannot be. Source: Wilson 1927; unlike the normal approximation it stays in
    [0, 1] and says something of 0 and of all.
    """
    if not 0 <= num_successes <= num_trials or num_trials == 0:
        raise ActionImagesError(
            f"{num_successes} successes of {num_trials} trials: give 0 <= successes <= trials, and at least one trial"
        )
    if not 0 < confidence < 1:
        raise ActionImagesError(f"a confidence lies between 0 and 1, both excluded, got {confidence}")
    z = _normal_quantile(0.5 + confidence / 2)
    rate, share = num_successes / num_trials, z * z / num_trials
    centre = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(rate * (1 - rate) / num_trials + share / (4 * num_trials))
    # Rounding must not push the rate itself out of its interval.
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def _normal_quantile(probability: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)


def bootstrap_interval(
    figure: Callable[[Int[Tensor, "num"]], float],
    num_items: int,
    confidence: float = 0.95,
    num_draws: int = 500,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval that holds a figure with this confidence, were the items drawn again; `figure` takes the items' indices.

    Items are what is independent: whole windows or episodes, never single frames. Draws for which the figure is not
    finite are left out; NaN where all are. Source: Efron 1979, the percentile method.
    """
    if num_items < 1:
        raise ActionImagesError("there is nothing to draw from: measure at least one item")
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(num_items, (num_draws, num_items), generator=generator)
    values = torch.tensor([figure(items) for items in draws], dtype=torch.float64)
    values = values[values.isfinite()]
    if not len(values):
        return math.nan, math.nan
    low, high = values.quantile(
        torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    ).tolist()
    return low, high


@dataclass(frozen=True)
class Pairing:
    """Two policies on the same scenes: how many only one of them won, and how many both or neither did."""

    num_pairs: int
    only_first: int
    only_second: int

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar: how likely so uneven a split is if neither is better. 1 where they never differ."""
        differing, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        tail = sum(math.comb(differing, k) for k in range(fewer + 1)) / 2**differing
        return min(1.0, 2 * tail)

    @property
    def difference(self) -> float:
        """The first's success rate minus the second's, in [-1, 1]."""
        return (self.only_first - self.only_second) / self.num_pairs


def pair(first: Mapping[Key, bool], second: Mapping[Key, bool]) -> Pairing:
    """Pair two policies' successes by scene; scenes that one of them lacks are left out. Raises ValueError where none is shared.

    Source: McNemar 1947, with the exact binomial tail instead of the chi-square approximation.
    """
    shared = first.keys() & second.keys()
    if not shared:
        raise ActionImagesError(
            "the two have no scene in common, so they cannot be paired; evaluate both on the same tasks and trials"
        )
    only_first = sum(first[key] and not second[key] for key in shared)
    only_second = sum(second[key] and not first[key] for key in shared)
    return Pairing(len(shared), only_first, only_second)


def correlation(first: Float[Tensor, "num"], second: Float[Tensor, "num"]) -> float:
    """Pearson's correlation, in [-1, 1]; NaN for fewer than two items, or where one of both does not vary."""
    a, b = (values.double() - values.double().mean() for values in (first, second))
    if not len(a) or first.max() == first.min() or second.max() == second.min():
        return math.nan
    return ((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()).clamp(-1, 1).item()


def ranks(values: Float[Tensor, "num"]) -> Float[Tensor, "num"]:
    """Places in rising order from 0; equal values share the mean of theirs. The correlation of two such is Spearman's."""
    smaller = (values[None] < values[:, None]).sum(1)
    equal = (values[None] == values[:, None]).sum(1)
    return smaller + (equal.double() - 1) / 2
