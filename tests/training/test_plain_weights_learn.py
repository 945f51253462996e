"""Wan's own weights learn through the real loop, whole and by adapters, and cameras begin to count."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import losses_of

from action_images.model.bundle import Models
from action_images.model.hub import fetch_plain, from_hub
from action_images.training.recipe import Recipe
from action_images.training.recipes import RECIPES
from action_images.training.train import train
from plain_snapshot import write_snapshot


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Path:
    """Models that `fetch-weights --preset wan2.1-1.3b` makes, of a tiny repository."""
    root = tmp_path_factory.mktemp("hub")
    write_snapshot(root / "cache", "wan2.1-1.3b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        fetch_plain(root / "model", "wan2.1-1.3b", fetch=lambda one: from_hub(one, root / "cache"))
    return root / "model"


@pytest.mark.parametrize("name", ["wan2.1-1.3b", "wan2.1-1.3b-lora"])
def test_a_recipe_takes_steps_from_plain_weights(name: str, recipe: Recipe, plain: Path, tmp_path):
    recipe = replace(
        RECIPES[name],
        sources=recipe.sources,
        validation=(),
        pretrained=plain,
        size=(32, 32),
        num_frames=5,
        num_steps=2,
        batch_size=2,
        warmup_steps=1,
        learning_rate=1e-2,
        num_workers=0,
        latents=tmp_path / "latents",
    )
    folder = train(recipe, tmp_path / "run")
    assert all(loss > 0 for loss in losses_of(tmp_path / "run").values())
    before = Models.load(plain).denoiser.transformer.state_dict()
    after = Models.load(folder).denoiser.transformer.state_dict()
    assert before.keys() == after.keys()
    last = "ray_encoder.layers.2.weight"
    assert not before[last].any()
    assert after[last].any()
    assert not torch.equal(before["blocks.0.attn1.to_q.weight"], after["blocks.0.attn1.to_q.weight"].float())
