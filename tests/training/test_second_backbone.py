"""Another family of transformers is one file and one line: LTX's, in the same wrapper and training."""

# diffusers gives its models attributes that no type checker sees.
# pyright: reportAttributeAccessIssue=false, reportOptionalSubscript=false

import json
from dataclasses import replace
from typing import ClassVar, Literal

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel
from diffusers.configuration_utils import register_to_config
from runs import losses_of
from torch import Tensor

from action_images.model.backbone import AddConditions, Backbone
from action_images.model.backbones import BACKBONES
from action_images.model.bundle import Models
from action_images.model.conditioning.conditioned import Conditioned
from action_images.model.index import INDEX
from action_images.model.presets import PRESETS
from action_images.training.recipe import Recipe
from action_images.training.train import train


class ConditionedLtx(Conditioned, LTXVideoTransformer3DModel):
    """LTX's video transformer (one token for each latent pixel, adaLN-single), as a stranger would add it."""

    kind: ClassVar[str] = "ltx"

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 2,
        attention_head_dim: int = 24,
        num_layers: int = 2,
        in_channels: int = 32,
        out_channels: int = 32,
        text_dim: int = 64,
        camera: Literal["rays"] | None = None,  # noqa: ARG002
        prediction: Literal["velocity", "clean"] = "velocity",  # noqa: ARG002
        per_frame_noise_level: bool = False,  # noqa: ARG002
        stem_channels: int | None = None,  # noqa: ARG002
        motion_channels: int | None = None,  # noqa: ARG002
        action_channels: int | None = None,  # noqa: ARG002
        motion_frames: int = 4,  # noqa: ARG002
        word_pickers: int | None = None,  # noqa: ARG002
        pixels_per_token: int = 8,  # noqa: ARG002
        bias_frames: int | None = None,  # noqa: ARG002
        max_views: int | None = None,  # noqa: ARG002
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            cross_attention_dim=num_attention_heads * attention_head_dim,
            num_layers=num_layers,
            caption_channels=text_dim,
        )
        self.add_conditioning()

    @property
    def width(self) -> int:
        return self.config["num_attention_heads"] * self.config["attention_head_dim"]

    @property
    def patch(self) -> tuple[int, int]:
        return 1, 1

    def denoise(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        add_conditions: AddConditions,
        camera: Tensor | None,
    ) -> Tensor:
        assert camera is None
        batch, _, num_frames, height, width = latents.shape
        text = self.caption_projection(text)
        tokens = self.proj_in(latents.movedim(1, -1)).movedim(-1, 1)
        tokens = add_conditions(tokens, text).flatten(2).mT
        places = self.rope(tokens, num_frames, height, width)
        per_frame = timestep.view(batch, -1).expand(-1, num_frames)
        per_token = per_frame.repeat_interleave(height * width, 1)
        modulation, level = self.time_embed(per_token.flatten(), batch_size=batch, hidden_dtype=tokens.dtype)
        modulation, level = modulation.unflatten(0, (batch, -1)), level.unflatten(0, (batch, -1))
        for block in self.transformer_blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                tokens = self._gradient_checkpointing_func(block, tokens, text, modulation, places, None)
            else:
                tokens = block(tokens, text, modulation, places, None)
        shift, scale = (self.scale_shift_table + level[:, :, None]).unbind(2)
        tokens = self.proj_out(self.norm_out(tokens) * (1 + scale) + shift)
        return tokens.mT.unflatten(2, (num_frames, height, width))


DEBUG = PRESETS["debug"]
CONFIG = {name: value for name, value in DEBUG.transformer.items() if name != "ffn_dim"} | {
    "pixels_per_token": 8
}


@pytest.fixture
def _registered(monkeypatch) -> None:
    """The two lines that it takes: a backbone, and `debug` on it."""
    monkeypatch.setitem(BACKBONES, "ltx", ConditionedLtx)
    monkeypatch.setitem(PRESETS, "debug-ltx", replace(DEBUG, backbone="ltx", transformer=CONFIG))


def test_it_keeps_the_protocol():
    network = ConditionedLtx(**CONFIG)
    assert isinstance(network, Backbone)
    assert network.width == 48


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("checkpointed", [False, True])
def test_it_learns_debug_through_the_same_code_and_comes_back_from_disk(
    recipe: Recipe, tmp_path, checkpointed: bool
):
    recipe = replace(
        recipe,
        preset="debug-ltx",
        num_steps=30,
        batch_size=8,
        warmup_steps=4,
        gradient_checkpointing=checkpointed,
    )
    folder = train(recipe, tmp_path / "run")
    assert json.loads((folder / INDEX).read_text())["backbone"] == "ltx"
    loaded = Models.load(folder)
    network = loaded.denoiser.transformer
    assert isinstance(network, ConditionedLtx)
    losses = losses_of(tmp_path / "run")
    assert losses[max(losses)] < 0.8 * losses[1]
    # Every part of the wrapper has learnt: what starts at zero is zero no more.
    assert network.ray_encoder.layers[-1].weight.abs().sum() > 0
    assert network.words.weigh.weight.abs().sum() > 0
    assert network.proj_out.weight.abs().sum() > 0
    loaded.save(tmp_path / "again")
    again = Models.load(tmp_path / "again").denoiser.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in loaded.denoiser.state_dict().items())
