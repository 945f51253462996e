"""How sure a success rate is."""

import math


def wilson_interval(num_successes: int, num_trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval in [0, 1] that holds the true rate with this confidence, after so many successes in independent trials.

    Raises ValueError where the counts cannot be. Source: Wilson 1927; unlike the normal approximation it stays in
    [0, 1] and says something of 0 and of all.
    """
    if not 0 <= num_successes <= num_trials or num_trials == 0:
        raise ValueError(f"{num_successes} successes of {num_trials} trials: give 0 <= successes <= trials, and at least one trial")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, both excluded, got {confidence}")
    z = _normal_quantile(0.5 + confidence / 2)
    rate, share = num_successes / num_trials, z * z / num_trials
    centre = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(rate * (1 - rate) / num_trials + share / (4 * num_trials))
    # Rounding must not push the rate itself out of its interval.
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def _normal_quantile(probability: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)
