"""The calibrate command, run as a user runs it."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from board_scene import fixed_session, write_session

from action_images.cli import main
from action_images.data.cameras_file import load_cameras, save_cameras
from action_images.data.trajectory_file import load_trajectory


def test_a_board_is_written(tmp_path, capsys):
    assert main(["calibrate", "board", "--squares", "8x6", "--out", str(tmp_path / "board.pdf")]) == 0
    assert (tmp_path / "board.pdf").read_bytes().startswith(b"%PDF")
    assert "A4" in capsys.readouterr().out


def test_fixed_cameras_are_written_with_residuals_and_a_picture(tmp_path, capsys):
    session = fixed_session()
    folders = write_session(tmp_path, session, ("left", "right"))
    arguments = ["calibrate", "fixed", *map(str, folders), "--poses", f"{tmp_path}/poses.csv", "--out", f"{tmp_path}/out"]
    assert main(arguments) == 0
    for i, (name, camera) in enumerate(load_cameras(tmp_path / "out" / "cameras.json").items()):
        metres, _ = camera.to(torch.float64).world_from_camera.distance(session.truth[i].world_from_camera)
        assert metres < 3e-3
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 10_000
    said = json.loads((tmp_path / "out" / "report.json").read_text())
    assert all(row["corner_px"] < 1 and row["miss_mm"] < 2 for row in said["cameras"]["left"]["pictures"])
    assert "left" in capsys.readouterr().out


def test_bad_input_ends_in_one_line(tmp_path, capsys):
    assert main(["calibrate", "fixed", f"{tmp_path}/gone", "--poses", f"{tmp_path}/gone.csv"]) == 2
    assert main(["calibrate", "board", "--square", "30", "--out", f"{tmp_path}/board.pdf"]) == 2
    assert "metres" in capsys.readouterr().err


def test_a_wrist_camera_is_carried_along_a_path(tmp_path):
    session = fixed_session()
    write_session(tmp_path, session, ("left", "right"))
    path = load_trajectory(tmp_path / "poses.csv")
    save_cameras(tmp_path / "tool.json", {"wrist": session.truth[0]})
    save_cameras(tmp_path / "fixed.json", {"front": session.truth[1]})
    arguments = ["--in-tool", f"{tmp_path}/tool.json", "--trajectory", f"{tmp_path}/poses.csv", "--beside", f"{tmp_path}/fixed.json"]
    assert main(["calibrate", "carry", *arguments, "--out", f"{tmp_path}/all.json"]) == 0
    rig = load_cameras(tmp_path / "all.json")
    expected = path.world_from_tool[3].apply(session.truth[0].world_from_camera.translation.float())
    assert list(rig) == ["front", "wrist"]
    assert rig["wrist"].world_from_camera[3].translation.numpy() == pytest.approx(expected.numpy(), abs=1e-5)
