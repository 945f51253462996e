"""The video model's network with another output: its tokens are pooled and regress the path in numbers."""

# Type checkers do not see the attributes of diffusers' models.
# pyright: reportAttributeAccessIssue=false

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import Self

from action_images.baselines.numbers import NUM_NUMBERS, PARTS
from action_images.canvas import Canvas
from action_images.model.conditioning.conditioned import Conditioned
from action_images.model.denoiser import CanvasDenoiser, Condition
from action_images.model.loading import load_module

HEAD = "head"
"""The path head's folder in a folder of models."""
LEAST_STD = 1e-3
"""The least standard deviation (m, or 1), so that nearly constant data is not scaled up to noise."""


def backbone_config(config: dict[str, Any]) -> dict[str, Any]:
    """A denoiser's config for the same network, but with its tokens as output, at the network's width."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    _, rows, columns = config.get("patch_size", (1, 2, 2))
    plain = {
        "prediction": "velocity",
        "bias_frames": None,
        "still_anchor": False,
        "motion_channels": None,
        "action_channels": None,
        "output_split": None,
    }
    return {**config, **plain, "out_channels": width // (rows * columns)}


class PathHead(ModelMixin, ConfigMixin):
    """From a path's tokens to its frames, in units of the data's standard deviation.

    For each latent frame, several learned attention weights pool all positions of all views. A small network
    follows, which also gets the tool's pose in numbers. It starts from the data's mean path.
    """

    mean: Tensor
    std: Tensor
    now_mean: Tensor
    now_std: Tensor

    @register_to_config
    def __init__(
        self, channels: int, num_frames: int, temporal_factor: int = 4, num_pools: int = 8, width: int = 256
    ) -> None:
        super().__init__()
        num_places = (num_frames - 1) // temporal_factor
        self.scores = nn.Linear(channels, num_pools)
        self.pooled = nn.Linear(num_pools * channels, width)
        self.now = nn.Linear(NUM_NUMBERS, width)
        self.place = nn.Parameter(0.02 * torch.randn(num_places, width))
        last = nn.Linear(width, temporal_factor * NUM_NUMBERS)
        self.layers = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        for name, shape in (("mean", (num_frames - 1, NUM_NUMBERS)), ("now_mean", (NUM_NUMBERS,))):
            self.register_buffer(name, torch.zeros(shape))
        for name in ("std", "now_std"):
            self.register_buffer(name, torch.ones(NUM_NUMBERS))

    def forward(
        self, features: Float[Tensor, "b place spot channel"], now: Float[Tensor, "b 10"]
    ) -> Float[Tensor, "b frame 10"]:
        """Features of each latent frame after the first, and the tool now, to the normalised later frames."""
        weight = self.scores(features).softmax(2)
        pooled = torch.einsum("blsp,blsc->blpc", weight, features).flatten(2)
        told = self.now((now - self.now_mean) / self.now_std)
        hidden = self.pooled(pooled) + told[:, None] + self.place
        return self.layers(hidden).unflatten(-1, (-1, NUM_NUMBERS)).flatten(1, 2)

    def normalised(self, numbers: Float[Tensor, "b frame 10"]) -> Float[Tensor, "b frame 10"]:
        """Numbers of the frames after the first one, in the form of `forward`'s output."""
        return (numbers - self.mean) / self.std

    def plain(self, normalised: Float[Tensor, "b frame 10"]) -> Float[Tensor, "b frame 10"]:
        """The inverse of `normalised`."""
        return normalised * self.std + self.mean

    @torch.no_grad()
    def set_statistics(
        self, numbers: Float[Tensor, "n frame 10"], valid: Bool[Tensor, "n frame"], now: Float[Tensor, "n 10"]
    ) -> None:
        """Compute mean and standard deviation from data.

        There is a mean for each frame after the first, and one deviation for each part of the numbers.
        """
        counted = valid[..., None].to(numbers)
        self.mean.copy_((numbers * counted).sum(0) / counted.sum(0).clamp_min(1))
        variance = ((numbers - self.mean).square() * counted).sum((0, 1)) / counted.sum().clamp_min(1)
        self.std.copy_(_spread(variance))
        self.now_mean.copy_(now.mean(0))
        self.now_std.copy_(_spread(now.var(0, correction=0)))


class PathRegressor(CanvasDenoiser):
    """A canvas and the tool's pose in, the path in numbers out.

    Its input is that of a denoiser's first step: the given frames of the canvas, including the tool's pose
    drawn into every view. The unknown latents are blank, at noise level 1, and the head pools their tokens.
    So as many tokens pass through the same blocks as in one step of denoising.
    """

    answers: ClassVar[str] = "path"

    def __init__(self, transformer: Conditioned, head: PathHead) -> None:
        super().__init__(transformer)
        self.head = head

    @classmethod
    def opened(cls, transformer: Conditioned, folder: Path) -> Self:
        """The regressor with the head that `save` wrote."""
        return cls(transformer, load_module(PathHead, folder / HEAD))

    def around(self, transformer: Conditioned) -> "PathRegressor":
        """The same head on another copy of the network."""
        return PathRegressor(transformer, self.head)

    def save(self, folder: Path) -> None:
        """Write network and head into a folder of models."""
        super().save(folder)
        self.head.save_pretrained(folder / HEAD)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] (it answers another question)
        self, canvas: Canvas, condition: Condition, now: Float[Tensor, "b 10"]
    ) -> Float[Tensor, "b frame 10"]:
        """The frames after the first one, normalised (see `PathHead.plain`).

        `now` is the result of `numbers.tool_now`.
        """
        blank = replace(canvas, latents=torch.where(canvas.asked, 0.0, canvas.latents))
        features = super().forward(
            blank, torch.ones(len(canvas.latents), device=canvas.latents.device), condition
        )
        parts = canvas.layout.unpack(features)
        views = [part[:, :, 1:] for segment, part in parts.items() if segment.stream == "action"]
        return self.head(torch.stack(views, 2).flatten(-2).permute(0, 3, 2, 4, 1).flatten(2, 3), now)


def _spread(variance: Float[Tensor, "10"]) -> Float[Tensor, "10"]:
    """One standard deviation for all numbers of a part, so that all axes have equal weight."""
    return torch.cat(
        [part.mean().sqrt().clamp_min(LEAST_STD).expand(len(part)) for part in variance.split(PARTS)]
    )
