"""Several processes of one run: what is refused, and exact noise levels where they share in bfloat16."""

import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from launches import DEEPSPEED, launch
from runs import losses_of, write_demonstrations

from action_images.cli import main
from action_images.training import deepspeed
from action_images.training.recipe import Recipe
from action_images.training.train import train

REFUSED = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from action_images.training.recipe import Recipe
from action_images.training.train import train
rank, folder = os.environ["RANK"], Path(sys.argv[2])
for name, recipe in json.loads(Path(sys.argv[1]).read_text()).items():
    own = folder / name / rank
    os.chdir(own)
    said = "nothing"
    try:
        train(Recipe.from_json(recipe), own / "run" if name == "disks" else folder / name / "run")
    except ValueError as error:
        said = str(error)
    (folder / f"{name} {rank}").write_text(said)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


@dataclass(frozen=True)
class Machines:
    """Recipes of two processes, each with a folder of its own where it stands: folder / name / rank."""

    recipes: dict[str, Recipe]

    def as_json(self) -> dict[str, Any]:
        return {name: recipe.as_json() for name, recipe in self.recipes.items()}


def test_machines_with_other_disks_or_other_copies_of_the_data_are_refused_before_they_train(
    recipe, tmp_path
):
    plain = replace(recipe, validation=(), num_steps=2)
    (source,) = plain.sources
    disks = replace(plain, pretrained=train(replace(plain, num_steps=1), tmp_path / "base"))
    copies = replace(plain, sources=(replace(source, path=Path("data")),))
    for rank in range(2):
        (tmp_path / "disks" / str(rank)).mkdir(parents=True)
        write_demonstrations(tmp_path / "copies" / str(rank) / "data", 2, seed=rank)
    train(disks, tmp_path / "disks" / "0" / "run")  # process 0 alone finds its checkpoint
    launch(Machines({"disks": disks, "copies": copies}), tmp_path, "ddp", program=REFUSED)
    first, second = ((tmp_path / f"disks {rank}").read_text() for rank in range(2))
    assert "step is 2 for process 0 and 0 for process 1; let all machines see one folder" in first
    assert second == first
    first, second = ((tmp_path / f"copies {rank}").read_text() for rank in range(2))
    assert "process 1 reads other data than process 0: data/" in first
    assert second == first
    assert not (tmp_path / "copies" / "run" / "data.json").exists()


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
