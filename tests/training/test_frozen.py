"""Frozen parts are asked once: training from a cache is the same training, without them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import assert_same_weights, losses_of, write_demonstrations

from action_images.cli import main
from action_images.errors import ActionImagesError
from action_images.model.autoencoders.wan import WanAutoencoder
from action_images.model.backbones import BACKBONES
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.presets import PRESETS
from action_images.samples.latent_cache import entries
from action_images.training.own_data import with_data
from action_images.training.recipe import Recipe
from action_images.training.train import train
from tiny_models import tiny_language_model

AUTOENCODER = {
    "base_dim": 8,
    "z_dim": 8,
    "dim_mult": [1, 1, 2, 2],
    "num_res_blocks": 1,
    "latents_mean": [0.0] * 8,
    "latents_std": [1.0] * 8,
}
CONFIG = PRESETS["debug"].transformer | {"in_channels": 8, "out_channels": 8, "text_dim": 16}


def write_models(folder: Path, seed: int = 0) -> Path:
    """A network with a convolutional autoencoder and a language model, all tiny."""
    torch.manual_seed(seed)
    network = BACKBONES["wan"](**CONFIG, still_anchor=True)
    autoencoder = WanAutoencoder.new(**AUTOENCODER)
    Models(
        CanvasDenoiser(network), autoencoder, tiny_language_model(), Clips((32, 32), 5, 5.0, "one-step")
    ).save(folder)
    return folder


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> Path:
    return write_models(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def frozen(recipe: Recipe, pretrained: Path) -> Recipe:
    """Four steps from saved models, some scenes mirrored, none judged."""
    return replace(recipe, pretrained=pretrained, validation=(), mirror=0.5, num_steps=4)


def without_weights(folder: Path, models: Path) -> Path:
    """The same folder of models, whose frozen parts cannot be read."""
    import shutil

    shutil.copytree(models, folder)
    for part in ("vae", "text_encoder"):
        (weights,) = (folder / part).glob("*.safetensors")
        weights.write_bytes(b"")
    return folder


def test_a_run_that_reads_a_cache_is_the_same_run_and_loads_nothing_frozen(frozen: Recipe, tmp_path):
    plain = train(frozen, tmp_path / "plain")
    filling = train(replace(frozen, latents=tmp_path / "cache"), tmp_path / "filling")
    known = entries(tmp_path / "cache")
    assert known
    bare = without_weights(tmp_path / "bare", frozen.pretrained)
    reading = replace(frozen, latents=tmp_path / "cache", fill_latents=False, pretrained=bare)
    read = train(reading, tmp_path / "reading")
    assert losses_of(tmp_path / "filling") == losses_of(tmp_path / "plain")
    assert losses_of(tmp_path / "reading") == losses_of(tmp_path / "plain")
    assert_same_weights(plain, filling)
    assert_same_weights(plain, read)
    assert entries(tmp_path / "cache") == known


def test_encode_makes_all_that_training_asks_for(frozen: Recipe, pretrained: Path, tmp_path, capsys):
    (source,) = frozen.sources
    frozen = replace(frozen, sources=(replace(source, step=4),), num_steps=2)
    cache = tmp_path / "cache"
    told = ["--model", str(pretrained), "--cache", str(cache), "--step", "4", "--mirror", "--check"]
    assert main(["encode", str(source.path), *told]) == 0
    assert "12 windows" in capsys.readouterr().out
    made = entries(cache)
    train(replace(frozen, latents=cache, fill_latents=False), tmp_path / "run")
    assert entries(cache) == made
    for path in made:
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ActionImagesError, match="the cached latents are damaged"):
        train(replace(frozen, latents=cache, fill_latents=False), tmp_path / "another")
    assert main(["encode", str(source.path), *told]) != 0


def test_encode_takes_the_frames_of_a_fast_set_that_training_takes(frozen, pretrained, tmp_path, capsys):
    data = write_demonstrations(tmp_path / "fast", 2, seed=0, fps=10.0, num_frames=10)
    adapted, _ = with_data(replace(frozen, num_steps=2, num_views=2), [data])
    reading = replace(adapted, validation=(), latents=tmp_path / "cache", fill_latents=False)
    told = ["encode", str(data), "--model", str(pretrained), "--cache", str(tmp_path / "cache")]
    assert main([*told, "--stride", "1", "--step", "1"]) == 0
    with pytest.raises(
        ActionImagesError, match=r"size and data, --stride 2 --step 1 --frames 5( --mirror)?,"
    ):
        train(reading, tmp_path / "another stride")
    capsys.readouterr()
    assert main([*told, "--step", "1", "--mirror"]) == 0
    assert "10 frames a second, one of 2 taken: 5 a second" in capsys.readouterr().err
    train(reading, tmp_path / "run")


def test_a_cache_of_other_weights_is_refused_with_the_cure(frozen: Recipe, tmp_path):
    cache = tmp_path / "cache"
    train(replace(frozen, latents=cache, num_steps=1), tmp_path / "run")
    other = write_models(tmp_path / "other", seed=1)
    wanted = replace(frozen, latents=cache, fill_latents=False, pretrained=other)
    with pytest.raises(ActionImagesError, match="another autoencoder; run 'action-images encode'"):
        train(wanted, tmp_path / "other run")
    larger = replace(frozen, latents=cache, fill_latents=False, size=(64, 64))
    with pytest.raises(ActionImagesError, match="another size; run 'action-images encode'"):
        train(larger, tmp_path / "larger")


def test_filling_is_about_a_cache(frozen: Recipe):
    with pytest.raises(ActionImagesError, match="give its folder as latents too"):
        replace(frozen, fill_latents=False)
