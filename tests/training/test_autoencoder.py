"""A convolutional autoencoder learns from nothing, and models are trained on it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from runs import losses_of, write_demonstrations

from action_images.cli import main
from action_images.errors import ActionImagesError
from action_images.model.autoencoders import load_autoencoder
from action_images.model.bundle import Models
from action_images.model.presets import PRESETS
from action_images.training import autoencoder
from action_images.training.autoencoder import AutoencoderTraining, train_autoencoder
from action_images.training.recipe import Recipe
from action_images.training.recipes import RECIPES
from action_images.training.train import train

SMALL = replace(
    PRESETS["base"],
    transformer=PRESETS["debug"].transformer | {"in_channels": 8, "out_channels": 8, "still_anchor": True},
    autoencoder={"base_dim": 8, "z_dim": 8, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1},
    hashed_words=PRESETS["debug"].hashed_words,
    size=(32, 32),
    num_frames=5,
)


@pytest.fixture(autouse=True)
def _small_base(monkeypatch) -> None:
    """`base` in the same classes with the same values, some of them smaller."""
    monkeypatch.setitem(PRESETS, "base", SMALL)
    monkeypatch.setattr(autoencoder, "MOMENT_CLIPS", 3)


def steps(demonstrations: Path, number: int) -> AutoencoderTraining:
    return AutoencoderTraining(
        (demonstrations,),
        num_steps=number,
        batch_size=2,
        learning_rate=3e-3,
        held_out=0.5,
        num_workers=0,
        judged=2,
    )


def test_it_learns_to_show_a_video_again_and_says_how_well(demonstrations: Path, tmp_path):
    losses = []
    figures = train_autoencoder(
        steps(demonstrations, 20), tmp_path / "ours", told=lambda _, loss: losses.append(loss)
    )
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert figures["windows"] == 2
    assert figures["video PSNR dB"] > 8
    assert 0 <= figures["valid"] <= 1
    assert json.loads((tmp_path / "ours" / "figures.json").read_text())["windows"] == 2
    # In diffusers' layout, with the data's statistics.
    config = AutoencoderKLWan.from_pretrained(tmp_path / "ours").config
    assert any(value != 0 for value in config["latents_mean"])
    latents = load_autoencoder(tmp_path / "ours").encode(torch.zeros(1, 5, 3, 32, 32))
    assert latents.shape == (1, 8, 2, 4, 4)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(demonstrations: Path, tmp_path):
    class Stopped(Exception):
        pass

    def stop(step: int, _: float) -> None:
        if step == 2:
            raise Stopped

    run = replace(steps(demonstrations, 4), save_minutes=0.0)
    train_autoencoder(run, tmp_path / "whole")
    with pytest.raises(Stopped):
        train_autoencoder(run, tmp_path / "stopped", told=stop)
    seen = []
    train_autoencoder(run, tmp_path / "stopped", told=lambda step, _: seen.append(step))
    assert seen == [2, 3]
    one, other = (load_autoencoder(tmp_path / name).vae.state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    with pytest.raises(ActionImagesError, match=r"holds another run \(seed differ\)"):
        train_autoencoder(replace(run, seed=1), tmp_path / "stopped")


@pytest.mark.parametrize(("share", "number"), [(0.001, 0), (0.999, 6)])
def test_a_share_that_holds_out_nothing_or_all_is_refused_before_the_first_step(
    demonstrations: Path, tmp_path, share, number
):
    run = replace(steps(demonstrations, 1), held_out=share)
    said = rf"demonstrations: {number} of 6 episodes .* give --held-out 0\.\d"
    with pytest.raises(ActionImagesError, match=said):
        train_autoencoder(run, tmp_path / "run", told=lambda *_: pytest.fail("it has begun"))


@pytest.mark.parametrize("change", [{"num_steps": 0}, {"judged": 0}, {"learning_rate": float("nan")}])
def test_numbers_that_make_no_sense_are_refused(demonstrations: Path, change):
    with pytest.raises(ActionImagesError, match=f"{next(iter(change))} must be"):
        replace(steps(demonstrations, 1), **change)


def test_base_is_trained_on_it_and_is_refused_without_one(recipe: Recipe, demonstrations: Path, tmp_path):
    small = {
        "sources": recipe.sources,
        "validation": (),
        "num_steps": 2,
        "batch_size": 2,
        "num_workers": 0,
        "mixed_precision": "no",
        "frames_cache": None,
    }
    with pytest.raises(ActionImagesError, match="run 'action-images train-autoencoder DATA --preset base"):
        train(replace(RECIPES["base"], **small, autoencoder=None), tmp_path / "none")
    train_autoencoder(steps(demonstrations, 1), tmp_path / "autoencoder")
    folder = train(replace(RECIPES["base"], **small, autoencoder=tmp_path / "autoencoder"), tmp_path / "run")
    assert len(losses_of(tmp_path / "run")) == 2
    models = Models.load(folder)
    saved = load_autoencoder(tmp_path / "autoencoder").vae.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in models.autoencoder.vae.state_dict().items())


def test_a_run_does_not_go_on_with_other_data_under_the_same_ids(tmp_path):
    data = write_demonstrations(tmp_path / "data", 3, seed=5)
    train_autoencoder(steps(data, 1), tmp_path / "out")
    train_autoencoder(steps(data, 1), tmp_path / "out")
    shutil.rmtree(data)
    write_demonstrations(data, 3, seed=6)
    with pytest.raises(ActionImagesError, match="the data has changed since this run began"):
        train_autoencoder(steps(data, 1), tmp_path / "out")


def test_the_command_writes_and_tells(demonstrations: Path, tmp_path, capsys):
    told = ["--steps", "1", "--batch", "1", "--workers", "0", "--held-out", "0.5"]
    assert main(["train-autoencoder", str(demonstrations), "--out", str(tmp_path / "ours"), *told]) == 0
    said = capsys.readouterr()
    assert "runs on cpu in float32" in said.err
    assert "video PSNR dB:" in said.out
    assert "position mm:" in said.out
    assert (
        main(["train-autoencoder", str(demonstrations), "--out", str(tmp_path / "b"), "--height", "64"]) == 2
    )
    assert "give both --height and --width" in capsys.readouterr().err
    refused = ["train-autoencoder", str(demonstrations), "--out", str(tmp_path / "c"), "--preset", "tiny"]
    assert main(refused) == 2
    assert "not learnt but fitted" in capsys.readouterr().err
