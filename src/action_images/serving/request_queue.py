"""The queue for the policy: the newest observation of each client, first come, first served."""

import asyncio
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Waiting:
    """An observation that waits for the policy; times are of the event loop's clock (s)."""

    client: Any
    data: bytes
    number: int
    """The number of observations that this client sent before."""
    seq: int | None
    arrived: float
    expires: float


@dataclass
class Line:
    """A queue with at most one observation for each client; a newer one replaces the older in its turn."""

    _waiting: dict[int, Waiting] = field(default_factory=dict)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, one: Waiting) -> Waiting | None:
        """Add an observation; returns the client's older one if it still waited and is now dropped."""
        older = self._waiting.get(id(one.client))
        self._waiting[id(one.client)] = one
        self._came.set()
        return older

    async def next(self) -> Waiting:
        """Wait for the next observation in turn."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        return self._waiting.pop(next(iter(self._waiting)))

    def leave(self, client: Any) -> None:
        """Forget a client that has disconnected."""
        self._waiting.pop(id(client), None)
