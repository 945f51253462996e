"""Who waits for the policy: one observation of each client, its newest, first come first served."""

import asyncio
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Waiting:
    """An observation that waits for the policy; times are those of the event loop's clock (s)."""

    client: Any
    data: bytes
    number: int
    """How many observations this client had sent before this one."""
    seq: int | None
    arrived: float
    expires: float


@dataclass
class Line:
    """At most one observation for each client: a newer one takes the place of the older and keeps its
    turn."""

    _waiting: dict[int, Waiting] = field(default_factory=dict)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, one: Waiting) -> Waiting | None:
        """Join the line; returns the client's older observation if that was still waiting and is now
        dropped."""
        older = self._waiting.get(id(one.client))
        self._waiting[id(one.client)] = one
        self._came.set()
        return older

    async def next(self) -> Waiting:
        """The observation whose turn it is, as soon as there is one."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        return self._waiting.pop(next(iter(self._waiting)))

    def leave(self, client: Any) -> None:
        """Forget a client that has gone."""
        self._waiting.pop(id(client), None)
