"""`action-images train` as a user types it."""

import re
import signal
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from action_images.cli import main, train
from action_images.episodes.dataset import Dataset
from action_images.samples.split import Split
from action_images.terminal.arguments import parsed
from action_images.training.checkpoint import checkpoints
from action_images.training.recipe import Recipe
from action_images.training.run_folder import saved_recipe
from action_images.training.train import Run


@pytest.fixture
def command(demonstrations, held_out) -> list[str]:
    paths = ["--sources.0.path", str(demonstrations), "--validation.0.path", str(held_out)]
    small = ["--num-steps", "2", "--batch-size", "4", "--num-workers", "0", "--validation-windows", "4"]
    return ["train", "debug", *paths, *small]


def test_a_run_leaves_its_recipe_its_log_a_contact_sheet_and_models(command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path)]) == 0
    assert "after step 2" in capsys.readouterr().out
    held = {path.name for path in tmp_path.iterdir()}
    assert held == {
        ".lock",
        "recipe.json",
        "data.json",
        "log.jsonl",
        "start",
        "checkpoints",
        "best",
        "model",
        "sheets",
        "curves.png",
    }
    assert saved_recipe(tmp_path).num_steps == 2
    with Image.open(tmp_path / "sheets" / "step-00000002.png") as sheet:
        assert sheet.width > 300
        assert sheet.height > 300
    with Image.open(tmp_path / "curves.png") as curves:
        assert curves.width > 1000


def test_a_stopped_run_goes_on_by_its_folder_alone_also_without_a_checkpoint(command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path), "--validate-minutes", "0", "--num-steps", "3"]) == 0
    whole = (tmp_path / "model" / "transformer" / "diffusion_pytorch_model.safetensors").read_bytes()
    assert main([*command, "--out", str(tmp_path / "begun"), "--dry-run"]) == 0
    assert not (tmp_path / "begun" / "recipe.json").exists()
    recipe: Recipe = saved_recipe(tmp_path)
    Run.start(recipe, tmp_path / "begun")
    assert not checkpoints(tmp_path / "begun" / "checkpoints")
    assert main(["train", "--resume", str(tmp_path / "begun")]) == 0
    assert (
        tmp_path / "begun" / "model" / "transformer" / "diffusion_pytorch_model.safetensors"
    ).read_bytes() == whole
    assert main(["train", "--resume", str(tmp_path / "begun")]) == 0  # what is finished stays so
    capsys.readouterr()


def test_ctrl_c_ends_with_code_130_and_says_how_to_go_on(command, tmp_path, capsys, monkeypatch):
    learn = Run.learn

    def learn_and_press(run, step, batches):
        signal.raise_signal(signal.SIGINT)
        return learn(run, step, batches)

    monkeypatch.setattr(Run, "learn", learn_and_press)
    assert main([*command, "--out", str(tmp_path)]) == 130
    assert f"action-images train --resume {tmp_path}" in capsys.readouterr().out.replace("\n", "")
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-00000001"]


def test_a_dry_run_says_what_it_takes_and_draws_the_first_batch(command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    for word in ("parameters", "tokens", "demonstrations", "windows", "policy", "GB", "s a step", "GFLOP/s"):
        assert word in said, word
    assert [path.name for path in tmp_path.iterdir()] == ["first_batch.png"]


def test_a_dry_run_and_the_card_count_the_episodes_of_the_part_alone(
    command, demonstrations, tmp_path, capsys
):
    ids = Dataset(demonstrations).ids
    train, held_out = (sum(map(Split(part, 0.3, "episode"), ids)) for part in ("train", "held_out"))
    assert train
    assert held_out
    halves = []
    for one, part in (("sources", "train"), ("validation", "held_out")):
        halves += [f"--{one}.0.path={demonstrations}", f"--{one}.0.part={part}"]
        halves += [f"--{one}.0.held-out=0.3", f"--{one}.0.held-out-by=episode"]
    assert main([*command, *halves, "--out", str(tmp_path), "--dry-run"]) == 0
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if "demonstrations" in line
    ]
    assert [row[1:4] for row in rows] == [["train", str(train), "0"], ["held_out", str(held_out), "0"]]
    assert main([*command, *halves, "--out", str(tmp_path)]) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"| demonstrations | 1 | train, learnt from | {train} |" in card
    assert f"| demonstrations | 1 | held_out, judged on | {held_out} |" in card


def test_episodes_that_are_learnt_from_and_judged_on_are_said_once(command, demonstrations, tmp_path, capsys):
    def warnings(*words: str) -> list[str]:
        assert main([*command, *words]) == 0
        said = " ".join(capsys.readouterr().out.split())
        return re.findall(r"warning: (\d+) episodes of (\S+)", said)

    same = ["--validation.0.path", str(demonstrations)]
    assert warnings(*same, "--out", str(tmp_path / "run")) == [("6", str(demonstrations))]
    dry = ["--dry-run", "--out", str(tmp_path / "dry")]
    assert warnings(*same, *dry) == [("6", str(demonstrations))]
    halves = ["--sources.0.part", "train", "--validation.0.part", "held_out"]
    shares = []
    for one in ("sources", "validation"):
        shares += [f"--{one}.0.held-out", "0.3", f"--{one}.0.held-out-by", "episode"]
    assert warnings(*same, *halves, *shares, *dry) == []
    assert warnings(*dry) == []


def test_an_autoencoder_that_would_not_be_read_is_refused_or_said(command, tmp_path, capsys):
    given = [*command, "--out", str(tmp_path / "run"), "--pretrained", "models", "--autoencoder", "ours"]
    assert main(given) == 2
    assert "--autoencoder does nothing with --pretrained" in capsys.readouterr().err
    base = parsed(train.main, ["base", "--out", "run", "--pretrained", "models"], "train").by_name(train.main)
    train.check_autoencoder(base["run"])  # the recipe's own default is no mistake of the user


def test_every_option_of_a_recipe_is_explained(capsys):
    assert main(["train", "debug", "--help"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    bare = [
        option
        for option, words in pairwise(lines)
        if option.startswith("--") and "  " not in option and words.startswith("(default")
    ]
    # What a single mode weighs is said once, above all of them.
    assert {option.rsplit(".", 1)[0] for option in bare} == {"--sources.0.modes", "--validation.0.modes"}


def test_bad_input_is_one_line_that_names_the_thing(command, tmp_path, capsys):
    cases = {
        ("train",): "give a recipe (debug, tiny",
        ("train", "--resume", str(tmp_path)): "holds no run",
        (*command[:2], "--out", str(tmp_path / "run")): "demonstrations",
        (*command, "--out", str(tmp_path / "run"), "--num-frames", "6"): "1 + 4 n frames",
        (*command, "--out", str(tmp_path / "run"), "--batch-size", "0"): "at least 1",
        (*command, "--out", str(tmp_path / "run"), "--trackers", "trackio"): "trackio is not installed",
    }
    for arguments, said in cases.items():
        assert main(list(arguments)) == 2, arguments
        error = capsys.readouterr().err
        *device, last = error.splitlines()
        assert said in last, (arguments, error)
        assert all(line.startswith("runs on cpu") for line in device), error


def test_a_run_whose_recipe_was_damaged_is_refused(tmp_path: Path, capsys):
    (tmp_path / "recipe.json").write_text('{"preset": "debug"}')
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "is no recipe that this version can read" in capsys.readouterr().err
