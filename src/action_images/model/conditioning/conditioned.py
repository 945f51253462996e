"""A mixin for any backbone: adds cameras, pixels and positions to its tokens, and the mean to its output."""

# Type checkers do not see the attributes of diffusers' models.
# pyright: reportAttributeAccessIssue=false, reportOptionalSubscript=false, reportArgumentType=false

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.utils import apply_lora_scale
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from action_images.canvas import Layout
from action_images.canvas.layout import STREAMS, Stream
from action_images.errors import ActionImagesError
from action_images.model.backbone import Tokens
from action_images.model.conditioning.rays import RayEncoder, pool_cameras
from action_images.model.conditioning.stems import FirstFrameStem, MotionStem
from action_images.model.conditioning.text_pooling import AttentionPooling, mean_pooling

LATER_STEMS: dict[Stream, str] = {"video": "motion_channels", "action": "action_channels"}
"""Stream -> the config value that adds a stem for its given frames after the first."""


@dataclass(frozen=True)
class Shown:
    """The conditions of one pass besides latents, text and noise levels; see `Conditioned.forward`."""

    camera: Tensor | None
    first_frames: Tensor | None
    layout: Layout | None
    later: Mapping[Stream, Tensor | None]
    given: Tensor | None
    is_word: Bool[Tensor, "b token"]


