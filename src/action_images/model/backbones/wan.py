"""Wan's video transformer with cameras, and with what a model trained from scratch needs besides.

Keys, sizes and numbers are those of diffusers' `WanTransformer3DModel` and of the release (docs/model.md has the
table); every addition is one value of the config that is off by default.
"""

# diffusers gives its configs and outputs attributes that no type checker sees.
# pyright: reportAttributeAccessIssue=false, reportIncompatibleMethodOverride=false, reportOptionalSubscript=false
# pyright: reportOptionalCall=false, reportArgumentType=false

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel, WanTransformerBlock
from diffusers.utils import apply_lora_scale
from torch import Tensor, nn

from action_images.canvas import Layout
from action_images.canvas.layout import STREAMS, Stream
from action_images.errors import ActionImagesError
from action_images.model.conditioning.rays import POOLED_CHANNELS, RayEncoder, pool_cameras
from action_images.model.conditioning.stems import FirstFrameStem, MotionStem
from action_images.model.conditioning.text_pooling import AttentionPooling, mean_pooling


class CameraBlock(WanTransformerBlock):
    """Wan's block with the release's camera branch around its self-attention where `camera_channels` is not None."""

    def __init__(self, *args: Any, camera_channels: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cam_encoder = self.projector = None
        if camera_channels is not None:
            width = self.scale_shift_table.shape[-1]
            # The release's names: its 0 and 1 pool and flatten, which is done once for all blocks here.
            self.cam_encoder = nn.Sequential(nn.Identity(), nn.Identity(), nn.Linear(camera_channels, width))
            self.projector = nn.Linear(width, width)
            _start_at(self.cam_encoder[2], torch.zeros(width, camera_channels))
            _start_at(self.projector, torch.eye(width))

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor,
        rotary_emb: tuple[Tensor, Tensor],
        camera: Tensor | None,
        frame_of_token: Tensor | None,
    ) -> Tensor:
        """Tokens (b n d) under modulation (b 1|l 6 d) and pooled cameras (b l c).

        `frame_of_token` (1 n) says which latent frame each token belongs to; None: they are all here, in order.
        """
        modulation = self.scale_shift_table[:, None] + temb.float()
        shift, scale, gate, ff_shift, ff_scale, ff_gate = modulation.unbind(-2)
        attended = _modulated(self.norm1(hidden_states.float()), scale, shift, frame_of_token).type_as(
            hidden_states
        )
        if self.cam_encoder is not None:
            grouped, (seen,) = _of_token((self.cam_encoder(camera),), attended, frame_of_token)
            attended = (grouped + seen).view_as(attended)
        attended = self.attn1(attended, None, None, rotary_emb)
        if self.projector is not None:
            attended = self.projector(attended)
        hidden_states = _gated(hidden_states.float(), attended, gate, frame_of_token).type_as(hidden_states)

        attended = self.attn2(
            self.norm2(hidden_states.float()).type_as(hidden_states), encoder_hidden_states, None, None
        )
        hidden_states = hidden_states + attended

        fed = _modulated(self.norm3(hidden_states.float()), ff_scale, ff_shift, frame_of_token).type_as(
            hidden_states
        )
        return _gated(hidden_states.float(), self.ffn(fed).float(), ff_gate, frame_of_token).type_as(
            hidden_states
        )


class FrameOfToken(nn.Module):
    """Which latent frame each token belongs to; a module, so that context parallelism can split what it returns."""

    def forward(self, num_frames: int, tokens_per_frame: int, device: torch.device) -> Tensor:
        """(1, num_frames * tokens_per_frame), counting up."""
        return torch.arange(num_frames, device=device).repeat_interleave(tokens_per_frame)[None]


