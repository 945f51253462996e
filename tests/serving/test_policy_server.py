"""The server under clients that behave and clients that do not: it stays up and answers the others."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_policies import (
    PATIENCE_S,
    Doors,
    Moody,
    Renamed,
    Winding,
    broken,
    counted,
    observation,
    running,
    uri,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from action_images.serving import answering
from action_images.serving.client import Refused, RemotePolicy, Unreachable
from action_images.serving.limits import Limits, Rate
from action_images.serving.protocol import decode, encode
from action_images.serving.request_queue import Line, Waiting
from action_images.serving.tensors import request_from_observation


@pytest.fixture(scope="module")
def server():
    with running(Moody) as running_server:
        yield running_server


@pytest.fixture
def gate(tmp_path: Path):
    """A file that is not there yet: the instruction `wait GATE` is planned until a test touches it, not for
    some time."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()


@contextlib.contextmanager
def raw(server):
    """A plain websocket that has read the metadata."""
    with connect(
        uri(server), compression=None, max_size=None, proxy=None, open_timeout=PATIENCE_S
    ) as connection:
        connection.recv(timeout=PATIENCE_S)
        yield connection


def message(instruction: str = "hold", **fields) -> bytes:
    return encode(request_from_observation(observation(instruction=instruction), **fields).to_message())


def wait_until(true, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.01)


def plans(server) -> bool:
    return server.answering.policy is not None and server.answering.policy.is_busy


def serves(server) -> bool:
    with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
        return policy.plan(observation()).trajectory.num_frames == 8


def sample(server, name: str, **labels: str) -> float:
    return server.metrics.registry.get_sample_value(name, labels)


def get(server, path: str, **headers) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_first_frame_says_what_the_numbers_mean(server):
    with connect(uri(server), proxy=None, open_timeout=PATIENCE_S) as connection:
        metadata = decode(connection.recv(timeout=PATIENCE_S))
    assert metadata["server"] == "action-images"
    assert metadata["image_size"] is None
    assert metadata["fps"] is None
    assert metadata["calibrations"] == {"table": {"views": 2, "size": [32, 48]}}
    assert metadata["action_formats"]["pose"]["columns"] == ["x", "y", "z", "qx", "qy", "qz", "qw", "opening"]
    assert metadata["action_formats"]["pose"]["units"][:3] == ["m", "m", "m"]
    assert metadata["default_action_format"] == "pose"


def test_health_and_metrics_are_plain_http(server):
    assert get(server, "/healthz") == (200, "OK\n")
    assert serves(server)
    status, text = get(server, "/metrics")
    assert status == 200
    assert 'action_images_observations_total{outcome="answered"}' in text
    assert "action_images_ready 1.0" in text


