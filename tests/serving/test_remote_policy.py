"""RemotePolicy: the very plan of the policy behind the wire, or one clear error in time; no old plan."""

import contextlib
import math
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgpack
import numpy as np
import pytest
import torch
from openpi_client import action_chunk_broker, msgpack_numpy, websocket_client_policy
from serving_policies import PATIENCE_S, Moody, Renamed, Winding, observation, running, uri
from websockets.sync.server import serve
from websockets.utils import accept_key

from action_images.cli import main
from action_images.control import Hold
from action_images.errors import ActionImagesError, WeightsChanged
from action_images.evaluation.closed_loop import EvaluationConfig, evaluate, judge
from action_images.evaluation.protocols import PROTOCOLS
from action_images.evaluation.trial import load_trials
from action_images.files.settings import load_settings
from action_images.geometry import rotation as rotations
from action_images.policies import DEFAULT_FPS, DEFAULT_SIZE, policy_named
from action_images.serving.client import (
    Late,
    Refused,
    RemotePolicy,
    ServingError,
    Unreachable,
    send_limit,
)
from action_images.serving.protocol import WireError
from action_images.serving.tensors import request_from_observation


@pytest.fixture(scope="module")
def server():
    with running(Winding) as running_server:
        yield running_server


@contextlib.contextmanager
def minimal_server(answer, metadata=b"\x80", sock: socket.socket | None = None):
    """A server written against openpi's protocol alone: a frame of metadata, then `answer(observation)` for
    each frame.

    An answer that is a list is sent as so many frames.
    """

    def handle(connection) -> None:
        connection.send(metadata)
        for frame in connection:
            replies = answer(msgpack_numpy.unpackb(frame))
            if replies is None:
                return
            for reply in replies if isinstance(replies, list) else [replies]:
                connection.send(reply if isinstance(reply, str | bytes) else msgpack_numpy.packb(reply))

    with serve(
        handle, sock=sock or socket.create_server(("127.0.0.1", 0)), compression=None, max_size=None
    ) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listening.socket.getsockname()[1]}"
        finally:
            listening.shutdown()
            thread.join()


