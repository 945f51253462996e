"""The commands of the other uses, with random weights: what they say they write is there, in right shape."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from action_images.cli import main
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode
from action_images.episodes.trajectory_file import save_trajectory
from action_images.episodes.video import VideoFrames
from action_images.evaluation import reliability
from action_images.evaluation.clip_answers import judged_windows
from action_images.files.settings import load_settings
from action_images.model.bundle import Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.reliability import Bounds, Reliability
from action_images.model.shipped import INDEX
from action_images.terminal import doubts
from truth import CLIPS, knowing, make_episode

NUM_FRAMES = 9


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[str, str]:
    """A data set of two episodes with different instructions, and a saved model of random weights."""
    root = tmp_path_factory.mktemp("faces")
    episode = make_episode(NUM_FRAMES)
    with DatasetWriter(root / "data", fps=5) as writer:
        writer.add(episode)
        writer.add(replace(episode, id="test/e1", instruction="turn the dial"))
    models = knowing(episode).pipeline.models
    replace(models, denoiser=CanvasDenoiser(models.denoiser.transformer)).save(root / "model")
    return str(root / "data"), str(root / "model")


def run(command: str, folders: tuple[str, str], out: Path, *more: str) -> int:
    data, model = folders
    return main([command, data, "--model", model, "--out", str(out), *more])


def test_label_writes_a_copy_and_a_page(folders, tmp_path):
    out = tmp_path / "copy"
    assert run("label", folders, out, "--from-nothing") == 0
    assert Dataset(out).ids == Dataset(Path(folders[0])).ids
    assert (out / "labels.html").read_text().count("<figure>") == 2
    assert len((out / "labels" / "000001.csv").read_text().splitlines()) == 1 + NUM_FRAMES
    assert run("label", folders, Path(folders[0])) == 2


def test_the_shipped_models_label_where_no_others_are_named(folders, tmp_path, capsys):
    out = tmp_path / "copy"
    assert main(["label", folders[0], "--out", str(out)]) == 0
    assert json.loads((out / "labels" / "settings.json").read_text())["model"].startswith("shipped-")
    assert "embedded world" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_no_episodes_are_no_labels(folders, tmp_path, capsys, limit):
    assert run("label", folders, tmp_path / "copy", "--limit", limit) == 2
    assert f"--limit is {limit}; label one episode at least" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("option", ["--stride", "--frames", "--height", "--steps"])
def test_generate_refuses_a_number_that_gives_no_clip(folders, tmp_path, capsys, option):
    command = ["generate", "--dataset", folders[0], "--model", folders[1], "--mode", "joint"]
    assert main([*command, "--out", str(tmp_path / "out"), option, "0"]) == 2
    assert f"{option} 0: give a number above zero" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_label_of_one_view_writes_image_points_alone(folders, tmp_path, capsys):
    out = tmp_path / "points"
    assert run("label", folders, out, "--views", "view1") == 0
    assert "no depth" in " ".join(capsys.readouterr().out.split())
    names = sorted(path.name for path in (out / "labels").iterdir())
    assert [name for name in names if name != ".lock"] == [
        "000000.csv",
        "000001.csv",
        "settings.json",
        "spots.jsonl",
    ]


def test_simulate_writes_a_video_for_each_view(folders, tmp_path):
    out = tmp_path / "simulated"
    assert run("simulate", folders, out) == 0
    assert [len(VideoFrames(out / f"view{view}.mp4")) for view in range(2)] == [NUM_FRAMES] * 2
    assert (out / "contact_sheet.png").stat().st_size > 0
    assert run("simulate", folders, out, "--episode", "7") == 2


@pytest.mark.parametrize("frames", ["10", "1", "-1"])
def test_simulate_refuses_more_frames_than_the_path_has(folders, tmp_path, capsys, frames):
    assert run("simulate", folders, tmp_path / "out", "--frames", frames) == 2
    assert (
        f"test/e0 from 0 on: has 9 model frames, --frames {frames} was asked for; ask for 2 to 9"
        in capsys.readouterr().err
    )
    path = tmp_path / "path.csv"
    save_trajectory(path, Dataset(Path(folders[0]))[0].trajectory[:5])
    assert run("simulate", folders, tmp_path / "out", "--trajectory", str(path), "--frames", frames) == 2
    assert f"path.csv: has 5 model frames, --frames {frames} was asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [
        ("imagine", ("--trajectory", __file__), "leave --trajectory out"),
        ("imagine", ("--samples", "0"), "--samples 0: give a number above zero"),
        ("simulate", ("--fps", "5"), "--fps is the rate of a --trajectory; leave --fps out"),
        ("simulate", ("--fps", "0", "--trajectory", __file__), "--fps 0: give a number above zero"),
        ("encode", ("--frames", "0", "--step", "0"), "--frames 0, --step 0: give a number above zero"),
        ("label", ("--on", "processes", "--workers", "0"), "--workers 0: give at least one"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(folders, tmp_path, capsys, command, words, told):
    out = ("--cache" if command == "encode" else "--out", str(tmp_path / "out"))
    assert main([command, folders[0], "--model", folders[1], *out, *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("scale", "warns"), [(1.0, False), (3.0, True)])
def test_simulate_warns_of_a_path_that_begins_far_from_the_recorded_tool(
    folders, tmp_path, capsys, scale, warns
):
    own = Dataset(Path(folders[0]))[0].trajectory[:5]
    pose = replace(own.world_from_tool, translation=scale * own.world_from_tool.translation)
    save_trajectory(tmp_path / "path.csv", replace(own, world_from_tool=pose))
    told = ["--trajectory", str(tmp_path / "path.csv"), "--frames", "50"]
    assert run("simulate", folders, tmp_path / "out", *told) == 2  # 5 frames
    assert ("from the recorded tool, where it should begin" in capsys.readouterr().err) == warns


def test_imagine_writes_its_futures_in_order(folders, tmp_path):
    out = tmp_path / "imagined"
    assert run("imagine", folders, out, "--samples", "2") == 0
    for rank in "01":
        assert len(VideoFrames(out / rank / "view1_actions.mp4")) == CLIPS.num_frames
        assert "confidence" in (out / rank / "trajectory.csv").read_text().splitlines()[0]
    assert run("imagine", folders, tmp_path / "second", "--second-view") == 0
    assert len(VideoFrames(tmp_path / "second" / "view1.mp4")) == CLIPS.num_frames


def test_files_of_another_run_do_not_pass_for_this_ones(folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("imagine", folders, out, "--samples", "2") == 0
    assert run("imagine", folders, out, "--samples", "1") == 2
    assert f"{out}: has 1/trajectory.csv and 4 more, which this run does not write" in capsys.readouterr().err
    assert run("imagine", folders, out, "--samples", "2", "--seed", "1") == 0
    assert run("imagine", folders, out, "--second-view") == 2
    assert run("simulate", folders, tmp_path / "simulated") == 0
    assert run("simulate", folders, tmp_path / "simulated", "--views", "view1") == 2
    assert "has view0.mp4, which this run does not write" in capsys.readouterr().err
    command = ["generate", "--dataset", folders[0], "--model", folders[1], "--out", str(tmp_path / "made")]
    assert main([*command, "--mode", "joint"]) == 0
    assert main([*command, "--mode", "policy"]) == 2
    assert "has view0.mp4 and 1 more, which this run does not write" in capsys.readouterr().err
    assert main([*command, "--mode", "video"]) == 2
    assert "has trajectory.csv and 2 more" in capsys.readouterr().err


def test_imagine_says_that_the_second_view_has_no_samples(folders, tmp_path, capsys):
    assert run("imagine", folders, tmp_path / "second", "--second-view", "--samples", "2") == 2
    assert "--second-view imagines the other views once; leave --samples out" in capsys.readouterr().err


def test_judge_clips_tells_every_mode_with_its_floor_and_ceiling(folders, tmp_path):
    out = tmp_path / "judged"
    assert run("judge-clips", folders, out, "--windows", "2") == 0
    told = json.loads((out / "clips.json").read_text())
    modes = {row["mode"] for row in told["rows"]}
    assert {
        "codec",
        "still",
        "lucas-kanade",
        "policy",
        "joint",
        "second_view",
        "label, empty text",
        "simulate, true text",
    } < modes
    value = {
        (row["mode"], row["figure"]): row["value"]
        for row in told["rows"]
        if (row["view"], row["frame"]) == ("all", "all")
    }
    assert value["codec", "path mm"] < 10 < value["still", "path mm"]
    assert value["codec", "psnr dB"] > value["still", "psnr dB"]
    assert ("label, true text", "psnr dB") not in value
    assert (out / "clips.md").read_text().startswith("| mode |")


def test_judge_clips_judges_the_modes_that_are_asked_for(folders, tmp_path, capsys):
    assert run("judge-clips", folders, tmp_path, "--windows", "1", "--mode", "label") == 0
    modes = {row["mode"].split(",")[0] for row in json.loads((tmp_path / "clips.json").read_text())["rows"]}
    assert modes == {"codec", "still", "lucas-kanade", "label"}
    assert run("judge-clips", folders, tmp_path / "other", "--mode", "labels") == 2
    assert "nothing is judged by the name labels; there are: policy, joint" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_judge_confidence_keeps_bounds_that_label_speaks_of(folders, tmp_path, capsys):
    """Of models with random weights every pose is wrong, so none is good."""
    data, models = folders[0], tmp_path / "models"
    shutil.copytree(folders[1], models)
    own, out = (data, str(models)), tmp_path / "judged"
    modes = ("--windows", "2", "--mode", "label_from_nothing")
    assert run("judge-confidence", own, out, *modes) == 0
    assert Models.load(models).reliability is None
    assert run("judge-confidence", own, out, *modes, "--write") == 0
    judged = json.loads((out / "confidence.json").read_text())["modes"]["label_from_nothing"]
    assert sum(row["num_poses"] for row in judged["rows"] if " to " in row["which"]) == 8
    known = Models.load(models).reliability
    assert known is not None
    assert known.modes["label_from_nothing"].wrong.get("good", 0) == 0
    assert (out / "confidence.md").read_text().startswith("| label_from_nothing | poses |")
    capsys.readouterr()
    assert run("label", own, tmp_path / "copy", "--from-nothing") == 0
    assert "poses: " in capsys.readouterr().out
    assert run("judge-confidence", own, tmp_path / "other", "--mode", "simulate") == 2


def test_judge_confidence_drops_no_mode_that_was_measured_on_other_data(folders, tmp_path, capsys):
    models = tmp_path / "models"
    shutil.copytree(folders[1], models)
    bounds = Bounds(0.6, 0.2)
    Reliability(Path(folders[0]).name, {"policy": bounds}, "another content of this name").save(models)
    before = (models / "reliability.json").read_bytes()
    own, words = (folders[0], str(models)), ("--windows", "2", "--mode", "label_from_nothing", "--write")
    assert run("judge-confidence", own, tmp_path / "judged", *words) == 2
    assert "has policy measured on other data ('data')" in " ".join(capsys.readouterr().err.split())
    assert (models / "reliability.json").read_bytes() == before
    Reliability(Path(folders[0]).name, {"policy": bounds}).save(models)  # of an earlier version
    assert run("judge-confidence", own, tmp_path / "judged", *words) == 0
    known = Reliability.load(models)
    assert known is not None
    assert set(known.modes) == {"policy", "label_from_nothing"}
    assert known.is_of("moved", known.content or "")
    assert run("judge-confidence", own, tmp_path / "one", "--windows", "1") == 2
    assert "so give at least 2" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def dtypes(monkeypatch) -> list[torch.dtype]:
    """Those in which models were loaded."""
    loaded, load = [], Models.load
    monkeypatch.setattr(
        Models, "load", lambda folder, dtype=torch.float32: loaded.append(dtype) or load(folder, dtype)
    )
    return loaded


@pytest.mark.parametrize("command", ["label", "simulate", "imagine", "judge-clips"])
def test_models_run_in_bfloat16_where_asked_for(folders, tmp_path, dtypes, command: str):
    out = tmp_path / "out"
    more = {"imagine": ("--samples", "1"), "judge-clips": ("--windows", "1")}.get(command, ())
    assert run(command, folders, out, "--dtype", "bfloat16", *more) == 0
    assert dtypes == [torch.bfloat16]
    if command == "label":
        assert load_settings(out / "labels" / "settings.json")["model"].endswith(" bfloat16")
        assert run("label", folders, out) == 2
    if command == "judge-clips":
        assert json.loads((out / "clips.json").read_text())["model"].endswith(" bfloat16")


def test_a_simulator_is_judged_in_bfloat16_in_a_folder_of_its_own(folders, tmp_path, dtypes, capsys):
    told = ["--policy", "hold", "--offsets-mm", "0", "--task", "push_button", "--trials", "1"]
    arguments = ["judge-simulator", "--model", folders[1], "--out", str(tmp_path), *told]
    assert main([*arguments, "--dtype", "bfloat16"]) == 0
    assert dtypes == [torch.bfloat16]
    assert main(arguments) == 2
    assert "(model differ)" in capsys.readouterr().err


def test_results_never_carry_the_name_of_models_that_a_training_has_replaced(
    folders, tmp_path, capsys, monkeypatch
):
    own = (folders[0], str(shutil.copytree(folders[1], tmp_path / "models")))
    index, judge_poses = tmp_path / "models" / INDEX, reliability.judge_poses

    def replaced(*_told, **_named) -> None:
        index.write_text(index.read_text() + "\n")

    def judged_and_replaced(*told):
        replaced()
        return judge_poses(*told)

    modes = ("--windows", "2", "--mode", "label_from_nothing", "--write")
    assert run("judge-confidence", own, tmp_path / "judged", *modes, "--sampling", "one-step") == 2
    assert "for the models' own sampling, not for --sampling one-step" in capsys.readouterr().err
    monkeypatch.setattr(reliability, "judge_poses", judged_and_replaced)
    assert run("judge-confidence", own, tmp_path / "judged", *modes) == 2
    assert "no longer" in capsys.readouterr().err
    assert Reliability.load(tmp_path / "models") is None
    monkeypatch.setattr(doubts, "say_strange_episodes", replaced)
    assert run("label", own, tmp_path / "labelled") == 2
    assert "as a training replaces its models: copy the folder" in capsys.readouterr().err
    assert (tmp_path / "labelled" / "labels" / "episodes.jsonl").read_text() == ""


def test_encode_fills_a_cache_once(folders, tmp_path, capsys):
    data, model = folders
    arguments = ["encode", data, "--model", model, "--cache", str(tmp_path / "latents"), "--step", "2"]
    assert main(arguments) == 0
    assert "6 windows" in capsys.readouterr().out
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "latents").rglob("*.pt")}
    assert files
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "latents").rglob("*.pt")} == files
    assert main([*arguments, "--frames", "13"]) == 2
    assert "no episode is as long" in capsys.readouterr().err
    assert main([*arguments, "--num-views", "3"]) == 2
    assert "--num-views 3 of 2 views (view0, view1) are none; give fewer" in capsys.readouterr().err


def test_clips_are_judged_on_windows_spread_over_the_whole_set_and_on_two_views(folders, capsys):
    source, episode = Dataset(Path(folders[0])), make_episode(NUM_FRAMES)

    class Long(Dataset):
        """A set of five times as many episodes."""

        def __len__(self) -> int:
            return 5 * len(source)

        def length(self, number: int) -> int:
            return source.length(number % len(source))

        def __getitem__(self, number: int) -> Episode:
            return replace(source[number % len(source)], instruction=str(number))

    generator = knowing(episode)
    for asked, told in ((7, "0123456789"), (4, "0257")):
        windows = judged_windows(Long(source.path), generator, ("view0", "view1"), asked)
        taken = [one.window.instruction for one in windows]
        assert len(taken) == asked
        assert {taken[0], taken[-1]} <= set(told)
        assert int(taken[-1]) >= 7
    assert run("judge-clips", folders, Path("nowhere"), "--views", "view0") == 2
    assert "at least two views" in capsys.readouterr().err


def test_a_failed_first_attempt_does_not_block_its_folder(folders, tmp_path):
    out = tmp_path / "copy"
    assert run("label", folders, out, "--overlap", "20") == 2
    assert run("label", folders, out) == 0
    assert run("label", folders, out, "--sampling", "one-step") == 2


def test_judge_simulator_runs_both_worlds_and_goes_on_where_it_was_stopped(folders, tmp_path):
    out = tmp_path / "trust"
    arguments = [
        "judge-simulator",
        "--model",
        folders[1],
        "--out",
        str(out),
        "--policy",
        "hold",
        "--offsets-mm",
        "0",
        "--task",
        "push_button",
    ]
    assert main([*arguments, "--trials", "1"]) == 0
    first, settings = (out / "pairs.jsonl").read_text(), load_settings(out / "settings.json")
    earlier = {name: settings[name] for name in ("model", "views", "seed", "sampling")}
    (out / "settings.json").write_text(json.dumps(earlier))  # as earlier versions wrote them
    assert main([*arguments, "--trials", "2"]) == 0
    assert load_settings(out / "settings.json") == settings
    assert (out / "pairs.jsonl").read_text().startswith(first)
    told = json.loads((out / "simulator.json").read_text())
    rows = {row["policy"]: row for row in told["policies"]}
    assert rows["expert 0 mm off"]["success"] == 1 > rows["hold"]["success"]
    assert all(row["num_scenes"] == 2 for row in rows.values())
    assert main([*arguments, "--seed", "1"]) == 2
    for changed in ({"benchmark": ["tabletop", "0"]}, {"rollout_config": {"steady_steps": 1}}):
        (out / "settings.json").write_text(json.dumps(settings | changed))
        assert main([*arguments, "--trials", "2"]) == 2
    assert main([*arguments[:5], "--policy", "hold", "--offsets-mm", "--trials", "1"]) == 2
