"""Limits of the server for one client and for all together."""

import time
from dataclasses import dataclass, field

from action_images.errors import ActionImagesError


@dataclass(frozen=True)
class Limits:
    """Limits that hold for any behaviour of clients. Memory for incoming frames stays below about
    3 max_message_bytes max_clients."""

    max_message_bytes: int = 16_000_000
    max_clients: int = 16
    max_per_second: float = 100.0
    """Frames a second of one client, well-formed or not."""
    plan_s: float = 120.0
    """A policy that takes longer for a plan is killed and restarted."""
    send_s: float = 10.0
    """A client that does not read its answer in this time is disconnected."""
    grace_s: float = 5.0
    """The time that a shutdown leaves for the current plan."""

    @property
    def max_connections(self) -> int:
        """The largest number of connections, including those in their handshake."""
        return 2 * self.max_clients + 16

    def check(self) -> "Limits":
        """Return self; raise ValueError, naming the bound, unless all are positive."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ActionImagesError(f"the limit {name} must be positive, got {value}")
        return self


@dataclass
class Rate:
    """A token bucket: `per_second` on average, and at most as many at once."""

    per_second: float
    _tokens: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._tokens, self._at = max(self.per_second, 1.0), time.monotonic()

    def allows(self) -> bool:
        """Whether one more may pass now; if so, it is counted."""
        now = time.monotonic()
        self._tokens = min(max(self.per_second, 1.0), self._tokens + (now - self._at) * self.per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
