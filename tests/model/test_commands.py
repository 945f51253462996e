"""The commands `generate` and `describe`, from files to files."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from action_images.cli import main
from action_images.episodes.cameras_file import save_cameras
from action_images.episodes.dataset import DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.episodes.trajectory_file import load_with_unreliable, save_trajectory
from action_images.episodes.video import read_video, write_video
from action_images.files.lock import LOCK
from action_images.model.build import build, build_autoencoder
from action_images.model.bundle import Clips, Models
from action_images.model.presets import PRESETS
from action_images.reports.pictures import save_png
from small_scenes import clips, rig, scenes


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A saved debug model with the files of one scene."""
    folder, scene = tmp_path_factory.mktemp("scene"), scenes(1, size=(32, 32), num_frames=5)
    autoencoder = build_autoencoder(PRESETS["debug"])
    models = build(
        PRESETS["debug"], autoencoder=autoencoder.fit(clips(scenes(8, size=(32, 32), num_frames=5)))
    )
    # A new model's output is its bias alone; this one's depends on the noise.
    torch.nn.init.normal_(
        models.denoiser.transformer.proj_out.weight, std=0.1, generator=torch.Generator().manual_seed(0)
    )
    models.save(folder / "model")
    (folder / "views").mkdir()
    (folder / "images").mkdir()
    for view, name in enumerate(("left", "right")):
        video = ((scene.video[0, view] + 1) * 127.5).round().byte()
        write_video(folder / "views" / f"{name}.mp4", video, 10)
        save_png(folder / "images" / f"{name}.png", video[0])
    cameras = rig(2, (32, 32))
    save_cameras(folder / "cameras.json", {"left": cameras[0], "right": cameras[1]})
    save_trajectory(folder / "path.csv", scene.trajectory[0])
    return folder


def run(folder: Path, out: Path, mode: str, **changes: str) -> int:
    arguments = {
        "model": folder / "model",
        "mode": mode,
        "views": folder / "images",
        "cameras": folder / "cameras.json",
        "trajectory": folder / "path.csv",
        "instruction": "push the red block",
        "frames": 5,
        "height": 32,
        "width": 32,
        "steps": 2,
        "out": out,
    }
    arguments |= {
        name: folder / value if name in ("views", "trajectory", "cameras") else value
        for name, value in changes.items()
    }
    if mode == "video" and "trajectory" not in changes:
        del arguments["trajectory"]  # it takes none
    return main(
        ["generate", *(part for name, value in arguments.items() for part in (f"--{name}", str(value)))]
    )


@pytest.mark.parametrize("mode", ["joint", "policy", "simulate", "label", "video"])
def test_every_mode_writes_what_it_asked_for(folder, tmp_path, mode: str):
    assert run(folder, tmp_path / "out", mode, views="views" if mode == "label" else "images") == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {"contact_sheet.png", LOCK}
    if mode != "video":
        expected |= {"left_actions.mp4", "right_actions.mp4", "trajectory.csv"}
    if mode != "policy":
        expected |= {"left.mp4", "right.mp4"}
    assert written == expected
    if mode != "policy":
        assert read_video(tmp_path / "out" / "left.mp4").shape == (5, 3, 32, 32)
    if mode == "simulate":
        # The action segments were given: what is read back is the trajectory that went in.
        told, read = (
            load_with_unreliable(path)[0].world_from_tool
            for path in (folder / "path.csv", tmp_path / "out" / "trajectory.csv")
        )
        assert told.distance(read)[0].median() < 0.03


def test_what_is_left_out_is_the_models_own(folder, tmp_path):
    models = Models.load(folder / "model")
    replace(models, clips=Clips((32, 32), 5, 4.0, "two-steps")).save(tmp_path / "model")
    scene = [
        f"--{name}={folder / value}"
        for name, value in (("views", "images"), ("cameras", "cameras.json"), ("trajectory", "path.csv"))
    ]
    short = [
        "generate",
        f"--model={tmp_path / 'model'}",
        "--mode=joint",
        "--instruction=push the red block",
        *scene,
    ]
    assert main([*short, f"--out={tmp_path / 'short'}"]) == 0
    assert run(folder, tmp_path / "long", "joint", fps="4") == 0
    for name in ("trajectory.csv", "contact_sheet.png"):
        assert (tmp_path / "short" / name).read_bytes() == (tmp_path / "long" / name).read_bytes()


