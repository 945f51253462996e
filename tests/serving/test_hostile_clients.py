"""Clients that take and do not give: what they cost stays bounded, and the others are served."""

import io
import json
import logging
import os
import resource
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from serving_policies import PATIENCE_S, Moody, running
from test_policy_server import get, handshaken, message, raw, sample, serves, wait_until

from action_images.errors import ActionImagesError
from action_images.serving.connections import MAX_FRAGMENTS, affordable_connections
from action_images.serving.limits import Limits
from action_images.serving.log import LIBRARIES, LOG, to_stream
from action_images.serving.protocol import decode

PING = b"\x89\xfd" + bytes(4) + b"a" * 125
EMPTY_FRAGMENT = b"\x00\x80" + bytes(4)


def memory_mb() -> float:
    """What this process has asked for."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("RssAnon"))


def sent_until_cut_off(plain: socket.socket, data: bytes, most: int) -> int:
    """How many bytes went out before the server hung up; at most so many are sent."""
    sent = 0
    try:
        while sent < most:
            plain.sendall(data)
            sent += len(data)
    except (ConnectionError, TimeoutError):
        pass
    return sent


def test_pings_that_nobody_reads_the_answers_to_are_cut_off():
    with running(Moody) as server, handshaken(server, receive_bytes=4096) as plain:
        before, most = memory_mb(), 400_000_000
        assert sent_until_cut_off(plain, PING * 1000, most) < most
        assert memory_mb() - before < 50
        wait_until(
            lambda: sample(server, "action_images_turned_away_total", reason="slow") == 1, "it is counted"
        )
        assert serves(server)


def test_a_client_that_reads_its_pongs_may_ping_as_it_likes():
    with running(Moody) as server, handshaken(server) as plain:
        for _ in range(300):
            plain.sendall(PING)
            left = len(PING) - 4
            while left:
                left -= len(plain.recv(left))
        assert sample(server, "action_images_turned_away_total", reason="slow") == 0


def test_messages_of_endless_empty_fragments_are_cut_off():
    with running(Moody) as server, handshaken(server) as plain:
        first = b"\x02\x80" + bytes(4)
        plain.sendall(first)
        most = 200 * MAX_FRAGMENTS * len(EMPTY_FRAGMENT)
        assert sent_until_cut_off(plain, EMPTY_FRAGMENT * 1000, most) < most
        assert serves(server)


def test_silent_connections_are_counted_before_they_say_anything():
    limits = Limits(max_clients=4, grace_s=1)
    with running(Moody, limits=limits) as server, raw(server) as connection:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
        try:
            before = sample(server, "action_images_turned_away_total", reason="full")
            wait_until(
                lambda: sample(server, "action_images_turned_away_total", reason="full") >= 70, "they are cut"
            )
            assert before <= 100 - limits.max_connections + 8
            # Whoever was there before is served meanwhile.
            connection.send(message())
            assert decode(connection.recv(timeout=PATIENCE_S))["actions"].shape == (8, 8)
        finally:
            for one in silent:
                one.close()
        wait_until(lambda: get_status(server) == 200, "there is room again")


def get_status(server) -> int:
    """The health check, or 0 where the server hangs up."""
    try:
        return get(server, "/healthz")[0]
    except OSError:
        return 0


def test_connections_fit_into_the_limit_of_open_files():
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert affordable_connections(48, 16) == 48
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64));"
        "from action_images.serving.connections import affordable_connections;"
        "print(affordable_connections(48, 16)); affordable_connections(300, 100)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.stdout == "32\n"
    assert "64 open files are too few for 100 clients" in ended.stderr
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft


def test_too_few_open_files_are_a_users_mistake():
    with pytest.raises(ActionImagesError, match="lower --max-clients"):
        affordable_connections(10**9, 10**9)


@dataclass(frozen=True)
class Noisy(Moody):
    """Prints, warns and writes where libraries do."""

    def plan(self, seen):
        """The plan, with noise."""
        print("a progress bar")
        os.write(2, b"no json at all\n" + b"x" * 100_000 + b"\n")
        logging.getLogger("some.library").warning("about something")
        return super().plan(seen)


@pytest.fixture
def log():
    """The server's log of this test."""
    stream = io.StringIO()
    before = {name: list(logging.getLogger(name).handlers) for name in (LOG.name, *LIBRARIES)}
    handler = to_stream(stream)
    yield stream
    logging.captureWarnings(False)
    for name, handlers in before.items():
        logger = logging.getLogger(name)
        logger.removeHandler(handler)
        logger.handlers = handlers


def lines(log: io.StringIO) -> list[dict]:
    """What was logged; each line is one JSON object, or this raises."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_what_the_policys_process_prints_is_json_too(log):
    with running(Noisy) as server:
        assert serves(server)
        wait_until(lambda: "no json at all" in log.getvalue(), "it is heard")
    said = [line for line in lines(log) if line["event"] == "policy says"]
    assert said[0]["pid"] > 0
    assert all(len(line["text"]) < 400 for line in said)


def test_what_clients_send_does_not_fill_the_log(log):
    limits = Limits(max_per_second=1e6, grace_s=1)
    with running(Moody, limits=limits) as server, raw(server) as connection:
        for _ in range(300):
            connection.send("x" * 2000)
            connection.recv(timeout=PATIENCE_S)
        connection.send(message("refuse " + "z" * 1900))
        connection.recv(timeout=PATIENCE_S)
    refused = [line for line in lines(log) if line["event"] == "frame refused"]
    assert 1 <= len(refused) < 100
    assert max(len(line) for line in log.getvalue().splitlines()) < 6000


def test_warnings_of_libraries_come_at_most_once_a_second(log):
    start = time.monotonic()
    for _ in range(1000):
        logging.getLogger("asyncio").error("socket.accept() out of system resource")
    assert len(lines(log)) <= 2 + time.monotonic() - start


def test_a_client_that_reads_nothing_does_not_hold_a_shutdown():
    with running(Moody, limits=Limits(grace_s=1)) as server:
        plain = handshaken(server)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 30
    plain.close()


def test_clients_that_come_and_go_do_not_fill_the_log(log):
    with running(Moody) as server:
        for _ in range(60):
            with raw(server):
                pass
    came, went = (
        [line for line in lines(log) if line["event"] == f"client {how}"] for how in ("came", "went")
    )
    assert 5 <= len(came) < 40
    assert {line["client"] for line in went} <= {line["client"] for line in came}
