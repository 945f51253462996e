"""Latents, and which of them are given."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import Self

from action_images.canvas.layout import Layout
from action_images.errors import ActionImagesError
from action_images.structs import Struct


@dataclass(frozen=True)
class Canvas(Struct):
    """Normalised latents of all segments along one time axis.

    `given` True: known, so without noise and loss, and left bit-identical by the sampler. `valid` False: not
    data (the clip was shorter than the canvas), so also without loss; None: everything is data.
    """

    latents: Float[Tensor, "*batch c l h w"]
    given: Bool[Tensor, "*batch l"]
    layout: Layout
    valid: Bool[Tensor, "*batch l"] | None = None

    @property
    def asked(self) -> Bool[Tensor, "*batch 1 l 1 1"]:
        """True for the latent frames that the model is to generate; broadcasts against `latents`."""
        return ~self.given[..., None, :, None, None]

    @property
    def counted(self) -> Bool[Tensor, "*batch 1 l 1 1"]:
        """True for the latent frames in the loss: asked and valid; broadcasts against `latents`."""
        return self.asked if self.valid is None else self.asked & self.valid[..., None, :, None, None]

    def check(self) -> Self:
        """Return self; raise ValueError unless latents, `given` and `valid` agree with the layout."""
        num_frames = self.latents.shape[-3]
        flags = [self.given] if self.valid is None else [self.given, self.valid]
        if num_frames != self.layout.num_frames or any(flag.shape[-1] != num_frames for flag in flags):
            counts = [flag.shape[-1] for flag in flags]
            raise ActionImagesError(
                f"the layout has {self.layout.num_frames} latent frames, the latents {num_frames}, "
                f"the flags {counts}"
            )
        return self
