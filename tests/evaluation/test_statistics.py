"""Intervals, paired comparisons and correlations: known values, and what holds for any numbers."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.evaluation.statistics import (
    Pairing,
    bootstrap_interval,
    pearson,
    spearman,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("num_successes", "num_trials", "low", "high"),
    [(10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962), (1, 1, 0.2065, 1.0)],
)
def test_known_values(num_successes: int, num_trials: int, low: float, high: float):
    assert wilson_interval(num_successes, num_trials) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda num: st.tuples(st.integers(0, num), st.just(num))))
def test_the_rate_lies_inside_and_failures_mirror_successes(counts: tuple[int, int]):
    num_successes, num_trials = counts
    low, high = wilson_interval(num_successes, num_trials)
    assert 0 <= low <= num_successes / num_trials <= high <= 1
    mirrored = wilson_interval(num_trials - num_successes, num_trials)
    assert (1 - high, 1 - low) == pytest.approx(mirrored)


def test_more_trials_and_less_confidence_make_it_narrower():
    def width(*arguments: float) -> float:
        low, high = wilson_interval(*arguments)
        return high - low

    assert width(80, 100) < width(8, 10)
    assert width(8, 10, 0.8) < width(8, 10, 0.95)


@pytest.mark.parametrize("counts", [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int]):
    with pytest.raises(ValueError, match="give 0 <= successes <= trials"):
        wilson_interval(*counts)


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_p_value_is_twice_the_tail_of_fair_coins(only_first: int, only_second: int):
    tosses, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(tosses, heads) for heads in range(fewer + 1)) / 2**tosses
    pairing = Pairing(tosses + 3, only_first, only_second)
    assert pairing.p_value == pytest.approx(min(1.0, 2 * tail))
    assert pairing.p_value == Pairing(tosses + 3, only_second, only_first).p_value


def test_a_bootstrap_interval_is_that_of_scipy_but_for_chance():
    from scipy.stats import bootstrap

    sample = torch.randn(60, generator=torch.Generator().manual_seed(0)).double()
    ours = bootstrap_interval(lambda items: sample[items].mean().item(), 60, num_draws=4000)
    theirs = bootstrap((sample.numpy(),), np.mean, n_resamples=4000, method="percentile", rng=0)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)


def test_a_bootstrap_of_one_item_is_that_item():
    assert bootstrap_interval(lambda items: 3.0 + items.sum().item(), 1) == (3.0, 3.0)


def test_correlations_are_those_of_the_textbook():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert pearson(values, 3 - 2 * values) == pytest.approx(-1)
    assert pearson(values, torch.tensor([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)
    assert spearman(values, values.exp()) == pytest.approx(1)
    tied = torch.tensor([5.0, 1.0, 5.0, 9.0])  # ranks 2.5, 1, 2.5, 4
    assert spearman(values, tied) == pytest.approx(pearson(values, torch.tensor([2.5, 1.0, 2.5, 4.0])))


@pytest.mark.parametrize("correlation", [pearson, spearman])
@pytest.mark.parametrize("other", [torch.ones(4), torch.ones(1), torch.ones(0)])
def test_a_correlation_with_what_does_not_vary_says_nothing(correlation, other: torch.Tensor):
    assert math.isnan(correlation(torch.arange(4.0)[: len(other)], other))


def test_scipy_is_imported_only_where_a_figure_is_asked_for():
    script = "import sys, action_images.evaluation.statistics; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
