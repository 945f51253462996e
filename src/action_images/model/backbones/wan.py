"""Wan's video transformer as a backbone, with the release's camera branch in its blocks.

Keys, sizes and numbers are those of diffusers' `WanTransformer3DModel` and of the release (docs/model.md has
the table). Every addition is one value of the config and off by default.
"""

# Type checkers do not see the attributes of diffusers' configs and outputs.
# pyright: reportAttributeAccessIssue=false, reportIncompatibleMethodOverride=false
# pyright: reportOptionalSubscript=false
# pyright: reportOptionalCall=false, reportArgumentType=false

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel, WanTransformerBlock
from torch import Tensor, nn

from action_images.errors import ActionImagesError
from action_images.model.backbone import AddConditions
from action_images.model.backbones.attention import Attention
from action_images.model.conditioning.conditioned import Conditioned
from action_images.model.conditioning.rays import POOLED_CHANNELS

MAX_SEQUENCE = 1 << 16
"""The largest number of positions along one axis for rotary embeddings, in saved models."""


class CameraBlock(WanTransformerBlock):
    """Wan's block; with `camera_channels`, the release's camera branch is around its self-attention."""

    def __init__(self, *args: Any, camera_channels: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for attention in (self.attn1, self.attn2):
            attention.set_processor(Attention())
        self.cam_encoder = self.projector = None
        if camera_channels is not None:
            width = self.scale_shift_table.shape[-1]
            # The release's names. Its layers 0 and 1 pool and flatten; that is done here once for all blocks.
            self.cam_encoder = nn.Sequential(nn.Identity(), nn.Identity(), nn.Linear(camera_channels, width))
            self.projector = nn.Linear(width, width)
            # The branch adds nothing at the start, so that cameras can be added to pretrained weights.
            nn.init.zeros_(self.cam_encoder[2].weight)
            nn.init.zeros_(self.cam_encoder[2].bias)
            nn.init.zeros_(self.projector.weight)
            self.projector.weight.data.fill_diagonal_(1)
            nn.init.zeros_(self.projector.bias)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor,
        rotary_emb: tuple[Tensor, Tensor],
        camera: Tensor | None,
        frame_of_token: Tensor | None,
    ) -> Tensor:
        """Self-attention, attention to the text, feed-forward.

        Args:
            hidden_states: tokens (b n d).
            encoder_hidden_states: text (b token d).
            temb: modulation (b 1|l 6 d), for all latent frames or for each.
            rotary_emb: cosines and sines of the tokens' positions.
            camera: pooled cameras (b l c), for the camera branch.
            frame_of_token: the latent frame of each token (1 n); None: all tokens are here, in order.
        """
        modulation = self.scale_shift_table[:, None] + temb.float()
        shift, scale, gate, ff_shift, ff_scale, ff_gate = modulation.unbind(-2)
        kind = hidden_states.dtype

        attended = _modulated(self.norm1(hidden_states.float()), scale, shift, frame_of_token).to(kind)
        if self.cam_encoder is not None:
            grouped, (seen,) = _side_by_side((self.cam_encoder(camera),), attended, frame_of_token)
            attended = (grouped + seen).view_as(attended)
        attended = self.attn1(attended, None, None, rotary_emb)
        if self.projector is not None:
            attended = self.projector(attended)
        hidden_states = _gated(hidden_states.float(), attended, gate, frame_of_token).to(kind)

        attended = self.attn2(self.norm2(hidden_states.float()).to(kind), encoder_hidden_states, None, None)
        hidden_states = hidden_states + attended

        fed = _modulated(self.norm3(hidden_states.float()), ff_scale, ff_shift, frame_of_token).to(kind)
        fed = self.ffn(fed).float()
        return _gated(hidden_states.float(), fed, ff_gate, frame_of_token).to(kind)


class FrameOfToken(nn.Module):
    """The latent frame of each token; a module, so that context parallelism can split its result."""

    def forward(self, num_frames: int, tokens_per_frame: int, device: torch.device) -> Tensor:
        """(1, num_frames * tokens_per_frame), counting up."""
        return torch.arange(num_frames, device=device).repeat_interleave(tokens_per_frame)[None]