def test_a_web_page_may_not_connect(server):
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(uri(server), origin="http://evil.example", proxy=None, open_timeout=PATIENCE_S),
    ):
        pass


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("hello", "binary frame"),
        (b"", "ends before"),
        (b"\xc1" * 100, "not used here"),
        (encode({"observation": 1}), "unknown field 'observation'"),
        (message("refuse"), "this policy wants three views"),
        (message("unsure 0"), "does not know where to go"),
        (message(calibration="../../etc/passwd"), "holds no calibration"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_sentence_and_the_connection_lives(server, frame, says):
    with raw(server) as connection:
        connection.send(frame)
        answer = connection.recv(timeout=PATIENCE_S)
        assert isinstance(answer, str)
        assert says in answer
        assert "Traceback" not in answer
        assert "\n" not in answer
        connection.send(message())
        assert decode(connection.recv(timeout=PATIENCE_S))["actions"].shape == (8, 8)


def test_a_failing_policy_shows_nothing_of_the_server(server):
    with raw(server) as connection:
        connection.send(message("fail"))
        answer = connection.recv(timeout=PATIENCE_S)
    assert answer == "the policy failed on this observation; the server's log says why"


def test_timing_is_told(server):
    with raw(server) as connection:
        for _ in range(2):
            connection.send(message())
            timing = decode(connection.recv(timeout=PATIENCE_S))["server_timing"]
    assert 0 <= timing["infer_ms"] <= timing["total_ms"]
    assert timing["prev_total_ms"] > 0


def test_a_number_comes_back(server):
    with raw(server) as connection:
        connection.send(message(seq=2**40))
        assert decode(connection.recv(timeout=PATIENCE_S))["seq"] == 2**40


def test_the_newest_observation_of_a_client_wins(server, gate):
    superseded = counted(server, "superseded")
    with raw(server) as connection:
        connection.send(message(f"wait {gate}", seq=0))
        wait_until(lambda: plans(server), "the policy plans")
        for seq in range(1, 6):
            connection.send(message(seq=seq))
        wait_until(
            lambda: counted(server, "superseded") == superseded + 4,
            "the newest has taken the place of the others",
        )
        gate.touch()
        assert [decode(connection.recv(timeout=PATIENCE_S))["seq"] for _ in range(2)] == [0, 5]


def test_an_answer_without_a_number_is_never_that_to_an_older_observation(server, gate):
    late = counted(server, "late")
    with raw(server) as connection:
        connection.send(message(f"wait {gate}"))
        wait_until(lambda: plans(server), "the policy plans")
        connection.send(message("unsure 3"))
        wait_until(lambda: len(server.answering.line) == 1, "the newer one has come")
        gate.touch()
        assert decode(connection.recv(timeout=PATIENCE_S))["actions"].shape == (3, 8)
    assert counted(server, "late") == late + 1


def test_what_nobody_waits_for_any_more_is_not_planned(server, gate):
    expired = counted(server, "expired")
    with raw(server) as slow, raw(server) as impatient:
        slow.send(message(f"wait {gate}"))
        wait_until(lambda: plans(server), "the policy plans")
        impatient.send(message(timeout_ms=1.0))
        wait_until(lambda: len(server.answering.line) == 1, "the impatient one waits")
        time.sleep(0.01)
        gate.touch()
        decode(slow.recv(timeout=PATIENCE_S))
        wait_until(lambda: counted(server, "expired") == expired + 1, "the observation expired")


def test_eight_clients_at_once_are_all_answered(server):
    shapes: list[tuple[int, ...]] = []

    def ask() -> None:
        with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
            shapes.extend(policy.plan(observation()).trajectory.opening.shape for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert shapes == [(8,)] * 80


def handshaken(server, receive_bytes: int | None = None) -> socket.socket:
    """A socket after the websocket handshake, for frames that no library would send; its buffer may be made
    small."""
    plain = socket.socket()
    plain.settimeout(PATIENCE_S)
    if receive_bytes is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    plain.connect(("127.0.0.1", server.port))
    plain.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert plain.recv(12) == b"HTTP/1.1 101"
    return plain


def test_clients_that_vanish_in_the_middle_of_a_frame_harm_nobody(server, gate):
    for _ in range(10):
        with handshaken(server) as plain:
            plain.sendall(b"\x82\xff" + (1_000_000).to_bytes(8, "big") + b"mask" + b"x" * 5000)
    for _ in range(10):
        with raw(server) as connection:
            connection.send(message(f"wait {gate}"))
            connection.socket.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: not server._clients, "the server has forgotten them")
    assert len(server.answering.line) == 0
    gate.touch()
    assert serves(server)


@settings(max_examples=25)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_frames_harm_nobody(server, junk: bytes):
    with handshaken(server) as plain:
        plain.sendall(junk)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as plain:
        plain.sendall(junk)
    assert get(server, "/healthz")[0] == 200


@settings(max_examples=25)
@given(st.binary(max_size=200))
def test_frames_of_any_bytes_are_answered_and_harm_nobody(server, junk: bytes):
    with raw(server) as connection:
        connection.send(junk)
        assert isinstance(connection.recv(timeout=PATIENCE_S), str)


def test_a_policy_that_is_killed_is_started_again_and_the_waiting_client_is_told(server, gate):
    old = server.policy_pid
    with raw(server) as connection, raw(server) as other:
        connection.send(message(f"wait {gate}"))
        wait_until(lambda: plans(server), "the policy plans")
        other.send(message())
        os.kill(old, signal.SIGKILL)
        assert "the policy's process ended" in connection.recv(timeout=PATIENCE_S)
        assert decode(other.recv(timeout=PATIENCE_S))["actions"].shape == (8, 8)
        assert server.policy_pid != old
    assert serves(server)


def test_a_policy_with_other_weights_after_a_crash_is_told_by_its_name(tmp_path):
    (tmp_path / "name").write_text("run-1111")
    with (
        running(Renamed(tmp_path / "name")) as server,
        raw(server) as old,
        RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy,
    ):
        assert policy.metadata["policy"] == "run-1111"
        (tmp_path / "name").write_text("run-2222")
        os.kill(server.policy_pid, signal.SIGKILL)
        with pytest.raises(ConnectionClosed, match=r"1012.*has other weights"):
            old.recv(timeout=PATIENCE_S)
        with pytest.warns(UserWarning, match="now serves 'run-2222', before 'run-1111'"):
            policy.plan(observation())
        assert policy.metadata["policy"] == "run-2222"


def test_while_its_policy_starts_again_a_server_is_not_healthy_and_who_asks_waits(tmp_path):
    with running(Doors(tmp_path)) as server, raw(server) as connection:
        (tmp_path / "shut").touch()
        (tmp_path / "broken").touch()
        os.kill(server.policy_pid, signal.SIGKILL)
        wait_until(lambda: get(server, "/healthz")[0] == 503, "it says so")
        connection.send(message(seq=1))
        (tmp_path / "shut").unlink()
        wait_until((tmp_path / "tried").exists, "the first attempt has failed")
        (tmp_path / "broken").unlink()
        assert decode(connection.recv(timeout=PATIENCE_S))["seq"] == 1
        assert get(server, "/healthz")[0] == 200


def test_who_asks_again_keeps_the_turn():
    line, first, second = Line(), object(), object()

    def waiting(client: object, number: int) -> Waiting:
        return Waiting(client, b"", number, None, 0.0, float("inf"))

    async def turns() -> list[Waiting]:
        return [await line.next() for _ in range(2)]

    assert line.put(waiting(first, 1)) is None
    assert line.put(waiting(second, 1)) is None
    older = line.put(waiting(first, 2))
    assert older is not None
    assert older.number == 1
    assert [(one.client, one.number) for one in asyncio.run(turns())] == [(first, 2), (second, 1)]


def test_a_policy_that_dies_while_nobody_asks_is_started_again(server):
    old = server.policy_pid
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: server.policy_pid != old and server.answering.ready.is_set(), "it is started again")
    assert serves(server)


