"""Clients that take and do not give, all at once, against a real server that others want to use meanwhile."""

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from action_images.serving.client import RemotePolicy, ServingError
from action_images.serving.messages import Request
from action_images.serving.protocol import encode

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = b"\x89\xfd" + bytes(4) + b"a" * 125
EMPTY_FRAGMENT = b"\x00\x80" + bytes(4)
MAX_GROWTH_MB = 150.0
"""What the server may take beyond what it took for its first answer."""
MAX_LOG_BYTES_A_S = 4000.0
STOP_S = 15.0
LEAST_ANSWERED = 0.95


@dataclass
class Served:
    """What was seen of the server under attack."""

    seconds: float = 0.0
    first_mb: float = 0.0
    half_mb: float = 0.0
    last_mb: float = 0.0
    peak_mb: float = 0.0
    each_minute_mb: list[float] = field(default_factory=list)
    """What it took at the end of each minute."""
    log_bytes: int = 0
    stopped_s: float | None = None
    asked: int = 0
    answered: int = 0
    attacks: dict[str, int] = field(default_factory=dict)
    """How often each kind of client was cut off or came to its end."""
    wrong: list[str] = field(default_factory=list)


def attack(scratch: Path, seconds: float, seed: int) -> Served:
    """Let all kinds of bad clients at a server for so long, and ask it as a good one."""
    seen, log, over = Served(seconds), scratch / "serve.log", threading.Event()
    scratch.mkdir(parents=True)
    command = [sys.executable, "-m", "action_images", "serve", "--policy", "hold", "--port", "0"]
    with log.open("wb") as stream:
        server = subprocess.Popen(command, stderr=stream, stdout=subprocess.DEVNULL)
    try:
        port = _port(log, server)
        threads = [
            threading.Thread(
                target=_again_and_again, args=(kind, port, over, seen, random.Random(f"{seed} {n}"))
            )
            for n, kind in enumerate(BAD)
        ]
        for thread in threads:
            thread.start()
        _watch(server.pid, port, over, seen)
        over.set()
        for thread in threads:
            thread.join(30)
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(4 * STOP_S)
            seen.stopped_s = round(time.monotonic() - began, 1)
    finally:
        over.set()
        server.kill()
        server.wait()
    _judge(seen, log)
    return seen


def _port(log: Path, server: subprocess.Popen) -> int:
    while server.poll() is None:
        for line in log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                if (said := json.loads(line))["event"] == "listening":
                    return said["port"]
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text()}")


def _watch(pid: int, port: int, over: threading.Event, seen: Served) -> None:
    """Ask once a second as a good client does, and look at the memory."""
    starts = time.monotonic()
    ends, policy = starts + seen.seconds, None
    while time.monotonic() < ends and not over.is_set():
        began = time.monotonic()
        seen.asked += 1
        try:
            policy = policy or RemotePolicy(
                f"ws://127.0.0.1:{port}", timeout_s=10.0, connect_s=10.0, actions="pose"
            )
            policy.infer(_request())
            seen.answered += 1
        except ServingError:
            policy = None
        now_mb = _memory_mb(pid)
        seen.first_mb = seen.first_mb or now_mb
        seen.half_mb = seen.half_mb if began > ends - seen.seconds / 2 else now_mb
        seen.last_mb, seen.peak_mb = now_mb, max(seen.peak_mb, now_mb)
        if began - starts >= 60 * (len(seen.each_minute_mb) + 1):
            seen.each_minute_mb.append(now_mb)
        time.sleep(max(0.0, began + 1 - time.monotonic()))
    if policy is not None:
        policy.close()