def test_threads_that_share_a_policy_are_each_given_their_own_plan(server):
    seen = [observation(seed) for seed in range(8)] * 2
    with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy, ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(policy.plan, seen))
    local = [Winding().plan(one) for one in seen]
    assert all(
        torch.equal(plan.trajectory.opening, own.trajectory.opening)
        for plan, own in zip(plans, local, strict=True)
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_remote_plan_is_the_local_plan_bit_for_bit(server, seed: int):
    seen = observation(seed, "wind away")
    local = Winding().plan(seen)
    with RemotePolicy(uri(server), imagined=True, timeout_s=PATIENCE_S) as policy:
        remote = policy.plan(seen)
    for field in ("video", "confidence"):
        assert torch.equal(getattr(remote, field), getattr(local, field))
    assert torch.equal(remote.trajectory.world_from_tool.matrix(), local.trajectory.world_from_tool.matrix())
    assert torch.equal(remote.trajectory.opening, local.trajectory.opening)


def test_a_trial_over_the_wire_is_the_trial_in_process(server):
    conditions = EvaluationConfig("in_domain", PROTOCOLS["in_domain"], "winding", Winding, size=(32, 48))
    address = ("reach_target", 1_000_000)
    with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
        (wire, wire_path), (here, here_path) = (
            judge(one, conditions, address) for one in (policy, Winding())
        )
    assert replace(wire, plan_ms=None) == replace(here, plan_ms=None)
    assert wire.num_plans > 1
    reached = [
        torch.stack([step.reached.translation for step in path.steps]) for path in (wire_path, here_path)
    ]
    assert torch.equal(*reached)


@pytest.mark.parametrize("actions", ["pose", "euler", "delta"])
def test_any_format_of_actions_gives_the_same_plan(server, actions: str):
    seen = observation(4, "wind")
    with RemotePolicy(uri(server), actions=actions, timeout_s=PATIENCE_S) as policy:
        metres, radians = policy.plan(seen).trajectory.world_from_tool.distance(
            Winding().plan(seen).trajectory.world_from_tool
        )
    assert metres.max() < 1e-6
    assert radians.max() < 1e-5


def test_cameras_may_stay_on_the_server(server):
    seen = observation(5, "wind")
    with RemotePolicy(uri(server), calibration="table", timeout_s=PATIENCE_S) as policy:
        assert torch.equal(policy.plan(seen).trajectory.opening, Winding().plan(seen).trajectory.opening)
        assert "table" in policy.metadata["calibrations"]
        assert policy.metadata["image_size"] == [32, 48]
        assert policy.metadata["fps"] == 4.0


def test_the_ceilings_beside_a_served_policy_are_those_of_its_own_clips(server):
    served = policy_named(uri(server))
    assert served.clips == (32, 48, 4.0)


@pytest.mark.parametrize("said", [{}, {"fps": None}, {"fps": 0, "image_size": "big"}])
def test_a_server_that_says_nothing_of_its_clips_has_ceilings_of_the_usual_ones(said: dict):
    with minimal_server(lambda _: None, msgpack.packb(said)) as address:
        served = policy_named(address)
    assert served.clips == (*DEFAULT_SIZE, DEFAULT_FPS)


def test_a_pickled_policy_connects_by_itself(server):
    with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
        policy.plan(observation())
        with pickle.loads(pickle.dumps(policy)) as other:
            assert other.plan(observation()).trajectory.num_frames == 8


def test_openpis_client_talks_to_the_server(server):
    policy = websocket_client_policy.WebsocketClientPolicy("127.0.0.1", server.port)
    assert policy.get_server_metadata()["server"] == "action-images"
    seen = observation(1, "wind")
    message = request_from_observation(seen).to_message()
    answer = policy.infer(message)
    local = Winding().plan(seen).trajectory
    assert answer["actions"].dtype == np.float32
    assert np.array_equal(answer["actions"], local.to_vector(8).numpy())
    assert answer["action_format"] == "pose"
    assert answer["server_timing"]["infer_ms"] > 0
    euler = policy.infer({**message, "action_format": "euler"})["actions"]
    assert np.allclose(
        rotations.from_euler_xyz(torch.tensor(euler[:, 3:6])), local.world_from_tool.rotation, atol=1e-5
    )
    with pytest.raises(RuntimeError, match="unknown field 'observation/image'"):
        policy.infer({"observation/image": np.zeros((4, 4, 3), np.uint8), "prompt": "go"})
    assert policy.infer(message)["actions"].shape == (8, 8)

    broker = action_chunk_broker.ActionChunkBroker(policy, action_horizon=3)
    rows = [broker.infer({**message, "confidence": True})["actions"] for _ in range(3)]
    assert np.array_equal(np.stack(rows), answer["actions"][:3])
    policy._ws.close()


def test_openpis_client_sends_its_token():
    with running(Hold, token="a long enough token") as server:
        policy = websocket_client_policy.WebsocketClientPolicy(
            "127.0.0.1", server.port, api_key="a long enough token"
        )
        assert policy.infer(request_from_observation(observation()).to_message())["actions"].shape == (16, 8)
        policy._ws.close()


def test_a_server_of_openpis_protocol_is_understood():
    def answer(seen: dict) -> dict:
        assert seen["images"].shape == (2, 3, 32, 48)
        pose = np.concatenate([seen["world_from_tool"][:3, 3], [0, 0, 0, 1, seen["opening"]]])
        return {
            "actions": np.tile(pose, (5, 1)),
            "server_timing": {"infer_ms": 1.0},
            "policy_timing": {"infer_ms": 1.0},
        }

    seen = observation(2)
    with (
        minimal_server(answer) as address,
        RemotePolicy(address, actions="pose", timeout_s=PATIENCE_S) as policy,
    ):
        plan = policy.plan(seen)
        assert plan.trajectory.num_frames == 5
        assert torch.allclose(
            plan.trajectory.world_from_tool.translation[0].float(), seen.world_from_tool.translation
        )
        assert policy.metadata == {}


EVALUATE = [
    "evaluate",
    "--task",
    "reach_target",
    "--trials",
    "1",
    "--size",
    "32",
    "--no-films",
    "--no-ceiling",
]


def test_a_server_of_openpis_protocol_is_judged_in_the_format_that_it_answers_in(tmp_path, capsys):
    """In float64, as numpy makes it, and without a name of its format."""

    def answer(seen: dict) -> dict:
        assert (seen["images"].dtype, seen["images"].shape) == (np.uint8, (2, 3, 32, 32))
        assert [np.shape(seen[name]) for name in ("intrinsics", "world_from_camera", "world_from_tool")] == [
            (2, 3, 3),
            (2, 4, 4),
            (4, 4),
        ]
        return {"actions": np.tile([0.5, 0, 0.3, 1, 0, 0, 0, seen["opening"]], (8, 1))}

    with minimal_server(answer) as address:
        command = [*EVALUATE, "--policy", address]
        assert main([*command, "--actions", "pose", "--out", str(tmp_path / "pose")]) == 0
        assert load_settings(tmp_path / "pose" / "settings.json")["policy"] == f"{address} actions=pose"
        assert len(load_trials(tmp_path / "pose")) == 1
        assert main([*command, "--out", str(tmp_path / "matrix")]) == 2
    assert "with --actions NAME" in capsys.readouterr().err


def test_an_evaluation_ends_when_the_server_has_other_weights(tmp_path):
    (tmp_path / "name").write_text("run-1111")
    protocol = replace(PROTOCOLS["in_domain"], tasks=("reach_target",))
    with running(Renamed(tmp_path / "name")) as server:
        judged = policy_named(uri(server))
        config = EvaluationConfig("in_domain", protocol, judged.name, judged.make, size=(32, 32))
        trials = evaluate(config, tmp_path / "out", 2)
        next(trials)
        (tmp_path / "name").write_text("run-2222")
        before = server.policy_pid
        os.kill(before, signal.SIGKILL)
        until = time.monotonic() + PATIENCE_S
        while server.policy_pid == before:
            assert time.monotonic() < until, "the policy was not started again"
            time.sleep(0.01)
        said = "'run-1111 at ws:.*' alone .1 of reach_target.*now serves 'run-2222', no longer 'run-1111'"
        with pytest.raises(WeightsChanged, match=said):
            next(trials)
    assert [trial.policy for trial in load_trials(tmp_path / "out")] == [judged.name]


def test_single_plans_of_a_server_are_judged_with_its_token_and_in_a_format(tmp_path, capsys):
    (tmp_path / "token").write_text("a long enough token")
    command = [
        "judge-plans",
        "--task",
        "reach_target",
        "--scenes",
        "1",
        "--size",
        "32",
        "--out",
        str(tmp_path / "plans"),
    ]
    told = ["--token-file", str(tmp_path / "token"), "--actions", "euler"]
    with running(Hold, token="a long enough token", name="hold") as server:
        assert main([*command, "--policy", uri(server)]) == 2
        assert main([*command, "--policy", uri(server), *told]) == 0
        assert (
            load_settings(tmp_path / "plans" / "settings.json")["policy"]
            == f"hold at {uri(server)} actions=euler"
        )
    capsys.readouterr()
    for refused in (
        [*command, "--policy", "hold", *told],
        [*EVALUATE, "--policy", "hold", *told, "--out", str(tmp_path / "hold")],
    ):
        assert main(refused) == 2
        assert "--token-file, --actions: is for a policy server" in capsys.readouterr().err


def test_actions_that_are_not_what_they_are_taken_for_are_refused():
    for more, says in (
        ({}, "8 columns, but 'matrix' has .* say with RemotePolicy"),
        ({"action_format": "pose"}, "got 'pose'"),
    ):
        answer = {"actions": np.zeros((5, 8)), **more}
        with (
            minimal_server(lambda _, answer=answer: answer) as address,
            RemotePolicy(address, timeout_s=PATIENCE_S) as policy,
            pytest.raises(ValueError, match=says),
        ):
            policy.plan(observation())


@pytest.mark.parametrize("confidence", [math.nan, 1.5, -0.1])
def test_a_confidence_that_no_guard_can_compare_is_refused(confidence: float):
    rows = np.tile([0.5, 0, 0.3, 1, 0, 0, 0, 1.0], (5, 1))
    answer = {"actions": rows, "action_format": "pose", "confidence": np.full(5, confidence)}
    with (
        minimal_server(lambda _: answer) as address,
        RemotePolicy(address, timeout_s=PATIENCE_S, actions="pose") as policy,
        pytest.raises(WireError, match="'confidence' must have one number from 0 to 1 for each row"),
    ):
        policy.plan(observation())


@pytest.mark.parametrize(
    "answer", [b"", b"\xc1", msgpack.packb([1]), msgpack.packb({"actions": 3}), b"\xdd\xff\xff\xff\xff"]
)
def test_an_answer_of_nonsense_is_an_error_and_the_next_question_is_asked_anew(answer: bytes):
    with minimal_server(lambda _: answer) as address, RemotePolicy(address, timeout_s=PATIENCE_S) as policy:
        for number in (1, 2):
            with pytest.raises(WireError):
                policy.plan(observation())
            assert policy.num_connections == number


def test_a_text_frame_is_the_servers_error():
    with (
        minimal_server(lambda _: "no plan\ntoday") as address,
        RemotePolicy(address, timeout_s=PATIENCE_S) as policy,
        pytest.raises(Refused, match="no plan"),
    ):
        policy.plan(observation())


OURS = msgpack.packb({"server": "action-images", "protocol": 1})


def numbered(seq: int) -> dict:
    return {"actions": np.full((1, 13), float(seq)), "seq": seq}


def test_an_old_plan_is_passed_over_and_the_one_to_the_question_is_returned():
    """As after a delay in the network, answers to earlier questions come before the one to this."""
    with minimal_server(lambda seen: [numbered(seen["seq"] - 1), numbered(seen["seq"])], OURS) as address:
        with RemotePolicy(address, timeout_s=PATIENCE_S) as policy:
            replies = [policy.infer(request_from_observation(observation())) for _ in range(3)]
        assert [reply.seq for reply in replies] == [1, 2, 3]
        assert [reply.actions[0, 0] for reply in replies] == [1, 2, 3]
        assert policy.num_stale == 3


def test_an_old_plan_is_never_returned_for_a_new_observation():
    with (
        minimal_server(lambda seen: numbered(seen["seq"] - 1), OURS) as address,
        RemotePolicy(address, timeout_s=0.5) as policy,
    ):
        for number in (1, 2):
            with pytest.raises(Late, match="no plan within"):
                policy.plan(observation())
            assert policy.num_connections == number


def test_a_plan_that_comes_too_late_is_an_error_and_is_not_taken_for_the_next(tmp_path):
    with running(Moody) as server, RemotePolicy(uri(server), timeout_s=1.0, connect_s=PATIENCE_S) as policy:
        try:
            with pytest.raises(Late, match="no plan within 1 s"):
                policy.plan(observation(instruction=f"wait {tmp_path / 'gate'}"))
        finally:
            (tmp_path / "gate").touch()
        policy.timeout_s = PATIENCE_S
        assert policy.plan(observation(instruction="hold")).trajectory.num_frames == 8


def test_a_lost_connection_is_made_again_once_for_each_question():
    answers = iter([None, {"actions": np.ones((1, 13))}, None, None])
    with (
        minimal_server(lambda _: next(answers)) as address,
        RemotePolicy(address, timeout_s=PATIENCE_S) as policy,
    ):
        request = request_from_observation(observation())
        assert policy.infer(request).actions.shape == (1, 13)
        assert policy.num_connections == 2
        with pytest.raises(Unreachable, match="lost twice"):
            policy.infer(request)


def bound() -> socket.socket:
    """A port of our own at which nobody listens: no other program can take it meanwhile."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def test_a_server_that_is_not_there_yet_is_waited_for():
    with bound() as sock:
        address = f"ws://127.0.0.1:{sock.getsockname()[1]}"
        policy, replies = RemotePolicy(address, connect_s=PATIENCE_S, timeout_s=PATIENCE_S), []
        asking = threading.Thread(
            target=lambda: replies.append(policy.infer(request_from_observation(observation())))
        )
        asking.start()
        # Refused for a while; then it answers, but is still starting and hangs up; then it serves.
        time.sleep(0.2)
        sock.listen()
        sock.accept()[0].close()
        with minimal_server(lambda _: {"actions": np.ones((1, 13))}, sock=sock):
            asking.join(PATIENCE_S)
            policy.close()
    assert replies[0].actions.shape == (1, 13)


def test_where_there_is_no_server_one_sentence_says_so():
    with (
        bound() as sock,
        pytest.raises(Unreachable, match=r"no policy server answers within 0.3 s .* is it started"),
    ):
        RemotePolicy(f"ws://127.0.0.1:{sock.getsockname()[1]}", connect_s=0.3).plan(observation())


@contextlib.contextmanager
def deaf_server():
    """Shakes hands, sends an empty map as its metadata, then never reads again."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as connections:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def shake_hands() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = connections.enter_context(listening.accept()[0])
                    asked = connection.recv(4096).decode()
                    key = asked.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
                    upgrade = (
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    )
                    connection.sendall(
                        f"{upgrade}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode() + b"\x82\x01\x80"
                    )

        thread = threading.Thread(target=shake_hands)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_server_that_stops_reading_does_not_hold_the_robot():
    big = observation(size=(1500, 1500))
    with deaf_server() as address, RemotePolicy(address, timeout_s=1.0, connect_s=10) as policy:
        start = time.monotonic()
        with pytest.raises(ServingError):
            policy.plan(big)
        # The websocket's own heartbeat would need 40 s to find out.
        assert time.monotonic() - start < 30


@pytest.mark.parametrize("metadata", ["sorry, not you", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_server_of_another_kind_is_recognised(metadata):
    with (
        minimal_server(lambda _: None, metadata) as address,
        pytest.raises(ServingError, match=r"sorry, not you|no policy server in openpi"),
    ):
        RemotePolicy(address, timeout_s=PATIENCE_S).plan(observation())


def test_another_version_of_the_protocol_is_named():
    metadata = msgpack.packb({"server": "action-images", "protocol": 99})
    with (
        minimal_server(lambda _: None, metadata) as address,
        pytest.raises(Unreachable, match="speaks protocol 99, this client 1"),
    ):
        RemotePolicy(address, timeout_s=PATIENCE_S).plan(observation())


@pytest.mark.parametrize("address", ["http://robot:8000", "robot:8000", "ws://", ""])
def test_an_address_that_is_none_is_refused_at_once(address: str):
    with pytest.raises(ValueError, match="is no address of a policy server"):
        RemotePolicy(address)


def test_what_cannot_be_asked_for_is_refused_at_once():
    with pytest.raises(ValueError, match="no action format 'joints'"):
        RemotePolicy("ws://robot:8000", actions="joints")
    with pytest.raises(ValueError, match="positive seconds"):
        RemotePolicy("ws://robot:8000", timeout_s=0)


def test_a_connection_that_is_lost_gives_the_second_attempt_no_more_time():
    def slow(_):
        time.sleep(0.6)

    with minimal_server(slow) as address, RemotePolicy(address, timeout_s=1.0, actions="pose") as policy:
        began = time.monotonic()
        with pytest.raises(ServingError):
            policy.plan(observation())
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "limits", [{"timeout_s": math.inf}, {"connect_s": math.inf}, {"timeout_s": math.nan}]
)
def test_a_time_limit_that_no_timer_can_hold_is_refused(limits: dict[str, float]):
    with pytest.raises(ActionImagesError, match="positive seconds up to 1000000"):
        RemotePolicy("ws://127.0.0.1:1", **limits)


@pytest.mark.parametrize("timeout_s", [0.2, 2.0, 2.5, 90.0])
def test_the_time_for_sending_is_said_in_the_systems_own_units(timeout_s: float):
    with socket.socket() as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, send_limit(timeout_s, sys.platform))
        seconds, microseconds = struct.unpack(
            "ll", here.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16)
        )
    assert seconds + microseconds / 1e6 == pytest.approx(timeout_s, abs=0.01)
    # A DWORD of milliseconds, which Linux cannot be asked for.
    assert struct.unpack("<L", send_limit(timeout_s, "win32")) == (round(1e3 * timeout_s),)