class ActionImagesTransformer3DModel(Conditioned, WanTransformer3DModel):
    """Wan's transformer with cameras, pixels and positions; `Conditioned` explains each config value."""

    kind: ClassVar[str] = "wan"
    _no_split_modules: ClassVar = ["CameraBlock"]
    _repeated_blocks: ClassVar = ["CameraBlock"]
    # Wan's own plan splits a timestep for each token; ours are for latent frames, through `frame_of_token`.
    _cp_plan: ClassVar = {
        "rope": WanTransformer3DModel._cp_plan["rope"],
        "frame_of_token": {0: ContextParallelInput(split_dim=1, expected_dims=2, split_output=True)},
        "blocks.0": {"hidden_states": ContextParallelInput(split_dim=1, expected_dims=3)},
        "proj_out": ContextParallelOutput(gather_dim=1, expected_dims=3),
    }

    @register_to_config
    def __init__(
        self,
        patch_size: Sequence[int] = (1, 2, 2),
        num_attention_heads: int = 24,
        attention_head_dim: int = 128,
        in_channels: int = 48,
        out_channels: int = 48,
        text_dim: int = 4096,
        freq_dim: int = 256,
        ffn_dim: int = 14336,
        num_layers: int = 30,
        *,
        cross_attn_norm: bool = True,
        qk_norm: str = "rms_norm_across_heads",
        eps: float = 1e-6,
        image_dim: int | None = None,
        added_kv_proj_dim: int | None = None,
        rope_max_seq_len: int = 1024,
        pos_embed_seq_len: int | None = None,
        camera: Literal["released", "rays"] | None = None,
        output_split: int | None = None,
        # `add_conditioning` reads these.
        prediction: Literal["velocity", "clean"] = "velocity",  # noqa: ARG002
        per_frame_noise_level: bool = False,  # noqa: ARG002
        stem_channels: int | Sequence[int] | None = None,  # noqa: ARG002
        motion_channels: int | Sequence[int] | None = None,  # noqa: ARG002
        action_channels: int | Sequence[int] | None = None,  # noqa: ARG002
        motion_frames: int = 4,  # noqa: ARG002
        word_pickers: int | None = None,  # noqa: ARG002
        pixels_per_token: int = 32,  # noqa: ARG002
        bias_frames: int | None = None,  # noqa: ARG002
        max_views: int | None = None,  # noqa: ARG002
        still_anchor: bool = False,  # noqa: ARG002
    ) -> None:
        embeds_images = any(value is not None for value in (image_dim, added_kv_proj_dim, pos_embed_seq_len))
        if patch_size[0] != 1 or embeds_images:
            raise ActionImagesError(
                "this transformer takes patches of one latent frame and no image embeddings; "
                "set patch_size to (1, h, w)"
            )
        if not 0 < rope_max_seq_len <= MAX_SEQUENCE:
            raise ActionImagesError(f"rope_max_seq_len is {rope_max_seq_len}, 1 to {MAX_SEQUENCE} can be")
        super().__init__(
            patch_size=patch_size,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels,
            out_channels=out_channels,
            text_dim=text_dim,
            freq_dim=freq_dim,
            ffn_dim=ffn_dim,
            num_layers=0,  # ours are built below; building both would double the memory of a 5B model
            cross_attn_norm=cross_attn_norm,
            qk_norm=qk_norm,
            eps=eps,
            rope_max_seq_len=rope_max_seq_len,
        )
        self.register_to_config(num_layers=num_layers)
        self.blocks = nn.ModuleList(
            CameraBlock(
                dim=self.width,
                ffn_dim=ffn_dim,
                num_heads=num_attention_heads,
                qk_norm=qk_norm,
                cross_attn_norm=cross_attn_norm,
                eps=eps,
                camera_channels=POOLED_CHANNELS if camera == "released" else None,
            )
            for _ in range(num_layers)
        )
        self.frame_of_token = FrameOfToken()
        self.split = None
        if output_split is not None:
            self.split = TokenSplit(self.width, output_split, self.patch)
            rows, columns = self.split.patch
            self.proj_out = nn.Linear(self.width, out_channels * rows * columns)
            # Finer tokens are laid out by position, which needs all tokens, not a share of them.
            plan = {name: told for name, told in self._cp_plan.items() if name != "proj_out"}
            self._cp_plan = {**plan, "split.layer": self._cp_plan["proj_out"]}
        self.add_conditioning()

    @property
    def width(self) -> int:
        """The width of a token."""
        return self.config["num_attention_heads"] * self.config["attention_head_dim"]

    @property
    def patch(self) -> tuple[int, int]:
        """Latent rows and columns of one token."""
        _, rows, columns = self.config["patch_size"]
        return rows, columns

    def denoise(
        self,
        latents: Tensor,
        timestep: Tensor,
        text: Tensor,
        add_conditions: AddConditions,
        camera: Tensor | None,
    ) -> Tensor:
        """One pass from latents (b c l h w) to latents; see `Backbone.denoise`."""
        rotary_emb = self.rope(latents)
        level, modulation, text = self._embed_level_and_text(timestep, text)
        tokens = add_conditions(self.patch_embedding(latents), text)
        num_frames, height, width = tokens.shape[2:]
        tokens = tokens.flatten(2).transpose(1, 2).contiguous()
        frame_of_token = self.frame_of_token(num_frames, height * width, tokens.device)
        if frame_of_token.shape[1] == num_frames * height * width:
            frame_of_token = None  # not split by context parallelism
        for block in self.blocks:
            told = (text, modulation, rotary_emb, camera, frame_of_token)
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                tokens = self._gradient_checkpointing_func(block, tokens, *told)
            else:
                tokens = block(tokens, *told)
        shift, scale = (self.scale_shift_table[:, None] + level[:, :, None]).unbind(-2)
        shift, scale = shift.to(tokens.device), scale.to(tokens.device)
        tokens = _modulated(self.norm_out(tokens.float()), scale, shift, frame_of_token).type_as(tokens)
        if self.split is None:
            return _to_latents(self.proj_out(tokens), (num_frames, height, width), self.patch)
        finer, places = self.split(tokens, (num_frames, height, width))
        return _to_latents(self.proj_out(finer), places, self.split.patch)

    def _embed_level_and_text(self, timestep: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The embedded noise level (b 1|l d), the blocks' modulation (b 1|l 6 d), and the embedded text
        (b token d)."""
        per_frame = timestep if timestep.ndim == 2 else timestep[:, None]
        level, modulation, text, _ = self.condition_embedder(
            per_frame.flatten(), text, timestep_seq_len=per_frame.shape[1]
        )
        return level, modulation.unflatten(-1, (6, -1)), text


class TokenSplit(nn.Module):
    """Splits each token into `split` x `split` finer ones of the same width for the last layer.

    A linear last layer can show only as many patterns as a token has numbers. These are too few for the spots
    of action images in cells of 32 px (docs/experiments/learning.md).
    """

    def __init__(self, width: int, split: int, patch: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = patch
        if split < 1 or rows % split or columns % split:
            raise ActionImagesError(
                f"output_split {split} does not divide patches of {rows} x {columns} latents"
            )
        self.factor, self.patch = split, (rows // split, columns // split)
        self.layer = nn.Linear(width, split**2 * width)

    def forward(self, tokens: Tensor, places: tuple[int, int, int]) -> tuple[Tensor, tuple[int, int, int]]:
        """Tokens (b n d) of `places` (latent frames, rows, columns) to finer ones, with their `places`."""
        frames, rows, columns = places
        parts = nn.functional.gelu(self.layer(tokens)).unflatten(-1, (self.factor, self.factor, -1))
        finer = parts.unflatten(1, places).permute(0, 1, 2, 4, 3, 5, 6)
        return finer.flatten(1, 5), (frames, rows * self.factor, columns * self.factor)


def _to_latents(tokens: Tensor, places: tuple[int, int, int], patch: tuple[int, int]) -> Tensor:
    """Tokens (b n c*p*q) of `places` (latent frames, rows, columns) as latents (b c l h*p w*q)."""
    patches = tokens.unflatten(1, places).unflatten(-1, (*patch, -1))
    return patches.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


def _side_by_side(
    values: Sequence[Tensor], tokens: Tensor, frame_of_token: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """Tokens (b n d) and values of each latent frame, or of all (b 1|l d), in shapes that broadcast.

    Whole canvases are viewed frame by frame, without copies.
    """
    num_frames = values[0].shape[1]
    if num_frames == 1:
        return tokens, list(values)
    if frame_of_token is None:
        return tokens.unflatten(1, (num_frames, -1)), [value[:, :, None] for value in values]
    return tokens, [value[:, frame_of_token[0]] for value in values]


def _modulated(tokens: Tensor, scale: Tensor, shift: Tensor, frame_of_token: Tensor | None) -> Tensor:
    """tokens (b n d) * (1 + scale) + shift, with values of each latent frame, or of all (b 1|l d)."""
    grouped, (scale, shift) = _side_by_side((scale, shift), tokens, frame_of_token)
    return torch.addcmul(shift, grouped, 1 + scale).view_as(tokens)


def _gated(tokens: Tensor, added: Tensor, gate: Tensor, frame_of_token: Tensor | None) -> Tensor:
    """tokens + added (b n d) * gate (b 1|l d)."""
    grouped, (gate,) = _side_by_side((gate,), added, frame_of_token)
    return torch.addcmul(tokens.view_as(grouped), grouped, gate).view_as(tokens)


TransformerBlockRegistry.register(CameraBlock, TransformerBlockMetadata(return_hidden_states_index=0))