def _judge(seen: Served, log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()
    seen.log_bytes = log.stat().st_size
    if strange := [line for line in lines if not _is_json(line)]:
        seen.wrong.append(f"{len(strange)} lines of the log are no JSON, the first {strange[0][:100]}")
    if any("traceback" in line for line in lines):
        seen.wrong.append("a traceback in the log")
    if seen.peak_mb - seen.first_mb > MAX_GROWTH_MB:
        seen.wrong.append(f"memory grew from {seen.first_mb:.0f} to {seen.peak_mb:.0f} MB")
    if seen.log_bytes > MAX_LOG_BYTES_A_S * seen.seconds:
        seen.wrong.append(f"the log has {seen.log_bytes} bytes")
    if seen.answered < LEAST_ANSWERED * seen.asked:
        seen.wrong.append(f"a good client got {seen.answered} answers to {seen.asked} questions")
    if seen.stopped_s is None or seen.stopped_s > STOP_S:
        seen.wrong.append(f"SIGTERM ended it after {seen.stopped_s} s")


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _memory_mb(pid: int) -> float:
    """Of the server's own process and of the policy's."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for one in (str(pid), *children):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{one}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    return total / 1024


def _request() -> Request:
    pose = np.eye(4, dtype=np.float32)
    pose[2, 3] = 1.0
    return Request(
        images=np.zeros((2, 64, 64, 3), np.uint8),
        prompt="stay",
        world_from_tool=pose,
        opening=1.0,
        intrinsics=np.stack([np.array([[64.0, 0, 32], [0, 64, 32], [0, 0, 1]], np.float32)] * 2),
        world_from_camera=np.stack([np.eye(4, dtype=np.float32)] * 2),
        action_format="pose",
    )


Client = Callable[[int, threading.Event, random.Random], None]
"""One bad client, from its connection until it is cut off, gives up, or all is over."""


def _again_and_again(
    kind: Client, port: int, over: threading.Event, seen: Served, rng: random.Random
) -> None:
    name = kind.__name__.strip("_").replace("_", " ")
    while not over.is_set():
        with contextlib.suppress(OSError):
            kind(port, over, rng)
        seen.attacks[name] = seen.attacks.get(name, 0) + 1
        over.wait(0.05)


@contextlib.contextmanager
def _connected(port: int, *, shakes_hands: bool = True, receive_bytes: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as plain:
        if receive_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        plain.settimeout(15)
        plain.connect(("127.0.0.1", port))
        if shakes_hands:
            plain.sendall(HANDSHAKE)
        yield plain


def _pings_without_reading(port: int, over: threading.Event, _: random.Random) -> None:
    with _connected(port, receive_bytes=4096) as plain:
        while not over.is_set():
            plain.sendall(PING * 100)
            time.sleep(0.001)


def _empty_fragments(port: int, over: threading.Event, _: random.Random) -> None:
    with _connected(port) as plain:
        plain.sendall(b"\x02\x80" + bytes(4))
        while not over.is_set():
            plain.sendall(EMPTY_FRAGMENT * 100)
            time.sleep(0.001)


def _silent_connections(port: int, over: threading.Event, _: random.Random) -> None:
    with contextlib.ExitStack() as many:
        for _ in range(30):
            many.enter_context(_connected(port, shakes_hands=False))
        over.wait(20)


def _half_handshakes(port: int, over: threading.Event, rng: random.Random) -> None:
    with _connected(port, shakes_hands=False) as plain:
        plain.sendall(HANDSHAKE[: rng.randrange(len(HANDSHAKE))])
        over.wait(2)


def _slow_senders(port: int, over: threading.Event, _: random.Random) -> None:
    """A large frame, a few bytes at a time."""
    with _connected(port) as plain:
        plain.sendall(b"\x82\xff" + (8_000_000).to_bytes(8, "big") + bytes(4))
        for _ in range(200):
            if over.is_set():
                return
            plain.sendall(bytes(20_000))
            time.sleep(0.1)


def _slow_readers(port: int, over: threading.Event, _: random.Random) -> None:
    """Good questions whose answers are never read."""
    frame = _frame(encode(_request().to_message()))
    with _connected(port, receive_bytes=4096) as plain:
        while not over.is_set():
            plain.sendall(frame)
            time.sleep(0.05)


def _garbage_frames(port: int, over: threading.Event, rng: random.Random) -> None:
    whole = encode(_request().to_message())
    with _connected(port) as plain:
        for _ in range(500):
            if over.is_set():
                return
            content = bytearray(whole if rng.random() < 0.7 else rng.randbytes(rng.randrange(2000)))
            for _ in range(rng.randint(0, 4)):
                if content:
                    content[rng.randrange(min(len(content), 400))] = rng.randrange(256)
            plain.sendall(_frame(bytes(content[: rng.randint(0, len(content))])))
            plain.recv(65536)
            time.sleep(0.01)


def _garbage_bytes(port: int, over: threading.Event, rng: random.Random) -> None:
    for _ in range(20):
        if over.is_set():
            return
        with _connected(port, shakes_hands=rng.random() < 0.5) as plain:
            plain.sendall(rng.randbytes(rng.randrange(1, 4000)))
            time.sleep(0.05)


def _huge_announcements(port: int, over: threading.Event, rng: random.Random) -> None:
    with _connected(port) as plain:
        plain.sendall(b"\x82\xff" + rng.randrange(1 << 24, 1 << 63).to_bytes(8, "big") + bytes(4))
        plain.sendall(bytes(100_000))
        over.wait(1)


def _come_and_go(port: int, over: threading.Event, _: random.Random) -> None:
    for _ in range(100):
        if over.is_set():
            return
        with _connected(port) as plain:
            plain.recv(100)


BAD: tuple[Client, ...] = (
    _pings_without_reading,
    _empty_fragments,
    _silent_connections,
    _half_handshakes,
    _slow_senders,
    _slow_readers,
    _garbage_frames,
    _garbage_bytes,
    _huge_announcements,
    _come_and_go,
)


def _frame(content: bytes) -> bytes:
    """A masked binary frame; a mask of zeros leaves the bytes as they are."""
    length = len(content)
    if length < 126:
        return b"\x82" + bytes([0x80 | length]) + bytes(4) + content
    if length < 1 << 16:
        return b"\x82\xfe" + length.to_bytes(2, "big") + bytes(4) + content
    return b"\x82\xff" + length.to_bytes(8, "big") + bytes(4) + content