class Conditioned(nn.Module):
    """A mixin that provides `forward`; list it before the backbone in a class's bases.

    `class Mine(Conditioned, SomeBackbone)` calls `add_conditioning` at the end of its constructor. It reads
    the following config values, of which the class offers those that it supports. All are off by default.

    camera: 'released' pools the cameras' latents to one vector for each latent frame, for the backbone's own
        branch; 'rays' adds an encoding of each token's own ray; None ignores cameras.
    prediction: the output, the 'velocity' or the 'clean' latents.
    per_frame_noise_level: callers mark given frames as clean (noise level 0).
    stem_channels: adds a convolution of each view's first frame, with the text, to all tokens of the view.
    motion_channels: adds a convolution of a given video's later frames to the tokens of its view and time.
    action_channels: the same for given action images.
    motion_frames: pixel frames of each later latent frame.
    word_pickers: attention heads that pool the text to one vector for the stem; None: the mean.
    pixels_per_token: rows and columns of pixels of a token.
    bias_frames: adds a bias for each stream and latent frame to the output, see `set_output_bias`.
    max_views: adds embeddings of view and stream.
    still_anchor: videos are predicted as their difference from a still video.
    """

    if TYPE_CHECKING:
        # The backbone, later in the bases, provides the rest: `config`, `width`, `denoise` and more.
        def __getattr__(self, name: str) -> Any: ...

    def add_conditioning(self) -> None:
        """Make the parts that the config enables."""
        # Keys of saved weights are the attributes' names; new weights are drawn in this order.
        width, value = self.width, self.config.get
        pixels, frames = value("pixels_per_token", 32), value("motion_frames", 4)
        self.prediction: str = value("prediction", "velocity")
        self.per_frame_noise_level: bool = value("per_frame_noise_level", False)
        self.still_anchor: bool = value("still_anchor", False)
        self.ray_encoder = RayEncoder(width) if value("camera") == "rays" else None
        channels = value("stem_channels")
        self.stem = FirstFrameStem(channels, width, pixels) if channels else None
        channels = value("motion_channels")
        self.motion_stem = MotionStem(channels, width, pixels, frames) if channels else None
        channels = value("action_channels")
        self.action_stem = MotionStem(channels, width, pixels, frames) if channels else None
        self.words = AttentionPooling(value("word_pickers"), width) if value("word_pickers") else None
        views = value("max_views")
        self.view_embedding = nn.Parameter(0.02 * torch.randn(views, width)) if views else None
        self.stream_embedding = nn.Parameter(0.02 * torch.randn(len(STREAMS), width)) if views else None
        self.output_bias = None
        if bias_frames := value("bias_frames"):
            self.output_bias = nn.Parameter(
                torch.zeros(len(STREAMS), bias_frames, self.config["out_channels"])
            )
            nn.init.zeros_(self.proj_out.weight)
            nn.init.zeros_(self.proj_out.bias)

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
        *,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,  # noqa: ARG002 (read by apply_lora_scale)
    ) -> Transformer2DModelOutput | tuple[Tensor]:
        """One pass.

        Args:
            hidden_states: latents (b c l h w).
            timestep: 1000 x noise level, float32, (b) or for each latent frame (b l).
            encoder_hidden_states: text (b token text_dim), zero-padded.
            camera: for 'released' latents of the camera maps (b l 96 h w), for 'rays' ray features (b l 24
                h/2 w/2).
            first_frames: each view's first frame (b view 3 height width) in [-1, 1], for the stem.
            layout: the segment of each latent frame, for stems, embeddings and output bias.
            still: latents (b c l h w) of still videos, zeros for actions, for the still anchor.
            later_frames: the pixel frames (b view l-1 frame 3 height width) in [-1, 1] of each video's latent
                frames after the first, for the motion stem; those of videos that are not given are ignored.
                None: no video is given.
            later_actions: the same for the action images, for the action stem.
            given: marks the latent frames (b l) that are given, for both of these.
        """
        shown = Shown(
            camera=camera,
            first_frames=first_frames,
            layout=layout,
            later={"video": later_frames, "action": later_actions},
            given=given,
            is_word=(encoder_hidden_states != 0).any(-1),
        )

        def add_conditions(tokens: Tensor, text: Tensor) -> Tensor:
            return self.add_conditions(tokens, text, shown)

        pooled = pool_cameras(camera, hidden_states) if self.config.get("camera") == "released" else None
        output = self.denoise(hidden_states, timestep, encoder_hidden_states, add_conditions, pooled)
        if self.output_bias is not None:
            output = output + self._bias(_needed(layout, "layout", "bias_frames"), output.device)
        if self.still_anchor:
            anchor = _needed(still, "still", "still_anchor").type_as(output)
            output = output + (anchor if self.prediction == "clean" else -anchor)
        return Transformer2DModelOutput(sample=output) if return_dict else (output,)

    @torch.no_grad()
    def set_output_bias(self, mean_latents: Float[Tensor, "stream l c"]) -> None:
        """Start from the data's mean latents, streams in the order of canvas.layout.STREAMS.

        With a still anchor, `mean_latents` are the mean difference from it.
        """
        if self.output_bias is None or mean_latents.shape != self.output_bias.shape:
            expected = None if self.output_bias is None else tuple(self.output_bias.shape)
            raise ActionImagesError(
                f"the output bias has shape {expected}, the means {tuple(mean_latents.shape)}; "
                "set bias_frames to match"
            )
        self.output_bias.copy_(mean_latents if self.prediction == "clean" else -mean_latents)

    @property
    def later_stems(self) -> dict[Stream, MotionStem]:
        """The stems for a stream's given frames after its first."""
        stems: dict[Stream, MotionStem | None] = {"video": self.motion_stem, "action": self.action_stem}
        return {stream: stem for stream, stem in stems.items() if stem is not None}

    def add_conditions(self, tokens: Tokens, text: Float[Tensor, "b token d"], shown: Shown) -> Tokens:
        """Tokens with all conditions at their position added; `text` is the backbone's embedding."""
        if self.ray_encoder is not None:
            rays = _needed(shown.camera, "camera", "camera='rays'")
            tokens = tokens + self.ray_encoder(rays, tokens.dtype)
        if self.view_embedding is not None:
            layout = _needed(shown.layout, "layout", "max_views")
            tokens = tokens + self._segment_embedding(layout, tokens.device).type_as(tokens)
        if self.stem is not None:
            tokens = self._add_first_frames(tokens, text, shown)
        for stream in self.later_stems:
            tokens = self._add_later_frames(tokens, stream, shown)
        return tokens

    def _add_first_frames(self, tokens: Tensor, text: Tensor, shown: Shown) -> Tensor:
        """Tokens with the features of their view's first frame, conditioned on the text."""
        layout = _needed(shown.layout, "layout", "stem_channels")
        first_frames = _needed(shown.first_frames, "first_frames", "stem_channels")
        pool = mean_pooling if self.words is None else self.words
        assert self.stem is not None
        seen = self.stem(first_frames, pool(text, shown.is_word))
        return tokens + seen[:, layout.view_of_frame(tokens.device)].movedim(1, 2)

    def _add_later_frames(self, tokens: Tensor, stream: Stream, shown: Shown) -> Tensor:
        """Tokens with the features of given videos or actions at the same time in the same view."""
        stem, frames = self.later_stems[stream], shown.later[stream]
        layout = _needed(shown.layout, "layout", LATER_STEMS[stream])
        if frames is None:
            # Nothing is added, but all weights must take part in every pass: processes that share gradients
            # wait for them.
            pixels = self.config["pixels_per_token"]
            return tokens + stem(tokens.new_zeros(0, self.config["motion_frames"], 3, pixels, pixels)).sum()
        is_given = layout.later(_needed(shown.given, "given", LATER_STEMS[stream]), stream)  # b view later
        _, width, _, rows, columns = tokens.shape
        if tokens.device.type == "cpu":
            seen = tokens.new_zeros(*is_given.shape, width, rows, columns)
            seen[is_given] = stem(frames[is_given]).type_as(seen)
        else:
            # Their number is known only on the device; reading it would wait for the device.
            seen = stem(frames.flatten(0, 2)).type_as(tokens).unflatten(0, is_given.shape)
            seen = torch.where(is_given[..., None, None, None], seen, 0.0)
        # First frames come before the later ones, and nothing is added to them here.
        seen = F.pad(seen, (0, 0, 0, 0, 0, 0, 1, 0))
        view, place = layout.view_of_frame(tokens.device), layout.place_of_frame(tokens.device)
        return tokens + seen[:, view, place].movedim(1, 2)

    def _segment_embedding(self, layout: Layout, device: torch.device) -> Float[Tensor, "d l 1 1"]:
        """The sum of the embeddings of each latent frame's view and stream (d l 1 1)."""
        last_view = max(segment.view for segment in layout.segments)
        if last_view >= self.config["max_views"]:
            raise ActionImagesError(
                f"this model was built for {self.config['max_views']} views, the canvas has view {last_view}"
            )
        views, streams = layout.view_of_frame(device), layout.stream_of_frame(device)
        return (self.view_embedding[views] + self.stream_embedding[streams]).mT[:, :, None, None]

    def _bias(self, layout: Layout, device: torch.device) -> Float[Tensor, "c l 1 1"]:
        """The output's bias at each latent frame; frames beyond its length take its last."""
        place = layout.place_of_frame(device).clamp(max=self.config["bias_frames"] - 1)
        return self.output_bias[layout.stream_of_frame(device), place].mT[:, :, None, None]


def _needed(value: Any, name: str, reason: str) -> Any:
    if value is None:
        raise ActionImagesError(f"this model was built with {reason} and needs `{name}` in every call")
    return value
