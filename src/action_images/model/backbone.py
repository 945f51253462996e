"""What a backbone promises: latents become tokens, tokens pass through its blocks, and become latents
again."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

Tokens = Float[Tensor, "b d l h w"]
"""One vector for each patch of the canvas: `width` numbers (d) at each latent frame (l), row and column."""
AddConditions = Callable[[Tokens, Float[Tensor, "b token d"]], Tokens]
"""From tokens and embedded text to tokens that also know what they are shown; see
`conditioning.conditioned`."""


@runtime_checkable
class Backbone(Protocol):
    """A video transformer, without what this project adds to it.

    It is a diffusers model (`ModelMixin`, `ConfigMixin`) whose config has `in_channels`, `out_channels`,
    `text_dim` and `num_layers`. Its last layer is called `proj_out`.
    """

    kind: ClassVar[str]
    """The word for it in presets and saved folders."""
    config: Any
    proj_out: nn.Linear

    @property
    def width(self) -> int:
        """How many numbers a token has."""
        ...

    @property
    def patch(self) -> tuple[int, int]:
        """Latent rows and columns that one token stands for."""
        ...

    def denoise(
        self,
        latents: Float[Tensor, "b c l h w"],
        timestep: Tensor,
        text: Float[Tensor, "b token text_dim"],
        add_conditions: AddConditions,
        camera: Float[Tensor, "b l pooled"] | None,
    ) -> Float[Tensor, "b c l h w"]:
        """One pass from latents to latents.

        It makes tokens of the latents and embeds the text to the tokens' width, calls `add_conditions` on
        both once, and runs its blocks on what that returns.

        Args:
            latents: the canvas, noisy where it is asked.
            timestep: 1000 x noise level, float32, one for each sample (b) or for each latent frame (b l).
            text: zero padded tokens of the instruction.
            add_conditions: adds what is ours to the tokens.
            camera: pooled camera latents for backbones with the release's camera branch in their blocks; else
                None.
        """
        ...
