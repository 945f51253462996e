"""The interface of backbones: latents become tokens, pass through the blocks, and become latents again."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

Tokens = Float[Tensor, "b d l h w"]
"""One vector for each patch of the canvas: `width` numbers (d) at each latent frame (l), row and column."""
AddConditions = Callable[[Tokens, Float[Tensor, "b token d"]], Tokens]
"""From tokens and embedded text to tokens with all conditions added; see `conditioning.conditioned`."""


@runtime_checkable
class Backbone(Protocol):
    """A video transformer, without this project's additions.

    It is a diffusers model (`ModelMixin`, `ConfigMixin`) whose config has `in_channels`, `out_channels`,
    `text_dim` and `num_layers`. Its last layer is called `proj_out`.
    """

    kind: ClassVar[str]
    """Its name in presets and saved folders."""
    config: Any
    proj_out: nn.Linear

    @property
    def width(self) -> int:
        """The width of a token."""
        ...

    @property
    def patch(self) -> tuple[int, int]:
        """Latent rows and columns of one token."""
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

        It makes tokens of the latents and embeds the text to the tokens' width. It calls `add_conditions` on
        both once, and runs its blocks on the result.

        Args:
            latents: the canvas, with noise in the parts to be generated.
            timestep: 1000 x noise level, float32, one for each sample (b) or for each latent frame (b l).
            text: zero-padded tokens of the instruction.
            add_conditions: adds this project's conditions to the tokens.
            camera: pooled camera latents for backbones with the release's camera branch in their blocks; else
                None.
        """
        ...