def test_limits_hold(gate):
    # One frame, and the next after a hundred seconds: no clock of this test comes near.
    limits = Limits(
        max_message_bytes=50_000,
        max_clients=2,
        max_per_second=0.01,
        plan_s=PATIENCE_S,
        send_s=PATIENCE_S,
        grace_s=1,
    )
    with running(Moody, limits=limits) as server:
        with raw(server) as connection:
            with contextlib.suppress(ConnectionClosed):
                connection.send(bytes(60_000))
            with pytest.raises(ConnectionClosed, match="1009"):
                connection.recv(timeout=PATIENCE_S)
        with (
            RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy,
            pytest.raises(Refused, match="larger than the server accepts"),
        ):
            policy.plan(observation(size=(256, 256)))
        wait_until(lambda: not server._clients, "they are gone")

        turned_away, served = partial(sample, server, "action_images_turned_away_total", reason="full"), []
        with raw(server), raw(server):
            with pytest.raises(InvalidStatus, match="503"), raw(server):
                pass
            with pytest.raises(Unreachable):
                RemotePolicy(uri(server), connect_s=0.5).plan(observation())
            before = turned_away()
            patient = threading.Thread(target=lambda: served.append(serves(server)))
            patient.start()
            wait_until(lambda: turned_away() > before, "one more has been turned away")
        patient.join(PATIENCE_S)
        assert served == [True]
        wait_until(lambda: not server._clients, "they are gone")

        with raw(server) as connection:
            for _ in range(8):
                connection.send(b"")
            answers = [connection.recv(timeout=PATIENCE_S) for _ in range(8)]
            assert ["a client may send 0.01 a second" in answer for answer in answers] == [False] + [True] * 7

        server.answering.limits = replace(limits, plan_s=1)
        with raw(server) as connection:
            connection.send(message(f"wait {gate}"))
            assert "longer than 1 s" in connection.recv(timeout=PATIENCE_S)
        server.answering.limits = limits
        assert serves(server)


def test_a_client_that_takes_no_answers_is_cut_off_and_the_others_are_served():
    limits = Limits(max_per_second=1e6, send_s=1, grace_s=1)
    with running(Winding, limits=limits) as server, handshaken(server, receive_bytes=4096) as plain:
        # Pictures come back by the megabyte, and nobody reads them.
        big = encode(
            request_from_observation(observation(size=(256, 256)), imagined=True, seq=1).to_message()
        )
        plain.sendall(b"\x82\xff" + len(big).to_bytes(8, "big") + bytes(4) + big)
        wait_until(
            lambda: sample(server, "action_images_turned_away_total", reason="slow") == 1, "it is cut off"
        )
        assert serves(server)


def test_only_those_with_the_token_are_served():
    with running(Moody, token="correct horse battery staple") as server:
        for wrong in (None, "correct horse battery stapl", ""):
            with pytest.raises(Refused, match="token"):
                RemotePolicy(uri(server), token=wrong, connect_s=PATIENCE_S).plan(observation())
        assert get(server, "/healthz")[0] == 200
        assert get(server, "/metrics")[0] == 401
        assert get(server, "/metrics", Authorization="Bearer correct horse battery staple")[0] == 200
        with RemotePolicy(uri(server), token="correct horse battery staple", timeout_s=PATIENCE_S) as policy:
            assert policy.plan(observation()).trajectory.num_frames == 8


