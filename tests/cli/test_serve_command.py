"""`action-images serve`: as a user starts it, tries it, and stops it."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from action_images.cli import main
from action_images.cli.serve import Watched
from action_images.episodes.cameras_file import save_cameras
from action_images.evaluation.trial import load_trials
from action_images.files.settings import load_settings
from action_images.geometry import Camera, Pose
from action_images.reports.viewing.opened import open_shelf
from action_images.reports.viewing.plans_shelf import DEFAULT_FPS
from action_images.robot import Observation
from action_images.serving.client import RemotePolicy


def rig() -> Camera:
    return Camera.look_at(torch.tensor([[0.9, -0.4, 0.6], [0.9, 0.4, 0.6]]), torch.zeros(2, 3), 0.8, (24, 32))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals):
    cameras = rig()
    save_cameras(tmp_path / "table.json", {"left": cameras[0], "right": cameras[1]})
    command = [
        sys.executable,
        "-m",
        "action_images",
        "serve",
        "--policy",
        "hold",
        "--port",
        "0",
        "--cameras",
        str(tmp_path / "table.json"),
        "--watch",
        str(tmp_path / "plans"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        events = []
        while not events or events[-1]["event"] != "listening":
            events.append(json.loads(process.stderr.readline()))
        seen = Observation(
            torch.zeros(2, 3, 24, 32, dtype=torch.uint8), cameras, Pose.identity(), torch.tensor(0.25), "stay"
        )
        with (
            pytest.warns(UserWarning, match="is black"),
            RemotePolicy(
                f"ws://127.0.0.1:{events[-1]['port']}", calibration="table", timeout_s=120
            ) as policy,
        ):
            assert policy.plan(seen).trajectory.opening.tolist() == [0.25] * 16
        process.send_signal(number)
        rest = [json.loads(line) for line in process.stderr]
        assert process.wait(120) == 0
    # When the client is heard of, coming and going, is not the matter here.
    assert [line["event"] for line in rest if not line["event"].startswith("client")] == [
        "stopping",
        "stopped",
    ]
    assert rest[-1]["event"] == "stopped"
    plans = open_shelf(tmp_path / "plans")
    assert [entry.told for entry in plans.entries()] == ["stay"]
    assert plans.open(0).num_frames == 17
    assert all({"time", "level", "event"} <= line.keys() for line in events + rest)


def test_an_evaluation_over_the_wire_is_the_one_in_process_and_needs_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "token").write_text("correct horse battery staple\n")
    command = [
        sys.executable,
        "-m",
        "action_images",
        "serve",
        "--policy",
        "hold",
        "--port",
        "0",
        "--token-file",
        str(tmp_path / "token"),
    ]
    ask = [
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
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = (json.loads(line) for line in process.stderr)
        uri = f"ws://127.0.0.1:{next(line['port'] for line in said if line['event'] == 'listening')}"
        try:
            without = main([*ask, "--policy", uri, "--out", str(tmp_path / "without")])
            refusal = capsys.readouterr().err
            served = main(
                [
                    *ask,
                    "--policy",
                    uri,
                    "--token-file",
                    str(tmp_path / "token"),
                    "--out",
                    str(tmp_path / "wire"),
                ]
            )
        finally:
            process.terminate()
            process.communicate(timeout=120)
    assert main([*ask, "--policy", "hold", "--out", str(tmp_path / "here")]) == 0
    assert load_settings(tmp_path / "wire" / "settings.json")["policy"] == f"hold at {uri}"
    assert (without, served) == (2, 0)
    assert "does not accept the token" in refusal
    assert not (tmp_path / "without").exists()
    wire, here = (load_trials(tmp_path / name) for name in ("wire", "here"))
    assert [replace(trial, policy="hold", plan_ms=None) for trial in wire] == [
        replace(trial, plan_ms=None) for trial in here
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--policy", "nowhere"], "nowhere"),
        (["--policy", "hold", "--host", "0.0.0.0"], "give --token-file"),
        (["--policy", "hold", "--tls-cert", "x.pem"], "TLS needs both"),
        (["--policy", "hold", "--cameras", "absent.json"], "absent.json"),
        (["--policy", "hold", "--port", "70000"], "--port is 70000"),
        (["--policy", "hold", "--max-clients", "0"], "max_clients must be positive"),
        (["--policy", "hold", "--watch-keep", "5"], "is about --watch; leave --watch-keep out"),
        (["--policy", "expert"], "--policy expert cannot be served"),
        (["--policy", "ws://127.0.0.1:9"], "--policy ws://127.0.0.1:9 cannot be served"),
        (
            ["--policy", "hold", "--device", "cuda"],
            "--device: is for a folder of models; 'hold' has none, so leave it out",
        ),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture, arguments: list[str], says: str):
    assert main(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_short_token_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "token").write_text("short\n")
    assert main(["serve", "--policy", "hold", "--token-file", str(tmp_path / "token")]) == 2
    assert "16 or more characters" in capsys.readouterr().err


def test_a_moving_camera_is_no_servers_calibration(tmp_path: Path, capsys: pytest.CaptureFixture):
    save_cameras(tmp_path / "moving.json", {"wrist": rig()})
    assert main(["serve", "--policy", "hold", "--port", "0", "--cameras", str(tmp_path / "moving.json")]) == 2
    assert "a camera of this file moves" in capsys.readouterr().err


def test_watched_plans_have_the_rate_of_the_control_not_of_the_clips(tmp_path: Path):
    writer = Watched(tmp_path / "plans", keep=2)(SimpleNamespace(fps=5.0, image_size=(8, 8), control_hz=20.0))
    assert writer.fps == 20.0
    other = Watched(tmp_path / "others", keep=2)(SimpleNamespace(fps=5.0, image_size=(8, 8)))
    assert other.fps == DEFAULT_FPS
