"""Remarks on rows of known formats whose recorded times are not at the format's rate."""

from collections.abc import Iterator

import numpy as np

MOST_STEP = 2.0
"""Rows that are farther apart (in frames) have lost at least one between them."""
MOST_RATE_ERROR = 0.15
"""A usual step that differs from the format's by more than this fraction is another rate."""


def told_backwards(clock: str) -> str:
    """A sentence on rows whose times, by this clock, are earlier than those of the rows before."""
    return (
        f"by {clock} its rows run backwards in places; they come in as they lie: were rows moved or joined?"
    )


def told_pace(times: np.ndarray, fps: float, clock: str) -> Iterator[str]:
    """Sentences, the same for all episodes, on times (s, one for each row) that contradict the rate `fps`.

    `clock` is what gives the times. Times that are not finite tell nothing.
    """
    steps = np.diff(times) * fps
    if not len(steps) or not np.isfinite(steps).all():
        return
    if (steps < 0).any():
        yield told_backwards(clock)
        return
    usual = float(np.median(steps))
    if usual > 0 and abs(usual - 1) > MOST_RATE_ERROR:
        yield f"by {clock} its rows follow each other at another rate than {fps:g} a second, which is taken"
    elif (steps > MOST_STEP).any():
        lost = f"by {clock} rows are missing in places (two are more than {MOST_STEP:g} frames apart)"
        yield f"{lost}; they come in as neighbours, so the motion is too fast there"
