"""Confidence intervals of rates and figures, and tests of the difference between two policies."""

# scipy.stats takes a second to import, so each function imports it when it is called.

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
    """The interval in [0, 1] that holds the true rate with this confidence, for independent trials.

    Raises ActionImagesError for impossible counts. Source: Wilson 1927. Unlike the normal approximation, the
    interval stays in [0, 1] and has a width above 0 for rates of 0 and 1.
    """
    from scipy.stats import binomtest

    if not 0 <= num_successes <= num_trials or num_trials == 0:
        raise ActionImagesError(
            f"{num_successes} successes of {num_trials} trials: "
            "give 0 <= successes <= trials, and at least one trial"
        )
    if not 0 < confidence < 1:
        raise ActionImagesError(f"a confidence lies between 0 and 1, both excluded, got {confidence}")
    interval = binomtest(num_successes, num_trials).proportion_ci(confidence, method="wilson")
    rate = num_successes / num_trials
    # Rounding must not push the rate out of its own interval.
    return min(rate, float(interval.low)), max(rate, float(interval.high))


def bootstrap_interval(
    figure: Callable[[Int[Tensor, "num"]], float],
    num_items: int,
    confidence: float = 0.95,
    num_draws: int = 500,
    seed: int = 0,
) -> tuple[float, float]:
    """The bootstrap interval that holds a figure with this confidence when the items are drawn again.

    `figure` takes the items' indices. Items must be independent: whole windows or episodes, never single
    frames. Draws whose figure is not finite are left out; the interval is NaN if all are. Raises
    ActionImagesError without items. Source: Efron 1979, the percentile method.
    """
    # Not scipy.stats.bootstrap: it refuses a single item, and one NaN among its draws makes both ends NaN.
    if num_items < 1:
        raise ActionImagesError("there is nothing to draw from: measure at least one item")
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(num_items, (num_draws, num_items), generator=generator)
    values = torch.tensor([figure(items) for items in draws], dtype=torch.float64)
    values = values[values.isfinite()]
    if not len(values):
        return math.nan, math.nan
    ends = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    low, high = values.quantile(ends).tolist()
    return low, high


@dataclass(frozen=True)
class Pairing:
    """Two policies on the same scenes: the numbers of scenes won by only one, by both, or by neither."""

    num_pairs: int
    only_first: int
    only_second: int

    @property
    def p_value(self) -> float:
        """The exact two-sided McNemar test: the probability of a split this uneven if neither is better.

        1 if they never differ.

        Source: McNemar 1947, with the exact binomial tail instead of the chi-square approximation.
        """
        from scipy.stats import binomtest

        differing = self.only_first + self.only_second
        return float(binomtest(self.only_first, differing).pvalue) if differing else 1.0

    @property
    def difference(self) -> float:
        """The first's success rate minus the second's, in [-1, 1]."""
        return (self.only_first - self.only_second) / self.num_pairs


def pair(first: Mapping[Key, bool], second: Mapping[Key, bool]) -> Pairing:
    """Pair two policies' successes by scene; scenes that one of them lacks are left out.

    Raises ActionImagesError if the two share no scene.
    """
    shared = first.keys() & second.keys()
    if not shared:
        raise ActionImagesError(
            "the two have no scene in common, so they cannot be paired; "
            "evaluate both on the same tasks and trials"
        )
    only_first = sum(first[key] and not second[key] for key in shared)
    only_second = sum(second[key] and not first[key] for key in shared)
    return Pairing(len(shared), only_first, only_second)


def pearson(first: Float[Tensor, "num"], second: Float[Tensor, "num"]) -> float:
    """Pearson's correlation, in [-1, 1]; NaN for fewer than two items, or if one variable is constant."""
    from scipy.stats import pearsonr

    if not (_varies(first) and _varies(second)):
        return math.nan
    correlation, _ = pearsonr(first.double().numpy(), second.double().numpy())
    return float(correlation)  # pyright: ignore[reportArgumentType] (a number for two one-dimensional arrays)


def spearman(first: Float[Tensor, "num"], second: Float[Tensor, "num"]) -> float:
    """Spearman's rank correlation, in [-1, 1]; NaN under the same conditions as `pearson`."""
    from scipy.stats import spearmanr

    if not (_varies(first) and _varies(second)):
        return math.nan
    correlation, _ = spearmanr(first.numpy(), second.numpy())
    return float(correlation)  # pyright: ignore[reportArgumentType] (a number for two one-dimensional arrays)


def _varies(values: Float[Tensor, "num"]) -> bool:
    return len(values) > 1 and bool(values.max() > values.min())
