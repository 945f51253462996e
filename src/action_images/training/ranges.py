"""The ranges of the numbers of a recipe, and the sentence for a number outside of its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from action_images.errors import ActionImagesError


@dataclass(frozen=True)
class Range:
    """The finite numbers from `least` to `most`; `above` and `below` leave out the end itself."""

    least: float
    most: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        """Whether a number lies in the range; NaN and infinities lie in none."""
        high_enough = value > self.least if self.above else value >= self.least
        low_enough = value < self.most if self.below else value <= self.most
        return math.isfinite(value) and high_enough and low_enough

    def __str__(self) -> str:
        least = f"above {self.least:g}" if self.above else f"at least {self.least:g}"
        if self.most == math.inf:
            return least
        return f"{least} and " + (f"below {self.most:g}" if self.below else f"at most {self.most:g}")


AT_LEAST_0, AT_LEAST_1, ABOVE_0 = Range(0), Range(1), Range(0, above=True)
FROM_0_TO_1 = Range(0, 1)
WITHIN_0_AND_1 = Range(0, 1, above=True, below=True)


def check_ranges(of: object, ranges: Mapping[str, Range], place: str = "") -> None:
    """Raise ActionImagesError, naming `place` and the field, if a number lies outside of its range.

    Every number of a tuple is checked, and every value of a dict. None is no number.
    """
    for name, allowed in ranges.items():
        for field, value in _numbers(name, getattr(of, name)):
            if value not in allowed:
                raise ActionImagesError(f"{place}{field} must be {allowed}, not {value:g}")


def _numbers(name: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, Mapping):
        return [(f"{name}.{key}", one) for key, one in value.items()]
    if isinstance(value, tuple):
        return [(name, one) for one in value]
    return [] if value is None else [(name, value)]
