"""A card that is too small is said before anything is loaded or written, with what fits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from action_images.device import Place
from action_images.errors import ActionImagesError
from action_images.model import room as model_room
from action_images.model.bundle import Clips
from action_images.model.shipped import models_folder
from action_images.training import room
from action_images.training.recipes import RECIPES
from action_images.training.train import train

GPU = torch.device("cuda", 0)
CLIPS = Clips((512, 512), 41, 5.0, "release")


@pytest.fixture
def card(monkeypatch):
    """A card of so many gigabytes in place of whatever is here."""

    def of(gigabytes: float) -> None:
        for module in (room, model_room):
            monkeypatch.setattr(module, "memory_of", lambda _: int(gigabytes * 1e9))

    return of


def test_a_run_that_does_not_fit_is_refused_before_its_folder_is_made(recipe, tmp_path, card):
    card(0.001)
    with pytest.raises(ActionImagesError, match=r"debug: training takes 0\.\d GB, cpu has 0\.0; "):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_setting_that_fits_is_named_as_options(card):
    card(25.3)
    lora = RECIPES["wan2.2-5b-lora"]
    with pytest.raises(ActionImagesError, match=r"fits with caches \(--latents FOLDER --no-fill-latents\)$"):
        room.check_room(lora, CLIPS, GPU)
    room.check_room(replace(lora, latents=Path("there"), fill_latents=False), CLIPS, GPU)


def test_what_no_recipe_makes_fit_says_so(card):
    card(8)
    with pytest.raises(ActionImagesError, match="no setting of a recipe makes it fit"):
        room.check_room(RECIPES["wan2.2-5b-lora"], CLIPS, GPU)


def test_weights_that_a_card_does_not_hold_are_not_loaded(card):
    folder = models_folder("shipped")
    full, half = (model_room.weights_of(folder, kind) for kind in (torch.float32, torch.bfloat16))
    card((full + half) / 2 / 1e9)
    with pytest.raises(ActionImagesError, match=r"its weights take .* give --dtype bfloat16, or a larger"):
        model_room.check_weights_fit(folder, Place(GPU, torch.float32, "as asked for"))
    model_room.check_weights_fit(folder, Place(GPU, torch.bfloat16, "as asked for"))
    card(half / 2 / 1e9)
    with pytest.raises(ActionImagesError, match="give --device cpu, or a larger"):
        model_room.check_weights_fit(folder, Place(GPU, torch.bfloat16, "as asked for"))
