"""Guarded connections: counted before their first message, and cut off if they do not read answers."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode

from action_images.errors import ActionImagesError

try:
    import resource
except ModuleNotFoundError:  # Windows has no limit of open files by process
    resource = None

HANDSHAKE_S = 10.0
"""Time for the handshakes of TLS and of the websocket; silent connections are closed after it."""
MAX_UNREAD_BYTES = 1 << 16
"""Limit of pongs that a client has not read. Its observations and answers do not count."""
MAX_FRAGMENTS = 4096
"""Limit of frames in one message: empty frames cost memory too, though a message's bytes are bounded."""
SPARE_FILES = 32
"""Open files reserved for everything but clients: the policy's process, the log, the listening socket."""


@dataclass
class Gate:
    """Counts connections, including those that have not yet sent anything."""

    max_connections: int
    turned_away: Callable[[str], None]
    """Called with the reason: full, slow."""
    opened: set[int] = field(default_factory=set)
    shaking_hands: dict[int, float] = field(default_factory=dict)
    """Connection -> the time of its arrival (s), until the TLS handshake is done."""

    def connection(self, *arguments: Any, **options: Any) -> "GuardedConnection":
        """A new connection; raises ConnectionAbortedError if there are too many.

        asyncio then closes the socket.
        """
        now = time.monotonic()
        self.shaking_hands = {
            key: came for key, came in self.shaking_hands.items() if now - came < HANDSHAKE_S
        }
        if len(self.opened) + len(self.shaking_hands) >= self.max_connections:
            self.turned_away("full")
            raise ConnectionAbortedError
        connection = GuardedConnection(*arguments, **options)
        connection.gate = self
        self.shaking_hands[id(connection)] = now
        return connection

    def opens(self, connection: "GuardedConnection") -> None:
        """Note that the connection is ready."""
        self.shaking_hands.pop(id(connection), None)
        self.opened.add(id(connection))

    def closes(self, connection: "GuardedConnection") -> None:
        """Note that the connection is closed."""
        self.opened.discard(id(connection))


class GuardedConnection(ServerConnection):
    """A websocket whose automatic answers and fragments are bounded."""

    gate: Gate
    _num_unread = 0
    _num_fragments = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.gate.opens(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gate.closes(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer pings as the library does, while the client reads the answers."""
        before = self.transport.get_write_buffer_size()
        super().data_received(data)
        grown = self.transport.get_write_buffer_size() - before
        self._num_unread = 0 if before == 0 and grown <= 0 else self._num_unread + max(grown, 0)
        if self._num_unread > MAX_UNREAD_BYTES:
            self.gate.turned_away("slow")
            self.transport.abort()

    def process_event(self, event: Any) -> None:
        """Count the frames of an unfinished message."""
        if isinstance(event, Frame) and event.opcode in (Opcode.CONT, Opcode.TEXT, Opcode.BINARY):
            self._num_fragments = 0 if event.fin else self._num_fragments + 1
            if self._num_fragments > MAX_FRAGMENTS:
                self.gate.turned_away("too_large")
                self.transport.abort()
                return
        super().process_event(event)


def affordable_connections(wanted: int, least: int) -> int:
    """The number of wanted connections that the limit of open files allows, after raising it to its maximum.

    Raises ActionImagesError if that is less than `least`.
    """
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    affordable = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft - SPARE_FILES)
    if affordable < least:
        raise ActionImagesError(
            f"{soft} open files are too few for {least} clients; raise the limit (ulimit -n), or lower "
            "--max-clients"
        )
    return affordable
