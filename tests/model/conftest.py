"""Small models that the tests of this room share."""

import json
from pathlib import Path

import pytest
import torch

from action_images.model.backbones.wan import ActionImagesTransformer3DModel

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def released(golden) -> ActionImagesTransformer3DModel:
    """The golden network of the release, through its published key map."""
    about = json.loads((GOLDEN / "dit_config.json").read_text())
    state = {name.replace("/", "."): value for name, value in golden("dit_state").items()}
    model = ActionImagesTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=64, ffn_dim=64, num_layers=2, camera="released"
    )
    model.load_state_dict(
        {ours: state[theirs] for theirs, ours in about["keymap_upstream_to_diffusers"].items()}, strict=True
    )
    return model.eval()


@pytest.fixture
def inputs():
    """Random inputs for a TINY transformer."""

    def make(num_frames: int = 4, height: int = 4, width: int = 6, batch: int = 2) -> dict[str, torch.Tensor]:
        return {
            "hidden_states": torch.randn(batch, 8, num_frames, height, width),
            "timestep": torch.rand(batch) * 1000,
            "encoder_hidden_states": torch.randn(batch, 5, 16),
        }

    return make
