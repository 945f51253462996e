"""The server between websocket clients and the policy's process; neither can stop it."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from action_images.serving.answering import Answering
from action_images.serving.connections import HANDSHAKE_S, Gate, affordable_connections
from action_images.serving.limits import Limits, Rate
from action_images.serving.log import event
from action_images.serving.messages import Request
from action_images.serving.metadata import describe
from action_images.serving.metrics import Metrics
from action_images.serving.observation_map import ObservationMap
from action_images.serving.plain_http import FULL, PlainHttp
from action_images.serving.process import OpenCalibrations, OpenPolicy, OpenWatcher
from action_images.serving.protocol import WireError, decode, encode
from action_images.serving.request_queue import Waiting

DEFAULT_LIMITS = Limits()
LINES_PER_SECOND = 5.0
"""Limit of log lines about new clients and refused frames, for all clients together."""
CHANGED = "the policy was loaded again and has other weights: connect again"
BACKLOG = 16
"""Connections that the system holds until they are counted; more would take open files all at once."""


@dataclass(eq=False)
class _Client:
    """One connection. `newest` is the number of its last observation."""

    number: int
    connection: ServerConnection
    rate: Rate
    log_rate: Rate = field(default_factory=lambda: Rate(2.0))
    """Limit of log lines about refused frames."""
    is_told_of: bool = True
    """Whether its arrival was logged."""
    newest: int = 0
    outbox: asyncio.Queue[bytes | str] = field(default_factory=lambda: asyncio.Queue(maxsize=4))
    last_total_ms: float | None = None

    @property
    def name(self) -> str:
        """Its name in the log."""
        return f"client-{self.number}"


class PolicyServer:
    """Serves a policy, in a process of its own, to websocket clients in openpi's protocol.

    `open_policy` and `open_calibrations` (rigs by name, axis: view) are called in that process and must be
    picklable. So must `open_watcher`, which makes from the policy a watcher of each plan after it was sent.
    An `open_policy` that is a worker.NamesPolicy names the policy, in place of `name`. Every request but
    /healthz needs the `token`, if there is one. `observation_map` renames the fields of foreign clients.
    Enter `running()` to start; docs/serving.md describes the protocol.
    """

    def __init__(
        self,
        open_policy: OpenPolicy,
        open_calibrations: OpenCalibrations = dict,
        *,
        name: str = "policy",
        host: str = "127.0.0.1",
        port: int = 8000,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        limits: Limits = DEFAULT_LIMITS,
        observation_map: ObservationMap | None = None,
        open_watcher: OpenWatcher | None = None,
    ):
        self.limits, self.metrics, self.port = limits.check(), Metrics(), port
        self._name, self._host, self._tls, self._has_token = name, host, tls, token is not None
        self._observation_map = observation_map
        self._clients: set[_Client] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._num_clients_ever = 0
        # Clients that reconnect all the time under new names must not fill the log.
        self._log_rate = Rate(LINES_PER_SECOND)
        self.answering = Answering(
            open_policy,
            open_calibrations,
            open_watcher,
            limits=limits,
            metrics=self.metrics,
            deliver=self._deliver,
            fail=self._fail,
            changed=self._send_away,
        )
        self._http = PlainHttp(token, self.metrics, self.answering.ready.is_set, self._is_full)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["PolicyServer"]:
        """Open the policy, then listen; `port` is then the real one. On exit, the current plan is finished
        first.

        Raises ActionImagesError if the policy cannot be opened, OSError if the address cannot be listened on.
        """
        max_connections = affordable_connections(self.limits.max_connections, self.limits.max_clients)
        await self.answering.start()
        try:
            async with self._listen(max_connections) as listening:
                self.port = next(iter(listening.sockets)).getsockname()[1]
                secured = {"tls": self._tls is not None, "token": self._has_token}
                event("listening", host=self._host, port=self.port, **secured)
                if self._observation_map is not None and self._observation_map.remark is not None:
                    event("openings differ", logging.WARNING, remark=self._observation_map.remark)
                self.answering.run()
                yield self
                event("stopping", clients=len(self._clients), waiting=len(self.answering.line))
                # Connected clients may still wait for an answer; only new connections are refused.
                listening.server.close()
                await self.answering.finish(self._is_sending)
        finally:
            await self.answering.close()
            event("stopped")

    @property
    def policy_pid(self) -> int | None:
        """The id of the policy's process."""
        return self.answering.policy.pid if self.answering.policy is not None else None

    def _listen(self, max_connections: int) -> Any:
        gate = Gate(max_connections, lambda reason: self.metrics.turned_away.labels(reason).inc())
        with_tls = {} if self._tls is None else {"ssl": self._tls, "ssl_handshake_timeout": HANDSHAKE_S}
        return serve(
            self._handle,
            self._host,
            self.port,
            # Browsers always send an origin: no web page may control the robot of its visitor.
            origins=[None],
            process_request=self._http.respond,
            create_connection=gate.connection,  # pyright: ignore[reportArgumentType] (makes one of the class)
            compression=None,
            max_size=self.limits.max_message_bytes,
            max_queue=1,
            open_timeout=HANDSHAKE_S,
            close_timeout=self.limits.grace_s,
            server_header=None,
            backlog=BACKLOG,
            **with_tls,
        )

    def _is_full(self) -> bool:
        return len(self._clients) >= self.limits.max_clients

    def _is_sending(self) -> bool:
        return any(not client.outbox.empty() for client in self._clients)

    async def _handle(self, connection: ServerConnection) -> None:
        if self._is_full():
            self.metrics.turned_away.labels("full").inc()
            await connection.close(1013, FULL)
            return
        self._num_clients_ever += 1
        client = _Client(self._num_clients_ever, connection, Rate(self.limits.max_per_second))
        self._clients.add(client)
        self.metrics.clients.set(len(self._clients))
        client.is_told_of = self._log_rate.allows()
        if client.is_told_of:
            event("client came", client=client.name, address=str(connection.remote_address))
        writer = asyncio.create_task(self._write(client))
        try:
            await self._push(client, encode(self._metadata()))
            async for frame in connection:
                await self._receive(client, frame)
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(client)
            self.answering.line.leave(client)
            writer.cancel()
            self.metrics.clients.set(len(self._clients))
            self._say_goodbye(client)

    def _metadata(self) -> dict[str, Any]:
        policy = self.answering.policy
        assert policy is not None
        return describe(policy.description["name"] or self._name, policy.description, self.limits)

    def _send_away(self) -> None:
        """Close all connections: their metadata are of another policy. Who connects again gets new ones."""
        clients, self._clients = self._clients, set()
        for client in clients:
            self.answering.line.leave(client)
            task = asyncio.create_task(client.connection.close(1012, CHANGED))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _say_goodbye(self, client: _Client) -> None:
        code, reason = client.connection.close_code, client.connection.close_reason
        if code == 1009:
            self.metrics.turned_away.labels("too_large").inc()
        if client.is_told_of:
            told = {"observations": client.newest, "close_code": code, "reason": reason}
            event("client went", client=client.name, **told)

    async def _receive(self, client: _Client, frame: bytes | str) -> None:
        arrived = asyncio.get_running_loop().time()
        if client not in self._clients:
            return  # sent away
        client.newest += 1
        try:
            data, request = self._understood(client, frame)
        except WireError as error:
            outcome = "limited" if isinstance(error, _TooOften) else "refused"
            self.metrics.count(outcome)
            if client.log_rate.allows() and self._log_rate.allows():
                told = {"client": client.name, "error": str(error), "num_bytes": len(frame)}
                event(f"frame {outcome}", logging.WARNING, **told)
            # Sent from here, so that a client that sends nonsense faster than it reads blocks only itself.
            await self._push(client, str(error))
            return
        left_s = float("inf") if request.timeout_ms is None else request.timeout_ms / 1e3
        self.answering.put(
            Waiting(client, data, client.newest, request.seq, arrived=arrived, expires=arrived + left_s)
        )

    def _understood(self, client: _Client, frame: bytes | str) -> tuple[bytes, Request]:
        """A frame as an observation for the policy's process; raises WireError for any other frame."""
        if not client.rate.allows():
            raise _TooOften(
                f"too many observations: a client may send {self.limits.max_per_second:g} a second"
            )
        if isinstance(frame, str):
            raise WireError("an observation is a binary frame (msgpack), this was text")
        message = decode(frame)
        if self._observation_map is None:
            return frame, Request.from_message(message)
        request = Request.from_message(self._observation_map.renamed(message))
        return encode(request.to_message()), request

    def _deliver(self, one: Waiting, answer: dict[str, Any], queue_ms: float) -> None:
        client, now = one.client, asyncio.get_running_loop().time()
        # Without `seq`, an answer to an older observation would be taken for one to the newest.
        overtaken = one.seq is None and one.number != client.newest
        if overtaken or now > one.expires or client not in self._clients:
            self.metrics.count("late")
            return
        total_ms = 1e3 * (now - one.arrived)
        timing = {"infer_ms": answer["infer_ms"], "queue_ms": queue_ms, "total_ms": total_ms}
        if client.last_total_ms is not None:
            timing["prev_total_ms"] = client.last_total_ms
        client.last_total_ms = total_ms
        self.metrics.total.observe(total_ms / 1e3)
        renamed = self._observation_map
        reply = answer["reply"] if renamed is None else renamed.answered(answer["reply"])
        self._send(client, encode({**reply, "server_timing": timing}), "answered")

    def _fail(self, one: Waiting, sentence: str) -> None:
        overtaken = one.number != one.client.newest
        if overtaken or one.client not in self._clients:
            self.metrics.count("late")
            return
        self._send(one.client, sentence, "failed")

    def _send(self, client: _Client, frame: bytes | str, outcome: str) -> None:
        try:
            client.outbox.put_nowait(frame)
            self.metrics.count(outcome)
        except asyncio.QueueFull:
            self.metrics.count("late")

    async def _write(self, client: _Client) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._push(client, await client.outbox.get())

    async def _push(self, client: _Client, frame: bytes | str) -> None:
        """Send a frame; a client that does not read it in time is cut off."""
        try:
            await asyncio.wait_for(client.connection.send(frame), self.limits.send_s)
        except asyncio.TimeoutError:
            self.metrics.turned_away.labels("slow").inc()
            event("client too slow", logging.WARNING, client=client.name, limit_s=self.limits.send_s)
            client.connection.transport.abort()


class _TooOften(WireError):
    """A client sends faster than its limit."""
