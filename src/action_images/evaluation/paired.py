"""Two policies on the same scenes: who succeeded where the other failed, and whether that may be chance."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from action_images.evaluation.trial import TrialRecord


@dataclass(frozen=True)
class Paired:
    """Counts of scenes by who succeeded in them."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def num_pairs(self) -> int:
        """How many scenes both were tried in."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """Success rate of the first less that of the second, over the pairs."""
        return (self.only_first - self.only_second) / self.num_pairs

    @property
    def p_value(self) -> float:
        """How often two equally good policies would differ this much or more (McNemar's exact test, two-sided)."""
        differing, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        return min(1.0, 2 * sum(math.comb(differing, count) for count in range(fewer + 1)) / 2**differing)


def compare(first: Iterable[TrialRecord], second: Iterable[TrialRecord]) -> Paired | None:
    """The pairs among trials of two policies (same task, same seed); None where they share no scene."""
    outcomes = {record.key: record.succeeded for record in second}
    pairs = [(record.succeeded, outcomes[record.key]) for record in first if record.key in outcomes]
    if not pairs:
        return None
    return Paired(*(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))
