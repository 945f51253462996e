"""Several processes learn what one does: copies of the model, or pieces of it, over gloo."""

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from launches import DEEPSPEED, launch
from runs import losses_of, weights_of, write_demonstrations

from action_images.cli import main
from action_images.model.bundle import Models
from action_images.training import deepspeed
from action_images.training.log import read_log
from action_images.training.train import Run, train

DISKS = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from action_images.training.recipe import Recipe
from action_images.training.train import train
recipe, disks = Recipe.from_json(json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2])
rank = os.environ["RANK"]
said = "nothing"
try:
    train(recipe, disks / rank / "run")
except ValueError as error:
    said = str(error)
(disks / f"said {rank}").write_text(said)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""

OWN_COPIES = DISKS.replace('train(recipe, disks / rank / "run")', 'train(recipe, disks / "run")').replace(
    "said = ", "os.chdir(disks / rank)\nsaid = ", 1
)
"""The same with one folder of the run, and data that each process finds from its own folder."""


@pytest.mark.parametrize("config", ["ddp", "fsdp2", DEEPSPEED])
def test_two_processes_learn_what_one_does_and_one_goes_on_from_their_checkpoint(recipe, tmp_path, config):
    plain = replace(recipe, validation=(), num_steps=4)
    whole = train(plain, tmp_path / "one")
    launch(plain, tmp_path / "two", config, stop=3)
    one, two = losses_of(tmp_path / "one"), losses_of(tmp_path / "two")
    assert list(two) == [1, 2, 3]
    assert [two[step] for step in two] == pytest.approx([one[step] for step in two], rel=1e-4)
    files = sorted(path.name for path in (tmp_path / "two" / "checkpoints").glob("*/*.safetensors"))
    # Pieces are written by whoever holds them, in a file of each.
    assert [name[:11] for name in files] == (
        ["shard-00001", "shard-00002"] if config == "fsdp2" else ["tensors.saf"]
    )
    resumed = train(plain, tmp_path / "two")
    assert losses_of(tmp_path / "two")[4] == pytest.approx(one[4], rel=1e-4)
    first, second = weights_of(whole), weights_of(resumed)
    assert first.keys() == second.keys()
    assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-3


@pytest.mark.parametrize("config", ["fsdp2", DEEPSPEED])
def test_two_processes_that_share_go_on_from_what_one_saved(recipe, tmp_path, config):
    plain = replace(recipe, validation=(), num_steps=4)
    whole = train(plain, tmp_path / "one")
    # One process after two of four steps: a recipe of two steps would teach something else.
    run = Run.start(plain, tmp_path / "more")
    for step, batches in run.steps():
        run.learn(step, batches)
        if step + 1 == 2:
            run.save()
            break
    launch(plain, tmp_path / "more", config, stop=4)
    one, more = losses_of(tmp_path / "one"), losses_of(tmp_path / "more")
    assert [more[step] for step in (3, 4)] == pytest.approx([one[step] for step in (3, 4)], rel=1e-4)
    first, second = weights_of(whole), weights_of(tmp_path / "more" / "model")
    assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-3


def test_machines_with_separate_disks_are_refused_before_they_train_different_models(recipe, tmp_path):
    base = train(replace(recipe, validation=(), num_steps=1), tmp_path / "base")
    own = replace(recipe, validation=(), pretrained=base, num_steps=2)
    train(own, tmp_path / "0" / "run")  # process 0 alone finds its checkpoint
    launch(own, tmp_path, "ddp", program=DISKS)
    said = [(tmp_path / f"said {rank}").read_text() for rank in range(2)]
    assert "step is 2 for process 0 and 0 for process 1; let all machines see one folder" in said[0]
    assert said[1] == said[0]


def test_machines_whose_copies_of_the_data_differ_are_refused_by_process_and_file(recipe, tmp_path):
    for rank, seed in ((0, 0), (1, 1)):
        write_demonstrations(tmp_path / str(rank) / "data", 2, seed=seed)
    (source,) = recipe.sources
    copies = replace(recipe, sources=(replace(source, path=Path("data")),), validation=(), num_steps=2)
    launch(copies, tmp_path, "ddp", program=OWN_COPIES)
    said = [(tmp_path / f"said {rank}").read_text() for rank in range(2)]
    assert "process 1 reads other data than process 0: data/" in said[0]
    assert said[1] == said[0]
    assert not (tmp_path / "run" / "data.json").exists()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ZERO_STAGE", "3", "stage 3 cannot"),
        ("OFFLOAD_OPTIMIZER_DEVICE", "cpu", "with offloading to cpu cannot"),
    ],
)
def test_what_deepspeed_cannot_save_here_is_refused(recipe, tmp_path, monkeypatch, variable, value, said):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv(f"ACCELERATE_DEEPSPEED_{variable}", value)
    with pytest.raises(ValueError, match=f"ZeRO .*{said}"):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_deepspeed_that_is_not_installed_is_one_line_that_names_its_extra(
    recipe, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    sources = [
        "--sources.0.path",
        str(recipe.sources[0].path),
        "--validation.0.path",
        str(recipe.validation[0].path),
    ]
    assert main(["train", "debug", "--out", str(tmp_path / "run"), *sources]) == 2
    assert (
        "needs deepspeed, which is not installed; the extra 'deepspeed' brings it" in capsys.readouterr().err
    )


@pytest.mark.parametrize(("stage", "accepted"), [(1, True), (3, False)])
def test_the_stage_of_a_file_of_deepspeeds_own_is_read(tmp_path, monkeypatch, stage, accepted):
    (tmp_path / "zero.json").write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(tmp_path / "zero.json"))
    with nullcontext() if accepted else pytest.raises(ValueError, match="stage 3 cannot be saved here"):
        deepspeed.check_wanted()


@pytest.mark.parametrize("config", ["fsdp2", DEEPSPEED])
def test_shared_out_in_bfloat16_the_noise_level_stays_exact_and_the_losses_are_those_of_one_process(
    recipe, tmp_path, config
):
    half = replace(recipe, validation=(), num_steps=3, mixed_precision="bf16")
    train(half, tmp_path / "one")
    launch(half, tmp_path / "two", config, stop=2)
    one, two = losses_of(tmp_path / "one"), losses_of(tmp_path / "two")
    assert [two[step] for step in two] == pytest.approx([one[step] for step in two], rel=2e-2)


@pytest.mark.parametrize("config", [pytest.param("ddp", marks=pytest.mark.slow), "fsdp2", DEEPSPEED])
def test_two_processes_validate_and_finish_as_one_does(recipe, tmp_path, config):
    judged = replace(recipe, num_steps=3, validate_minutes=0.0)
    train(judged, tmp_path / "one")
    launch(judged, tmp_path / "two", config)
    rows = [
        [row["validation"]["policy"] for row in read_log(tmp_path / name) if "validation" in row]
        for name in ("one", "two")
    ]
    assert [len(part) for part in rows] == [3, 3]
    one, two = ([row["loss 0.5"] for row in part] for part in rows)
    assert two == pytest.approx(one, rel=1e-3)
    first, second = (weights_of(tmp_path / name / "model") for name in ("one", "two"))
    assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-3
    Models.load(tmp_path / "two" / "best")
