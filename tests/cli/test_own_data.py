"""Somebody's own videos, cameras and poses, by commands alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from action_images.cli import main, train
from action_images.codec import draw_uint8
from action_images.codec.overlay import overlay
from action_images.episodes.cameras_file import load_cameras, save_cameras
from action_images.episodes.dataset import Dataset
from action_images.episodes.trajectory_file import load_trajectory, save_trajectory
from action_images.episodes.video import VideoFrames, write_video
from action_images.errors import ActionImagesError
from action_images.reports.pictures import save_png
from action_images.terminal.arguments import parsed
from action_images.training.own_data import common_strides, with_data
from action_images.training.recipes import DEBUG, TINY
from scenes import rig, trajectory

NUM_FRAMES, FPS, SIZE = 44, 25, (64, 64)
CAMERA_INFO = """
image_width: 64
image_height: 64
camera_name: left
camera_matrix: {rows: 3, cols: 3, data: [60.0, 0, 31.5, 0, 60.0, 31.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [%s]}
"""
HAND_EYE = """
parameters: {eye_on_hand: false}
transformation: {x: 1.0, y: 0.0, z: 0.5, qx: 0.0, qy: 0.0, qz: 0.0, qw: 1.0}
"""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Six episodes as a folder of plain files, one cameras file for all of them."""
    root, cameras = tmp_path_factory.mktemp("own") / "recordings", rig(2, SIZE)
    for number in range(6):
        folder = root / f"e{number}"
        folder.mkdir(parents=True)
        path = trajectory(3, seed=number).at(torch.linspace(0, 2, NUM_FRAMES))
        scene = torch.full((2, NUM_FRAMES, 3, *SIZE), 90, dtype=torch.uint8)
        for name, video in zip(("left", "right"), overlay(scene, draw_uint8(path, cameras)), strict=True):
            write_video(folder / f"{name}.mp4", video, FPS)
        save_trajectory(folder / "poses.csv", path)
        (folder / "instruction.txt").write_text("push the red button")
    save_cameras(root / "cameras.json", {"left": cameras[0], "right": cameras[1]})
    return root


@pytest.fixture(scope="module")
def dataset(recordings: Path) -> Path:
    out = recordings.parent / "dataset"
    assert main(["import", str(recordings), "--out", str(out), "--workers", "0"]) == 0
    return out


def test_info_names_the_commands_that_take_each_thing(recordings: Path, dataset: Path, capsys):
    wanted = {
        recordings: f"action-images import {recordings}",
        dataset: f"train debug --data {dataset}",
        recordings / "cameras.json": "action-images draw TRAJECTORY --cameras",
        recordings / "e0" / "poses.csv": "action-images draw",
        recordings / "e0" / "left.mp4": "action-images read",
    }
    for place, command in wanted.items():
        assert main(["info", str(place)]) == 0
        assert command in capsys.readouterr().out


def test_info_of_a_stranger_ends_with_1(tmp_path: Path):
    (tmp_path / "cat.txt").write_text("a cat")
    assert main(["info", str(tmp_path / "cat.txt")]) == 1
    assert main(["info", str(tmp_path)]) == 1


def test_own_data_replaces_all_sources_at_about_5_frames_a_second(dataset: Path):
    recipe, said = with_data(DEBUG, [dataset])
    source, judged = recipe.sources[0], recipe.validation[0]
    assert (source.stride, source.part, source.held_out_by) == (5, "train", "episode")
    assert (judged.stride, judged.part, judged.held_out) == (5, "held_out", source.held_out)
    assert source.modes == DEBUG.sources[0].modes
    assert "25 frames a second, one of 5 taken: 5 a second" in said[0]
    assert "mirror" in with_data(TINY, [dataset])[1][-1]


def test_own_data_is_judged_on_the_poses_that_it_learns(dataset: Path):
    told = replace(DEBUG, sources=(replace(DEBUG.sources[0], drawn="told"),))
    recipe, _ = with_data(told, [dataset])
    assert (recipe.sources[0].drawn, recipe.validation[0].drawn) == ("told", "told")


def test_own_data_is_mirrored_as_the_source_that_it_is_drawn_like(dataset: Path):
    lopsided = replace(TINY, sources=(replace(TINY.sources[0], mirror=0.0), *TINY.sources[1:]))
    recipe, said = with_data(lopsided, [dataset])
    assert recipe.sources[0].mirror == 0
    assert not any("mirror" in one for one in said)


def test_train_on_own_data_says_what_it_chose(dataset: Path, tmp_path: Path, capsys):
    words = ["debug", "--data", str(dataset), "--out", str(tmp_path / "run")]
    run = parsed(train.main, words, "train").by_name(train.main)["run"]
    assert train.on_own_data(run).recipe == with_data(DEBUG, [dataset])[0]
    said = " ".join(capsys.readouterr().out.split())
    assert "one of 5 taken: 5 a second" in said
    assert "held out" in said


@pytest.mark.parametrize(
    ("rates", "strides"),
    [
        ([20.0], [4]),
        ([25.0], [5]),
        ([30.0, 20.0], [6, 4]),
        ([24.0, 30.0], [4, 5]),
        ([4.0], [1]),
        ([10.0, 5.0], [2, 1]),
    ],
)
def test_strides_bring_all_to_one_rate_near_5(rates: list[float], strides: list[int]):
    assert common_strides(rates, ["a", "b"]) == strides


def test_data_without_a_rate_in_common_is_refused():
    with pytest.raises(ActionImagesError, match="no frame rate"):
        common_strides([25.0, 27.0], ["a", "b"])


def test_reading_says_how_far_it_is_from_the_true_poses(tmp_path: Path, capsys):
    cameras, path = rig(2, SIZE), trajectory(6)
    save_cameras(tmp_path / "cameras.json", {"left": cameras[0], "right": cameras[1]})
    save_trajectory(tmp_path / "path.csv", path)
    files = [str(tmp_path / name) for name in ("path.csv", "cameras.json", "videos", "read.csv")]
    assert main(["draw", files[0], "--cameras", files[1], "--out", files[2], "--crf", "0"]) == 0
    videos = [f"{files[2]}/left.mp4", f"{files[2]}/right.mp4"]
    command = ["read", *videos, "--cameras", files[1], "--out", files[3], "--max-std-mm", "20"]
    assert main([*command, "--against", files[0]]) == 0
    told = capsys.readouterr().out
    assert float(told.split("position, mm")[1].split()[0]) < 5
    assert "spots in left, px" in told
    assert "gripper: wrong in 0 of 6" in told
    save_trajectory(tmp_path / "short.csv", path[:4])
    assert main([*command, "--against", str(tmp_path / "short.csv")]) == 2
    assert "has 4 poses, the videos have 6 frames" in capsys.readouterr().err


def test_overlays_stand_in_a_folder_of_their_own_at_the_scenes_rate(recordings: Path, tmp_path: Path):
    poses, cameras = recordings / "e0" / "poses.csv", recordings / "cameras.json"
    command = ["draw", str(poses), "--cameras", str(cameras), "--out", str(tmp_path), "--over"]
    assert main([*command, str(recordings / "e0")]) == 0
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["left.mp4", "right.mp4"]
    for folder in (tmp_path, tmp_path / "overlay"):
        frames = VideoFrames(folder / "left.mp4")
        assert (len(frames), frames.fps) == (NUM_FRAMES, FPS)


def test_cameras_of_other_tools_become_a_cameras_file(tmp_path: Path, capsys):
    (tmp_path / "lens.yaml").write_text(CAMERA_INFO % "0, 0, 0, 0, 0")
    (tmp_path / "pose.yaml").write_text(HAND_EYE)
    lens, pose, out = (str(tmp_path / name) for name in ("lens.yaml", "pose.yaml", "cameras.json"))
    assert main(["cameras", "convert", lens, pose, out]) == 0
    camera = load_cameras(out)["left"]
    assert camera.intrinsics[:2, 2].tolist() == [32.0, 32.0]  # ROS puts pixel centres at whole numbers
    assert camera.world_from_camera.translation.tolist() == [1.0, 0.0, 0.5]
    assert main(["cameras", "convert", lens, str(tmp_path / "other.json")]) == 2
    assert "has a lens and no pose" in capsys.readouterr().err
    assert not (tmp_path / "other.json").exists()


def test_a_bent_lens_is_refused_unless_its_pictures_were_straightened(tmp_path: Path, capsys):
    (tmp_path / "lens.yaml").write_text(CAMERA_INFO % "0.1, 0, 0, 0, 0")
    (tmp_path / "pose.yaml").write_text(HAND_EYE)
    files = [str(tmp_path / name) for name in ("lens.yaml", "pose.yaml", "cameras.json")]
    assert main(["cameras", "convert", *files]) == 2
    assert "--straightened" in capsys.readouterr().err
    assert main(["cameras", "convert", *files, "--straightened"]) == 0


@pytest.fixture
def loose(recordings: Path, tmp_path: Path) -> list[str]:
    """Options that show a command one picture of each camera, the cameras and a path."""
    for name in ("left", "right"):
        frame = VideoFrames(recordings / "e0" / f"{name}.mp4").read([0])[0]
        save_png(tmp_path / f"{name}.png", frame)
    path = load_trajectory(recordings / "e0" / "poses.csv")
    save_trajectory(tmp_path / "path.csv", path[::5])
    files = {
        "pictures": tmp_path,
        "cameras": recordings / "cameras.json",
        "trajectory": tmp_path / "path.csv",
    }
    return [word for name, place in files.items() for word in (f"--{name}", str(place))]


def test_imagine_and_simulate_take_loose_pictures(loose: list[str], tmp_path: Path, capsys):
    out = tmp_path / "futures"
    words = ["--instruction", "push the red button", "--samples", "1", "--out", str(out)]
    assert main(["imagine", *loose, *words]) == 0
    assert (out / "0" / "left_actions.mp4").is_file()
    assert main(["simulate", *loose, "--out", str(tmp_path / "simulated")]) == 0
    assert len(VideoFrames(tmp_path / "simulated" / "left.mp4")) == 9
    assert main(["imagine", *loose[:2], "--out", str(out)]) == 2
    assert "--pictures, --cameras and --trajectory" in capsys.readouterr().err
    pictures = loose[1]
    assert main(["simulate", *loose, "--out", pictures]) == 2
    assert f"--out {pictures}: is the folder of --pictures, whose files would be" in capsys.readouterr().err
    for command in ("imagine", "simulate"):
        assert main([command, *loose, "--episode", "0", "--start", "1", "--out", str(out)]) == 2
        assert "of no episode; leave --episode and --start out" in capsys.readouterr().err


def test_label_takes_recordings_as_they_are(recordings: Path, tmp_path: Path):
    out = tmp_path / "labelled"
    assert main(["label", str(recordings), "--out", str(out), "--limit", "1"]) == 0
    assert len(Dataset(tmp_path / "labelled-source").ids) == 6
    assert len(Dataset(out).ids) == 1


def test_tasks_are_listed_with_their_words(capsys):
    assert main(["tasks", "push_button"]) == 0
    told = capsys.readouterr().out
    assert "press the {colour} button" in told
    assert "kept out:" in told


def test_doctor_names_what_is_installed_and_the_line_for_what_is_not(capsys, monkeypatch):
    from action_images.cli import doctor

    assert main(["doctor", "--quick"]) == 0
    assert "mujoco 3." in capsys.readouterr().out
    monkeypatch.setattr(doctor, "_version", lambda module: None if module == "websockets" else "1.0")
    assert main(["doctor", "--quick"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "serve: needs serve: pip install 'action-images[serve]'" in told


def test_cameras_of_another_source_are_never_replaced(recordings: Path, tmp_path: Path, capsys):
    (tmp_path / "lens.yaml").write_text(CAMERA_INFO % "0, 0, 0, 0, 0")
    (tmp_path / "pose.yaml").write_text(HAND_EYE)
    lens, pose, out = (str(tmp_path / name) for name in ("lens.yaml", "pose.yaml", "cameras.json"))
    mine = tmp_path / "mine.json"
    mine.write_bytes(before := (recordings / "cameras.json").read_bytes())
    assert main(["cameras", "convert", lens, pose, str(mine)]) == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert mine.read_bytes() == before
    assert main(["cameras", "convert", lens, pose, out]) == 0
    assert main(["cameras", "convert", lens, pose, out]) == 0  # the same again
    (tmp_path / "lens.yaml").write_text((CAMERA_INFO % "0, 0, 0, 0, 0").replace("left", "top"))
    (tmp_path / "pose.yaml").write_text(HAND_EYE.replace("left", "top"))
    assert main(["cameras", "convert", lens, pose, out]) == 2
    assert "has the camera 'left', which these files do not have" in capsys.readouterr().err