def test_tls_is_spoken_and_certificates_are_checked(tmp_path, monkeypatch):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += [
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with running(Moody, tls=context) as server:
        address = f"wss://localhost:{server.port}"
        with RemotePolicy(address, ca_file=str(cert), timeout_s=PATIENCE_S) as policy:
            assert policy.plan(observation()).trajectory.num_frames == 8
        with pytest.raises(Unreachable, match="certificate is not trusted"):
            RemotePolicy(address, connect_s=PATIENCE_S).plan(observation())
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        with RemotePolicy(address, timeout_s=PATIENCE_S) as policy:
            assert policy.plan(observation()).trajectory.num_frames == 8


def test_a_shutdown_lets_the_current_plan_be_answered_and_takes_no_new_clients(gate):
    answers = []

    def open_when_it_stops() -> None:
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            while True:
                socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S).close()
                time.sleep(0.01)
        gate.touch()

    with (
        contextlib.ExitStack() as held,
        running(Moody, limits=Limits(max_clients=64, grace_s=PATIENCE_S)) as server,
    ):
        connection = held.enter_context(
            connect(uri(server), compression=None, proxy=None, open_timeout=PATIENCE_S)
        )
        connection.recv(timeout=PATIENCE_S)
        connection.send(message(f"wait {gate}"))
        wait_until(lambda: plans(server), "the policy plans")
        threads = [threading.Thread(target=lambda: answers.append(connection.recv(timeout=PATIENCE_S)))]
        threads.append(threading.Thread(target=open_when_it_stops))
        for thread in threads:
            thread.start()
        pid = server.policy_pid
    for thread in threads:
        thread.join(PATIENCE_S)
    assert decode(answers[0])["actions"].shape == (8, 8)
    with pytest.raises(ConnectionClosed):
        connection.recv(timeout=PATIENCE_S)
    assert not os.path.exists(f"/proc/{pid}")


def test_a_policy_that_cannot_be_opened_is_said_at_once():
    with pytest.raises(ValueError, match="there are no weights here"), running(broken):
        pass


@pytest.mark.parametrize("fails", ["the channel", "the log"])
def test_a_start_that_fails_after_the_process_began_leaves_no_process(monkeypatch, fails: str):
    async def no_channel(*_, **__):
        raise OSError("no space left on device")

    def no_log(*_, **__):
        raise OSError("no space left on device")

    before = set(multiprocessing.active_children())
    if fails == "the channel":
        monkeypatch.setattr(asyncio, "open_connection", no_channel)
    else:
        monkeypatch.setattr(answering, "event", no_log)
    with pytest.raises(OSError, match="no space left"), running(Moody):
        pass
    assert set(multiprocessing.active_children()) == before


def test_requests_leave_neither_memory_nor_threads_nor_files(server):
    def use() -> tuple[int, int]:
        pids = (os.getpid(), server.policy_pid)
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids), threading.active_count()

    def memory_kb() -> int:
        # What the process itself has asked for: pages of files come and go with what others do here.
        status = Path(f"/proc/{server.policy_pid}/status").read_text()
        return sum(int(status.split(f"{name}:")[1].split()[0]) for name in ("RssAnon", "VmSwap"))

    def ask(num: int) -> None:
        for _ in range(num):
            with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
                for _ in range(10):
                    policy.plan(observation())
        wait_until(lambda: not server._clients, "all are gone")

    ask(10)
    before, at_first = use(), memory_kb()
    ask(20)
    wait_until(
        lambda: all(now <= then for now, then in zip(use(), before, strict=True)),
        "all files and threads are given back",
    )
    assert memory_kb() - at_first < 5000


@given(st.floats(1, 50), st.integers(1, 200))
def test_a_rate_lets_no_more_pass_than_it_says(per_second: float, num: int):
    rate = Rate(per_second)
    start = time.monotonic()
    passed = sum(rate.allows() for _ in range(num))
    assert passed <= per_second * (1 + time.monotonic() - start) + 1e-6
    assert passed >= min(num, int(per_second))


def test_limits_must_be_positive():
    with pytest.raises(ValueError, match="max_clients must be positive"):
        Limits(max_clients=0).check()


def test_the_observations_bytes_are_what_the_policy_sees(server):
    seen = observation(9, "hold")
    with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
        plan = policy.plan(seen)
    assert torch.equal(plan.trajectory.world_from_tool.rotation[0], seen.world_from_tool.rotation)
    assert np.array_equal(plan.trajectory.opening.numpy(), np.full(8, seen.opening.item(), np.float32))
