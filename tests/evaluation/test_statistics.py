"""Wilson's interval: known values, and what holds for any counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from action_images.evaluation.statistics import wilson_interval


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
