"""A client for a policy on a server; only `plan` needs torch."""

import contextlib
import itertools
import random
import socket
import ssl
import struct
import sys
import threading
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from typing_extensions import Self
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from action_images.errors import ActionImagesError, WeightsChanged
from action_images.serving.messages import ACTION_FORMATS, KNOWN_WORDS, PROTOCOL, Reply, Request
from action_images.serving.protocol import WireError, decode, encode

if TYPE_CHECKING:
    import action_images.robot

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
"""Pauses between attempts to connect; each is up to twice as long as the previous one."""
LONGEST_S = 1e6
"""The longest time limit: a server takes no larger one, and the system's timers would overflow."""


class ServingError(OSError):
    """Base class of all errors that kept a plan from coming."""


class Unreachable(ServingError):
    """No connection to the server could be made, or it was lost twice."""


class Late(ServingError, TimeoutError):
    """The plan did not come in time; a later one is discarded."""


class Refused(ServingError):
    """The server answered with one sentence that says why there is no plan."""


class RemotePolicy:
    """The policy of the server at `uri` (ws:// or wss://), as a Policy.

    Nothing is sent before the first request, and a lost connection is made again when it is needed. Each
    request is numbered and waits at most `timeout_s`, plus up to `connect_s` for a connection. A plan is
    returned only for the observation of its own request. `calibration` names a cameras file on the server;
    cameras are then not sent. `actions` is the format to ask for; `matrix` is free of rounding. `imagined`
    also fetches the images that the policy generated. `known_words` says how many words of an instruction the
    policy must know (none, some, all), or the request is refused; None leaves that to the server. With
    `serves`, the name of a policy in the server's metadata, a server of another one is refused with
    WeightsChanged. Warnings of a reply become Python warnings. The policy can be pickled and shared between
    threads, which wait for each other.
    """

    def __init__(
        self,
        uri: str,
        *,
        token: str | None = None,
        timeout_s: float = 10.0,
        connect_s: float = 30.0,
        calibration: str | None = None,
        actions: str = "matrix",
        imagined: bool = False,
        known_words: str | None = None,
        serves: str | None = None,
        ca_file: str | None = None,
        max_reply_bytes: int = 512_000_000,
    ):
        if urlsplit(uri).scheme not in ("ws", "wss") or not urlsplit(uri).hostname:
            raise ActionImagesError(
                f"'{uri}' is no address of a policy server; give ws://HOST:PORT, or wss://HOST:PORT for TLS"
            )
        if actions not in ACTION_FORMATS:
            raise ActionImagesError(
                f"there is no action format '{actions}'; there are: {', '.join(ACTION_FORMATS)}"
            )
        if known_words not in (None, *KNOWN_WORDS):
            raise ActionImagesError(
                f"known_words is '{known_words}'; give {', '.join(KNOWN_WORDS)}, or None for the server's "
                "own rule"
            )
        if not (0 < timeout_s <= LONGEST_S and 0 < connect_s <= LONGEST_S):
            raise ActionImagesError(
                f"timeout_s and connect_s are positive seconds up to {LONGEST_S:.0f}, got {timeout_s} and "
                f"{connect_s}"
            )
        self.uri, self.timeout_s, self.connect_s = uri, timeout_s, connect_s
        self.calibration, self.actions, self.imagined = calibration, actions, imagined
        self.known_words, self.serves = known_words, serves
        self.num_connections = self.num_stale = 0
        self._token, self._ca_file, self._max_reply_bytes = token, ca_file, max_reply_bytes
        self._metadata: dict[str, Any] = {}
        self._connection: ClientConnection | None = None
        self._open = contextlib.ExitStack()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def plan(self, observation: "action_images.robot.Observation") -> "action_images.robot.Plan":
        """The server's plan for this observation (no batch axes); needs torch.

        Raises Refused, Late or Unreachable (all ServingError) if there is none, WeightsChanged for a policy
        other than `serves`, and ValueError for a batch.
        """
        from action_images.serving.tensors import plan_from_reply, request_from_observation

        asked = {"action_format": self.actions, "confidence": True, "imagined": self.imagined}
        # Servers of openpi's protocol, and our older ones, do not know this field, so it is sent only if set.
        asked |= {} if self.known_words is None else {"known_words": self.known_words}
        reply = self.infer(request_from_observation(observation, self.calibration, **asked))
        for sentence in reply.warnings:
            warnings.warn(f"{self.uri}: {sentence}", stacklevel=2)
        return plan_from_reply(reply, self.actions, observation.world_from_tool)

    def infer(self, request: Request) -> Reply:
        """The server's answer to a request, in numpy. The request's number and time limit are set here.

        Raises as `plan` does.
        """
        left = self.timeout_s
        with self._lock:
            for attempt in (1, 2):
                connection = self._connected()
                began = time.monotonic()
                try:
                    return self._ask(connection, request, left)
                except ConnectionClosed as closed:
                    self._disconnect()
                    _raise_if_final(closed, self.uri)
                    left -= time.monotonic() - began
                    if attempt == 2:
                        raise Unreachable(
                            f"{self.uri}: the connection was lost twice while a plan was awaited ({closed})"
                        ) from closed
                except BaseException:
                    # Answers still to come on this connection must not be taken for a later request's answer.
                    self._disconnect()
                    raise
        raise AssertionError("both attempts end above")

    @property
    def metadata(self) -> dict[str, Any]:
        """The server's metadata; connects if needed."""
        with self._lock:
            self._connected()
            return self._metadata

    def close(self) -> None:
        """Close the connection; the next request connects again."""
        with self._lock:
            self._connection = None
            self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        kept = {
            name: value for name, value in vars(self).items() if name not in ("_connection", "_open", "_lock")
        }
        return {**kept, "_numbers": itertools.count(1)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _connection=None, _open=contextlib.ExitStack(), _lock=threading.Lock())

    def _ask(self, connection: ClientConnection, request: Request, left: float) -> Reply:
        """The answer within `left` seconds."""
        deadline = time.monotonic() + left
        seq = next(self._numbers)
        numbered = replace(request, seq=seq, timeout_ms=1e3 * max(left, 1e-3))
        connection.send(encode(numbered.to_message()))
        while True:
            frame = self._wait(connection, deadline)
            if isinstance(frame, str):
                raise Refused(f"{self.uri}: {frame.strip()[:1000]}")
            reply = Reply.from_message(decode(frame))
            # A server that echoes no numbers answers in order, and this connection has no abandoned request.
            if reply.seq == seq or (reply.seq is None and self._metadata.get("server") != "action-images"):
                self._check_format(reply)
                return reply
            self.num_stale += 1

    def _wait(self, connection: ClientConnection, deadline: float) -> bytes | str:
        try:
            return connection.recv(timeout=max(deadline - time.monotonic(), 0))
        except TimeoutError:
            raise Late(
                f"{self.uri}: no plan within {self.timeout_s:g} s; is the policy slower than that, or the "
                "network down?"
            ) from None

    def _check_format(self, reply: Reply) -> None:
        if reply.action_format not in (None, self.actions):
            raise WireError(f"{self.uri}: asked for actions as '{self.actions}', got '{reply.action_format}'")

    def _connected(self) -> ClientConnection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> ClientConnection:
        deadline, pause = time.monotonic() + self.connect_s, FIRST_PAUSE_S
        while True:
            try:
                return self._try_to_connect(max(deadline - time.monotonic(), 0.1))
            except (OSError, InvalidHandshake, ConnectionClosed) as error:
                if isinstance(error, ServingError):
                    raise
                _raise_if_final(error, self.uri)
                if time.monotonic() + pause > deadline:
                    why = str(error) or type(error).__name__
                    sentence = f"{self.uri}: no policy server answers within {self.connect_s:g} s ({why})"
                    raise Unreachable(
                        f"{sentence}; is it started, and are address and port right?"
                    ) from error
            # Robots that lost the same server must not all reconnect at the same moment.
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _try_to_connect(self, timeout_s: float) -> ClientConnection:
        opening = connect(
            self.uri,
            ssl=ssl.create_default_context(cafile=self._ca_file) if self.uri.startswith("wss:") else None,
            additional_headers={"Authorization": f"Bearer {self._token}"}
            if self._token is not None
            else None,
            open_timeout=timeout_s,
            close_timeout=1,
            compression=None,
            proxy=None,
            max_size=self._max_reply_bytes,
        )
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(opening)
            _limit_sending(connection.socket, self.timeout_s)
            metadata = _read_metadata(connection.recv(timeout=timeout_s), self.uri)
            before, now = self._metadata.get("policy"), metadata.get("policy")
            if self.serves is not None and now != self.serves:
                raise WeightsChanged(
                    f"{self.uri}: now serves '{now}', no longer '{self.serves}': serve '{self.serves}' again "
                    f"and repeat the command, or give '{now}' results of its own"
                )
            if self._metadata and before != now:
                warnings.warn(f"{self.uri}: now serves '{now}', before '{before}'", stacklevel=2)
            self._metadata = metadata
            self._open = opened.pop_all()
        self.num_connections += 1
        return connection

    def _disconnect(self) -> None:
        """Drop the connection at once, in any state."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                # Otherwise a peer that stopped reading would block the closing handshake.
                connection.socket.shutdown(socket.SHUT_RDWR)
            self._open.close()


def _read_metadata(frame: bytes | str, uri: str) -> dict[str, Any]:
    if isinstance(frame, str):
        raise Refused(f"{uri}: {frame.strip()[:1000]}")
    try:
        metadata = decode(frame)
    except WireError as error:
        raise Unreachable(
            f"{uri}: this is no policy server in openpi's protocol: its first frame is not its metadata "
            f"({error})"
        ) from error
    if not isinstance(metadata, dict):
        raise Unreachable(
            f"{uri}: this is no policy server in openpi's protocol: its first frame is not its metadata"
        )
    if metadata.get("server") == "action-images" and metadata.get("protocol") != PROTOCOL:
        raise Unreachable(
            f"{uri}: the server speaks protocol {metadata.get('protocol')}, this client {PROTOCOL}; update "
            "the older one"
        )
    return metadata


def _raise_if_final(error: Exception, uri: str) -> None:
    """Raise an error with one sentence if another attempt would fail in the same way."""
    if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == 1009:
        raise Refused(
            f"{uri}: the observation is larger than the server accepts; send smaller or fewer images"
        ) from error
    if isinstance(error, InvalidStatus) and error.response.status_code in (401, 403):
        raise Refused(
            f"{uri}: the server does not accept the token (or asks for one); pass token=..."
        ) from error
    if isinstance(error, ssl.SSLCertVerificationError):
        raise Unreachable(
            f"{uri}: the server's certificate is not trusted ({error.verify_message}); pass ca_file=..."
        ) from error


def _limit_sending(sock: socket.socket, timeout_s: float) -> None:
    """Make a send fail if it waits longer than this for the peer to read; receiving has its own limits."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, send_limit(timeout_s, sys.platform))


def send_limit(timeout_s: float, platform: str) -> bytes:
    """A time for SO_SNDTIMEO: seconds and microseconds (timeval), on Windows milliseconds (DWORD).

    It is never 0, which would mean no limit.
    """
    if platform == "win32":
        return struct.pack("<L", max(1, round(1e3 * timeout_s)))
    return struct.pack("ll", int(timeout_s), max(1, int(timeout_s % 1 * 1e6)))
