"""The minutes between validations and between checkpoints."""

import time
from dataclasses import dataclass, field


@dataclass
class Interval:
    """A recurring event, by the clock of this process."""

    minutes: float
    last: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        """Whether its minutes have passed; if so, they start again."""
        now = time.monotonic()
        is_due = now - self.last > 60 * self.minutes
        if is_due:
            self.last = now
        return is_due