def test_an_episode_of_a_data_set_is_continued(folder, tmp_path, capsys):
    scene, cameras = scenes(1, size=(32, 48), num_frames=12), rig(2, (32, 48))
    video = ((scene.video[0] + 1) * 127.5).round().byte()
    views = tuple(
        View(name, FramesInMemory(video[view]), cameras[view]) for view, name in enumerate(("front", "left"))
    )
    with DatasetWriter(tmp_path / "set", fps=10) as writer:
        writer.add(Episode("a/e0", "push the red block", 10.0, views, scene.trajectory[0]))
    arguments = ["generate", f"--model={folder / 'model'}", f"--dataset={tmp_path / 'set'}", "--frames=5"]
    arguments += ["--height=32", "--width=32", "--steps=1", f"--out={tmp_path / 'out'}"]
    assert main([*arguments, "--mode=joint", "--start=2", "--stride=2"]) == 0
    assert {path.name for path in (tmp_path / "out").glob("*.mp4")} == {
        f"{view}{part}.mp4" for view in ("front", "left") for part in ("", "_actions")
    }
    assert main([*arguments, "--mode=simulate", "--start=8"]) == 2
    assert main([*arguments, "--episode=1"]) == 2
    capsys.readouterr()
    assert main([*arguments, "--mode=simulate", f"--trajectory={folder / 'path.csv'}"]) == 2
    assert "--dataset brings its own views, cameras and poses; leave --tr" in capsys.readouterr().err


def test_an_episode_is_taken_at_the_pace_of_the_models_clips(folder, tmp_path, capsys):
    """At 20 frames a second every fourth frame for a model of 5; slower ones are refused."""
    models = Models.load(folder / "model")
    replace(models, clips=Clips((32, 32), 5, 5.0, "two-steps")).save(tmp_path / "model")
    scene, cameras = scenes(1, size=(32, 32), num_frames=20), rig(2, (32, 32))
    views = tuple(
        View(name, FramesInMemory(torch.zeros(20, 3, 32, 32, dtype=torch.uint8)), cameras[i])
        for i, name in enumerate("ab")
    )
    for fps in (20, 3):
        with DatasetWriter(tmp_path / f"{fps}", fps=fps) as writer:
            writer.add(Episode("a/e0", "push", float(fps), views, scene.trajectory[0]))
    command = ["generate", f"--model={tmp_path / 'model'}", "--mode=simulate"]
    assert main([*command, f"--dataset={tmp_path / '20'}", f"--out={tmp_path / 'out'}"]) == 0
    read, _ = load_with_unreliable(tmp_path / "out" / "trajectory.csv")
    told = scene.trajectory[0][::4]
    assert read.world_from_tool.distance(told.world_from_tool)[0].median() < 0.03
    assert main([*command, f"--dataset={tmp_path / '3'}", f"--out={tmp_path / 'slow'}"]) == 2
    assert "has 3 frames/s, the model's clips 5" in capsys.readouterr().err


def test_the_same_seed_writes_the_same_bytes(folder, tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert run(folder, tmp_path / name, "policy", seed=seed, guidance="2.0") == 0
    first, again, other = ((tmp_path / name / "left_actions.mp4").read_bytes() for name in "abc")
    assert first == again
    assert first != other


BAD = {
    "no instruction": ("joint", {"instruction": " "}, "needs an instruction"),
    "no image of a camera": ("joint", {"views": "model"}, "has no left.mp4, .png or .jpg"),
    "a video that is too short": ("label", {"views": "images"}, "has 1 frames, this asks for frame 4"),
    "a trajectory that is too short": ("simulate", {"stride": "2"}, "the trajectory has 5 rows, not 9"),
    "a frame count that does not fit": ("policy", {"frames": "6"}, "cut the clip to 5 or 9 frames"),
    "no frames": ("policy", {"frames": "0", "fps": "0"}, "--frames 0, --fps 0: give a number above zero"),
    "no height": ("policy", {"height": "0"}, "--height 0: give a number above zero"),
    "a frame before the first": ("policy", {"start": "-1"}, "--start -1: frames count from 0"),
    "an episode of loose files": ("policy", {"episode": "1"}, "is of a --dataset; leave --episode out"),
    "a path that no mode reads": ("video", {"trajectory": "path.csv"}, "leave --trajectory out"),
    "a size that does not fit": ("policy", {"height": "40"}, "resize to 32 x 32"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(folder, tmp_path, capsys, case: str):
    mode, changes, message = BAD[case]
    assert run(folder, tmp_path / "out", mode, **changes) == 2
    error = capsys.readouterr().err
    *device, last = error.splitlines()
    assert message in last
    assert all(line.startswith("runs on cpu") for line in device)


def test_describe_tells_the_released_models_size(capsys):
    assert main(["describe", "--preset", "wan2.2-5b"]) == 0
    told = capsys.readouterr().out
    assert "6,415,549,632 parameters; 44 latent frames, 11,264 tokens" in told
    assert "LoRA has rank 64" in told  # as the recipe has it
    (fits,) = [line for line in told.splitlines() if line.startswith("LoRA      fits")]
    assert fits == "LoRA      fits: 16 GB no, 24 GB with caches, 48 GB yes, 80 GB yes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "huge"], "--preset: there is no 'huge'"),
        (["--frames", "40"], "37 or 41 frames"),
        (["--height", "70"], "resize to 64 x 64"),
        (["--mode", "dance"], "there is no mode 'dance'"),
    ],
)
def test_describe_refuses_what_cannot_be(capsys, arguments: list[str], message: str):
    assert main(["describe", *arguments]) == 2
    assert message in capsys.readouterr().err