class ActionImagesTransformer3DModel(WanTransformer3DModel):
    """The denoiser's network: latents, noise levels, text and cameras in; velocity (or the clean latents) out.

    `camera`: 'released' pools the cameras' latents into one vector for each latent frame and block (exact with the
    released weights), 'rays' adds an encoding of each token's own ray, None knows no cameras. `prediction` says what
    comes out, 'velocity' or the 'clean' latents. For models trained from scratch: `stem_channels` adds a
    text-conditioned convolution of each view's first frame to all its tokens, `motion_channels` a convolution of what a
    given video shows later (`motion_frames` pixel frames for each latent frame) to the tokens of its view and time,
    `action_channels` the same of given action images, `word_pickers` tells the stem which word stands where in the sentence,
    `bias_frames` a bias for each stream and latent frame to the output (see `set_output_bias`), `max_views` embeddings of
    view and stream, `still_anchor` lets videos be predicted as their change against a video that stands still, and
    `per_frame_noise_level` makes callers mark given frames as clean (noise level 0).
    """

    kind: ClassVar[str] = "wan"
    _no_split_modules: ClassVar = ["CameraBlock"]
    _repeated_blocks: ClassVar = ["CameraBlock"]
    # Wan's own plan splits a timestep for each token; ours are for latent frames, found through `frame_of_token`.
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
        cross_attn_norm: bool = True,
        qk_norm: str = "rms_norm_across_heads",
        eps: float = 1e-6,
        image_dim: int | None = None,
        added_kv_proj_dim: int | None = None,
        rope_max_seq_len: int = 1024,
        pos_embed_seq_len: int | None = None,
        camera: Literal["released", "rays"] | None = None,
        prediction: Literal["velocity", "clean"] = "velocity",
        per_frame_noise_level: bool = False,
        stem_channels: int | None = None,
        motion_channels: int | None = None,
        action_channels: int | None = None,
        motion_frames: int = 4,
        word_pickers: int | None = None,
        pixels_per_token: int = 32,
        bias_frames: int | None = None,
        max_views: int | None = None,
        still_anchor: bool = False,
    ) -> None:
        if patch_size[0] != 1 or any(
            value is not None for value in (image_dim, added_kv_proj_dim, pos_embed_seq_len)
        ):
            raise ActionImagesError(
                "this transformer takes patches of one latent frame and no image embeddings; set patch_size to (1, h, w)"
            )
        # Wan's constructor without its blocks: building those twice would double the memory of a 5B model.
        super().__init__(patch_size, num_attention_heads, attention_head_dim, in_channels, out_channels, text_dim, freq_dim, ffn_dim, 0,
                         cross_attn_norm, qk_norm, eps, None, None, rope_max_seq_len, None)  # fmt: skip
        self.register_to_config(num_layers=num_layers)
        self.prediction, self.per_frame_noise_level, self.still_anchor = (
            prediction,
            per_frame_noise_level,
            still_anchor,
        )
        width = num_attention_heads * attention_head_dim
        pooled = POOLED_CHANNELS if camera == "released" else None
        arguments = (width, ffn_dim, num_attention_heads, qk_norm, cross_attn_norm, eps)
        self.blocks = nn.ModuleList(
            CameraBlock(*arguments, camera_channels=pooled) for _ in range(num_layers)
        )
        self.frame_of_token = FrameOfToken()
        self.ray_encoder = RayEncoder(width) if camera == "rays" else None
        self.stem = FirstFrameStem(stem_channels, width, pixels_per_token) if stem_channels else None
        self.motion_stem = (
            MotionStem(motion_channels, width, pixels_per_token, motion_frames) if motion_channels else None
        )
        self.action_stem = (
            MotionStem(action_channels, width, pixels_per_token, motion_frames) if action_channels else None
        )
        self.words = AttentionPooling(word_pickers, width) if word_pickers else None
        self.view_embedding = nn.Parameter(0.02 * torch.randn(max_views, width)) if max_views else None
        self.stream_embedding = nn.Parameter(0.02 * torch.randn(len(STREAMS), width)) if max_views else None
        self.output_bias = (
            nn.Parameter(torch.zeros(len(STREAMS), bias_frames, out_channels)) if bias_frames else None
        )
        if bias_frames:
            _start_at(self.proj_out, torch.zeros_like(self.proj_out.weight))

    @apply_lora_scale("attention_kwargs")
    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        camera: Tensor | None = None,
        first_frames: Tensor | None = None,
        layout: Layout | None = None,
        still: Tensor | None = None,
        later_frames: Tensor | None = None,
        later_actions: Tensor | None = None,
        given: Tensor | None = None,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,  # noqa: ARG002 (read by apply_lora_scale)
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """One pass.

        Args:
            hidden_states: latents (b c l h w).
            timestep: 1000 x noise level, float32, (b) or for each latent frame (b l).
            encoder_hidden_states: text (b token text_dim), zero padded.
            camera: for 'released' latents of the camera maps (b l 96 h w), for 'rays' ray features (b l 24 h/2 w/2).
            first_frames: each view's first frame (b view 3 height width) in [-1, 1], for the stem.
            layout: which segment each latent frame belongs to, for stem, embeddings and output bias.
            still: latents (b c l h w) of videos that stand still, zeros for actions, for the still anchor.
            later_frames: the pixel frames (b view l-1 frame 3 height width) in [-1, 1] of each video's latent frames after
                the first, for the motion stem; those of videos that are not given are not looked at. None: none is given.
            later_actions: the same of the action images, for the action stem.
            given: which latent frames (b l) are given, for both of these.
        """
        rotary_emb = self.rope(hidden_states)
        temb, modulation, text, _ = self._embed_conditions(timestep, encoder_hidden_states)
        tokens = self._add_conditions(
            self.patch_embedding(hidden_states), text, encoder_hidden_states, camera, first_frames, layout
        )
        later: dict[Stream, Tensor | None] = {"video": later_frames, "action": later_actions}
        for stream in self.later_stems:
            tokens = self._add_later(tokens, stream, later[stream], layout, given)
        num_frames, height, width = tokens.shape[2:]
        tokens = tokens.flatten(2).transpose(1, 2).contiguous()
        frame_of_token = self.frame_of_token(num_frames, height * width, tokens.device)
        if frame_of_token.shape[1] == num_frames * height * width:
            frame_of_token = None  # not split by context parallelism
        pooled = pool_cameras(camera, hidden_states) if self.config.camera == "released" else None
        for block in self.blocks:
            arguments = (tokens, text, modulation, rotary_emb, pooled, frame_of_token)
            checkpointed = torch.is_grad_enabled() and self.gradient_checkpointing
            tokens = (
                self._gradient_checkpointing_func(block, *arguments) if checkpointed else block(*arguments)
            )
        shift, scale = (self.scale_shift_table[:, None] + temb[:, :, None]).unbind(-2)
        shift, scale = shift.to(tokens.device), scale.to(tokens.device)
        tokens = self.proj_out(
            _modulated(self.norm_out(tokens.float()), scale, shift, frame_of_token).type_as(tokens)
        )
        output = self._to_latents(tokens, num_frames, height, width)
        if self.output_bias is not None:
            output = output + self._bias(_needed(layout, "layout", "bias_frames"), output.device)
        if self.still_anchor:
            anchor = _needed(still, "still", "still_anchor").type_as(output)
            output = output + (anchor if self.prediction == "clean" else -anchor)
        return Transformer2DModelOutput(sample=output) if return_dict else (output,)

    @torch.no_grad()
    def set_output_bias(self, mean_latents: Tensor) -> None:
        """Start from the data's mean latent (stream, latent frame, channel), streams in the order of canvas.layout.STREAMS.

        With a still anchor: the mean of what is left when that is taken off.
        """
        if self.output_bias is None or mean_latents.shape != self.output_bias.shape:
            expected = None if self.output_bias is None else tuple(self.output_bias.shape)
            raise ActionImagesError(
                f"the output bias has shape {expected}, the means {tuple(mean_latents.shape)}; set bias_frames to match"
            )
        self.output_bias.copy_(mean_latents if self.prediction == "clean" else -mean_latents)

    def _embed_conditions(self, timestep: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        per_frame = timestep if timestep.ndim == 2 else timestep[:, None]
        temb, modulation, text, _ = self.condition_embedder(
            per_frame.flatten(), text, timestep_seq_len=per_frame.shape[1]
        )
        return temb, modulation.unflatten(-1, (6, -1)), text, None

    def _add_conditions(
        self,
        tokens: Tensor,
        text: Tensor,
        raw_text: Tensor,
        camera: Tensor | None,
        first_frames: Tensor | None,
        layout: Layout | None,
    ) -> Tensor:
        """Tokens (b d l h w) with all that is known of their place added."""
        if self.ray_encoder is not None:
            tokens = tokens + self.ray_encoder(_needed(camera, "camera", "camera='rays'"), tokens.dtype)
        if self.view_embedding is not None:
            tokens = tokens + self._segment_embedding(
                _needed(layout, "layout", "max_views"), tokens.device
            ).type_as(tokens)
        if self.stem is not None:
            view_of_frame = _needed(layout, "layout", "stem_channels").view_of_frame(tokens.device)
            pool = mean_pooling if self.words is None else self.words
            told = pool(text, (raw_text != 0).any(-1))
            seen = self.stem(_needed(first_frames, "first_frames", "stem_channels"), told)
            tokens = tokens + seen[:, view_of_frame].movedim(1, 2)
        return tokens

    @property
    def later_stems(self) -> dict[Stream, MotionStem]:
        """The stems that look at what is given of a stream after its first frame."""
        stems: dict[Stream, MotionStem | None] = {"video": self.motion_stem, "action": self.action_stem}
        return {stream: stem for stream, stem in stems.items() if stem is not None}

    def _add_later(
        self,
        tokens: Tensor,
        stream: Stream,
        later: Tensor | None,
        layout: Layout | None,
        given: Tensor | None,
    ) -> Tensor:
        """Tokens (b d l h w) with what given videos or actions show at the same time, in the same view, added."""
        stem, needs = (
            self.later_stems[stream],
            {"video": "motion_channels", "action": "action_channels"}[stream],
        )
        known = _needed(layout, "layout", needs)
        if later is None:
            # Nothing is added, but weights take part in every pass: processes that share gradients wait for all of them.
            pixels = self.config.pixels_per_token
            return tokens + stem(tokens.new_zeros(0, self.config.motion_frames, 3, pixels, pixels)).sum()
        shown = known.later(_needed(given, "given", needs), stream)
        seen = tokens.new_zeros(*shown.shape, tokens.shape[1], *tokens.shape[-2:])
        seen[shown] = stem(later[shown]).type_as(seen)
        seen = torch.nn.functional.pad(seen, (0, 0, 0, 0, 0, 0, 1, 0))
        return tokens + seen[
            :, known.view_of_frame(tokens.device), known.place_of_frame(tokens.device)
        ].movedim(1, 2)

    def _segment_embedding(self, layout: Layout, device: torch.device) -> Tensor:
        views = layout.view_of_frame(device)
        if views.max() >= self.config.max_views:
            raise ActionImagesError(
                f"this model was built for {self.config.max_views} views, the canvas has view {views.max().item()}"
            )
        return (self.view_embedding[views] + self.stream_embedding[layout.stream_of_frame(device)]).mT[
            :, :, None, None
        ]

    def _bias(self, layout: Layout, device: torch.device) -> Tensor:
        place = layout.place_of_frame(device).clamp(max=self.config.bias_frames - 1)
        return self.output_bias[layout.stream_of_frame(device), place].mT[:, :, None, None]

    def _to_latents(self, tokens: Tensor, num_frames: int, height: int, width: int) -> Tensor:
        _, p, q = self.config.patch_size
        patches = tokens.unflatten(1, (num_frames, height, width)).unflatten(-1, (p, q, -1))
        return patches.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


def _of_token(
    values: Sequence[Tensor], tokens: Tensor, frame_of_token: Tensor | None
) -> tuple[Tensor, list[Tensor]]:
    """Tokens (b n d) and values of each latent frame, or of all (b 1|l d), in shapes that go together: nothing is copied out."""
    num_frames = values[0].shape[1]
    if num_frames == 1:
        return tokens, list(values)
    if frame_of_token is None:
        return tokens.unflatten(1, (num_frames, -1)), [value[:, :, None] for value in values]
    return tokens, [value[:, frame_of_token[0]] for value in values]


def _modulated(tokens: Tensor, scale: Tensor, shift: Tensor, frame_of_token: Tensor | None) -> Tensor:
    """tokens (b n d) * (1 + scale) + shift, with values of each latent frame, or of all (b 1|l d)."""
    grouped, (scale, shift) = _of_token((scale, shift), tokens, frame_of_token)
    return torch.addcmul(shift, grouped, 1 + scale).view_as(tokens)


def _gated(tokens: Tensor, added: Tensor, gate: Tensor, frame_of_token: Tensor | None) -> Tensor:
    """tokens + added (b n d) * gate (b 1|l d)."""
    grouped, (gate,) = _of_token((gate,), added, frame_of_token)
    return torch.addcmul(tokens.view_as(grouped), grouped, gate).view_as(tokens)


def _needed(value: Any, name: str, reason: str) -> Any:
    if value is None:
        raise ActionImagesError(f"this model was built with {reason} and needs `{name}` in every call")
    return value


def _start_at(linear: nn.Linear, weight: Tensor) -> None:
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.zero_()


TransformerBlockRegistry.register(CameraBlock, TransformerBlockMetadata(return_hidden_states_index=0))
