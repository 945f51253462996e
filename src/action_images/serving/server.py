"""The server: websocket clients on one side, the policy's process on the other, neither able to stop it."""

import asyncio
import contextlib
import hmac
import http
import logging
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

import action_images
from action_images.serving.limits import Limits, Rate
from action_images.serving.log import event
from action_images.serving.messages import ACTION_FORMATS, DEFAULT_FORMAT, PROTOCOL, Request
from action_images.serving.metrics import Metrics
from action_images.serving.process import OpenCalibrations, OpenPolicy, PolicyDied, PolicyProcess
from action_images.serving.protocol import WireError, decode, encode
from action_images.serving.request_queue import Line, Waiting

DEFAULT_LIMITS = Limits()
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Between attempts to open a policy that keeps failing."""


@dataclass(eq=False)
class _Client:
    """One connection. `newest` is the number of the last observation that came from it."""

    name: str
    connection: ServerConnection
    rate: Rate
    newest: int = 0
    outbox: asyncio.Queue[bytes | str] = field(default_factory=lambda: asyncio.Queue(maxsize=4))
    last_total_ms: float | None = None


class PolicyServer:
    """Serves the policy that `open_policy` opens, in a process of its own, to websocket clients in openpi's
    protocol.

    `open_policy` and `open_calibrations` (rigs by name, axis: view) are called in that process and must
    pickle. A `token` is asked of everybody but /healthz. Enter `running()` to start; docs/serving.md is the
    protocol's page.
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
    ):
        self.limits, self.metrics, self.port = limits.check(), Metrics(), port
        self._open, self._name, self._host, self._tls = (open_policy, open_calibrations), name, host, tls
        self._token = token.encode() if token is not None else None
        self._clients: set[_Client] = set()
        self._num_clients_ever = 0
        self._line = Line()
        self._ready = asyncio.Event()
        self._policy: PolicyProcess | None = None
        self._metadata: dict[str, Any] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["PolicyServer"]:
        """Open the policy, then listen; `port` is the real one then. Leaving lets the current plan end, then
        closes all.

        Raises ValueError if the policy cannot be opened, OSError if the address cannot be listened on.
        """
        await self._start_policy()
        tasks: list[asyncio.Task[None]] = []
        try:
            async with self._listen() as listening:
                self.port = next(iter(listening.sockets)).getsockname()[1]
                event(
                    "listening",
                    host=self._host,
                    port=self.port,
                    tls=self._tls is not None,
                    token=self._token is not None,
                )
                tasks = [asyncio.create_task(self._keep_policy()), asyncio.create_task(self._answer_all())]
                yield self
                event("stopping", clients=len(self._clients), waiting=len(self._line))
                # Whoever is connected may still have an answer to come; only new connections are refused.
                listening.server.close()
                await self._finish(tasks[1])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._policy is not None:
                await self._policy.close(self.limits.grace_s)
            event("stopped")

    @property
    def policy_pid(self) -> int | None:
        """The id of the policy's process."""
        return self._policy.pid if self._policy is not None else None

    def _listen(self) -> Any:
        return serve(
            self._handle,
            self._host,
            self.port,
            # Browsers always name an origin: no web page may talk to the robot of whoever visits it.
            origins=[None],
            process_request=self._http,
            compression=None,
            max_size=self.limits.max_message_bytes,
            max_queue=1,
            ssl=self._tls,
            server_header=None,
        )

    # The policy's side.

    async def _start_policy(self) -> None:
        self._policy = await PolicyProcess.start(*self._open)
        self._metadata = self._describe(self._policy.description)
        self.metrics.starts.inc()
        self.metrics.ready.set(1)
        self._ready.set()
        event("policy open", policy=self._policy.description["policy"], pid=self._policy.pid)

    async def _keep_policy(self) -> None:
        """Start the policy's process again whenever it ends."""
        while True:
            assert self._policy is not None
            await self._policy.ended.wait()
            self._ready.clear()
            self.metrics.ready.set(0)
            event("policy ended", logging.ERROR, exit_code=self._policy.exit_code, pid=self._policy.pid)
            await self._policy.close(0)
            pause = FIRST_PAUSE_S
            while not await self._starts_again(pause):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _starts_again(self, next_try_s: float) -> bool:
        try:
            await self._start_policy()
        except (ValueError, OSError) as error:
            event("policy does not open", logging.ERROR, error=str(error), next_try_s=next_try_s)
            return False
        return True

    async def _answer_all(self) -> None:
        """Take the observations in turn: the only place that asks the policy."""
        while True:
            policy = await self._living_policy()
            one = await self._line.next()
            self.metrics.waiting.set(len(self._line))
            try:
                # It may have died while nobody asked it anything.
                await self._answer(one, await self._living_policy() if policy.ended.is_set() else policy)
            except Exception:
                # Nothing that one observation does may end the answering of all others.
                logging.getLogger("action_images.serving").exception(
                    "answering failed", extra={"fields": {"client": one.client.name}}
                )
                self._send(one.client, "the server failed on this observation; its log says why", "failed")

    async def _living_policy(self) -> PolicyProcess:
        while self._policy is None or self._policy.ended.is_set():
            self._ready.clear()
            await self._ready.wait()
        return self._policy

    async def _answer(self, one: Waiting, policy: PolicyProcess) -> None:
        start = asyncio.get_running_loop().time()
        if start > one.expires:
            self.metrics.count("expired")
            return
        try:
            answer = await policy.ask(one.data, self.limits.plan_s)
        except PolicyDied:
            self._fail(
                one,
                "the policy's process ended while it planned; it is being started again: send a new observation",
            )
            return
        except TimeoutError:
            event("policy hangs", logging.ERROR, after_s=self.limits.plan_s)
            self._fail(
                one,
                f"the policy took longer than {self.limits.plan_s:g} s; it is being started again: send a new observation",
            )
            return
        if "error" in answer:
            event(
                "observation failed",
                logging.WARNING,
                client=one.client.name,
                error=answer["error"],
                traceback=answer["traceback"],
            )
            self._fail(one, answer["error"])
            return
        self.metrics.infer.observe(answer["infer_ms"] / 1e3)
        self._deliver(one, answer, queue_ms=1e3 * (start - one.arrived))

    def _deliver(self, one: Waiting, answer: dict[str, Any], queue_ms: float) -> None:
        client, now = one.client, asyncio.get_running_loop().time()
        # Without a number of its own, an answer to an older observation would pass for one to the newest.
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
        self._send(client, encode({**answer["reply"], "server_timing": timing}), "answered")

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

    async def _finish(self, answering: asyncio.Task[None]) -> None:
        """Let those who wait have their answers, as far as the grace allows."""
        loop = asyncio.get_running_loop()
        stop = loop.time() + self.limits.grace_s
        while loop.time() < stop and not answering.done() and self._is_busy():
            await asyncio.sleep(0.01)

    def _is_busy(self) -> bool:
        busy = self._policy is not None and self._policy.is_busy
        return busy or len(self._line) > 0 or any(not client.outbox.empty() for client in self._clients)

    # The clients' side.

    async def _handle(self, connection: ServerConnection) -> None:
        if len(self._clients) >= self.limits.max_clients:
            self.metrics.turned_away.labels("full").inc()
            await connection.close(1013, "the server has all the clients that it may have")
            return
        self._num_clients_ever += 1
        client = _Client(f"client-{self._num_clients_ever}", connection, Rate(self.limits.max_per_second))
        self._clients.add(client)
        self.metrics.clients.set(len(self._clients))
        event("client came", client=client.name, address=str(connection.remote_address))
        writer = asyncio.create_task(self._write(client))
        try:
            await self._push(client, encode(self._metadata))
            async for frame in connection:
                await self._receive(client, frame)
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(client)
            self._line.leave(client)
            writer.cancel()
            self.metrics.clients.set(len(self._clients))
            self._say_goodbye(client)

    def _say_goodbye(self, client: _Client) -> None:
        code = client.connection.close_code
        if code == 1009:
            self.metrics.turned_away.labels("too_large").inc()
        event(
            "client went",
            client=client.name,
            observations=client.newest,
            close_code=code,
            reason=client.connection.close_reason,
        )

    async def _receive(self, client: _Client, frame: bytes | str) -> None:
        arrived = asyncio.get_running_loop().time()
        client.newest += 1
        try:
            if not client.rate.allows():
                raise _TooOften(
                    f"too many observations: a client may send {self.limits.max_per_second:g} a second"
                )
            if isinstance(frame, str):
                raise WireError("an observation is a binary frame (msgpack), this was text")
            request = Request.from_message(decode(frame))
        except WireError as error:
            outcome = "limited" if isinstance(error, _TooOften) else "refused"
            self.metrics.count(outcome)
            event(
                f"frame {outcome}",
                logging.WARNING,
                client=client.name,
                error=str(error),
                num_bytes=len(frame),
            )
            # Sent from here: a client that sends nonsense faster than it reads waits for itself.
            await self._push(client, str(error))
            return
        expires = arrived + (request.timeout_ms / 1e3 if request.timeout_ms is not None else float("inf"))
        older = self._line.put(Waiting(client, frame, client.newest, request.seq, arrived, expires))
        self.metrics.waiting.set(len(self._line))
        if older is not None:
            self.metrics.count("superseded")

    async def _write(self, client: _Client) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._push(client, await client.outbox.get())

    async def _push(self, client: _Client, frame: bytes | str) -> None:
        """Send a frame; a client that does not take it in time is cut off."""
        try:
            await asyncio.wait_for(client.connection.send(frame), self.limits.send_s)
        except asyncio.TimeoutError:
            self.metrics.turned_away.labels("slow").inc()
            event("client too slow", logging.WARNING, client=client.name, limit_s=self.limits.send_s)
            client.connection.transport.abort()

    # Plain HTTP beside the websocket.

    def _http(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/healthz":
            ready = self._ready.is_set()
            status = http.HTTPStatus.OK if ready else http.HTTPStatus.SERVICE_UNAVAILABLE
            return connection.respond(status, "OK\n" if ready else "the policy is being opened\n")
        if not self._admits(request.headers):
            self.metrics.turned_away.labels("token").inc()
            event("client without the token", logging.WARNING, address=str(connection.remote_address))
            response = connection.respond(
                http.HTTPStatus.UNAUTHORIZED, "this server asks for 'Authorization: Bearer TOKEN'\n"
            )
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if path == "/metrics":
            response = connection.respond(http.HTTPStatus.OK, self.metrics.text().decode())
            response.headers.pop("Content-Type", None)
            response.headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
            return response
        if len(self._clients) >= self.limits.max_clients:
            self.metrics.turned_away.labels("full").inc()
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, "the server has all the clients that it may have\n"
            )
        return None

    def _admits(self, headers: Headers) -> bool:
        if self._token is None:
            return True
        given = headers.get_all("Authorization")
        # openpi's client says Api-Key where RFC 6750 says Bearer.
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        right = hmac.compare_digest(token.strip().encode(errors="surrogateescape"), self._token)
        return right and scheme.lower() in ("bearer", "api-key")

    def _describe(self, description: dict[str, Any]) -> dict[str, Any]:
        """The first frame: what this server is and what its numbers mean."""
        formats = {
            name: {"columns": list(one.columns), "units": list(one.units), "meaning": one.meaning}
            for name, one in ACTION_FORMATS.items()
        }
        return {
            "server": "action-images",
            "version": action_images.__version__,
            "protocol": PROTOCOL,
            "policy": self._name,
            "policy_class": description["policy"],
            "image_size": description["image_size"],
            "fps": description["fps"],
            "calibrations": description["calibrations"],
            "action_formats": formats,
            "default_action_format": DEFAULT_FORMAT,
            "frames": FRAMES,
            "observation": OBSERVATION,
            "max_message_bytes": self.limits.max_message_bytes,
            "max_per_second": self.limits.max_per_second,
            "started": time.time(),
        }


class _TooOften(WireError):
    """A client sends faster than it may."""


FRAMES = (
    "metres and radians; world: the fixed right-handed frame of the cameras' poses; camera: OpenCV axes, x right, y down, z forward, "
    "pixel centres at +0.5; tool: its origin is the point between the finger tips; quaternions are x y z w"
)
"""Frames and units, as the metadata tells them."""

OBSERVATION = {
    "images": "uint8 (view, height, width, 3) or (view, 3, height, width), RGB",
    "prompt": "text: what to do",
    "world_from_tool": "float (4, 4), or (7,): x y z, quaternion x y z w",
    "opening": "number: the gripper, 0 closed to 1 open",
    "intrinsics": "float (view, 3, 3), px",
    "world_from_camera": "float (view, 4, 4), camera to world",
    "calibration": "text, instead of the two above: one of 'calibrations'",
    "action_format": "text, optional: one of 'action_formats'",
    "confidence": "true: also answer the confidence of each row, and rows of confidence 0, which must not be driven to",
    "imagined": "true: also answer what the policy imagined, under 'plan'",
    "seq": "whole number, optional: comes back with the answer",
    "timeout_ms": "number, optional: after this time no answer is wanted",
}
"""The fields of an observation, as the metadata tells them."""
