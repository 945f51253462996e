"""A last layer that sees several finer tokens for each token; networks without one are what they were."""

from pathlib import Path
from typing import Any

import pytest
import torch

import action_images
from action_images.errors import ActionImagesError
from action_images.model.backbones.wan import ActionImagesTransformer3DModel, TokenSplit
from action_images.model.bundle import Models
from tiny_models import FULL

SHIPPED = Path(action_images.__file__).parent / "weights" / "tiny"
LARGE: dict[str, Any] = FULL | {"patch_size": [1, 4, 4], "pixels_per_token": 32}


def test_each_finer_token_is_shown_where_its_token_stands():
    """A token that differs changes its own patch of latents and nothing else, whichever it is."""
    torch.manual_seed(0)
    split = TokenSplit(8, 2, (4, 4))
    tokens = torch.randn(1, 2 * 3 * 5, 8)
    for place in range(30):
        other = tokens.clone()
        other[0, place] += 1
        before, places = split(tokens, (2, 3, 5))
        after, _ = split(other, (2, 3, 5))
        changed = (before != after).any(-1).view(places).nonzero()
        frame, row, column = place // 15, place // 5 % 3, place % 5
        assert places == (2, 6, 10)
        expected = [
            [frame, 2 * row + i, 2 * column + j] for i, j in torch.cartesian_prod(*2 * [torch.arange(2)])
        ]
        assert changed.tolist() == expected


def test_a_split_shows_more_patterns_than_a_token_has_numbers():
    """Without one the patches of all tokens lie in a space of as many dimensions as a token has numbers."""
    torch.manual_seed(0)
    width, num_latents = 24, 8 * 16
    tokens = torch.randn(1, 400, width)
    plain = torch.nn.Linear(width, num_latents, bias=False)
    split, last = TokenSplit(width, 2, (4, 4)), torch.nn.Linear(width, num_latents // 4, bias=False)
    finer, _ = split(tokens, (1, 20, 20))
    patches = last(finer).view(20, 2, 20, 2, -1).permute(0, 2, 1, 3, 4).reshape(400, -1)
    assert torch.linalg.matrix_rank(plain(tokens)[0]) == width
    assert torch.linalg.matrix_rank(patches) > 2 * width


def test_a_split_that_does_not_divide_a_patch_is_refused():
    with pytest.raises(ActionImagesError, match="output_split 3 does not divide patches of 4 x 4 latents"):
        ActionImagesTransformer3DModel(**LARGE, output_split=3)


def test_a_network_with_a_split_is_saved_and_loaded(tmp_path):
    torch.manual_seed(0)
    network = ActionImagesTransformer3DModel(**LARGE, output_split=2)
    network.save_pretrained(tmp_path)
    loaded = ActionImagesTransformer3DModel.from_pretrained(tmp_path)
    assert loaded.config["output_split"] == 2
    torch.testing.assert_close(loaded.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_networks_from_before_have_none():
    """The shipped weights were saved before there was a split; so was everything that others trained."""
    network = Models.load(SHIPPED).denoiser.transformer
    assert network.split is None
    assert network.config["patch_size"] == [1, 2, 2]
    assert "proj_out" in network._cp_plan
