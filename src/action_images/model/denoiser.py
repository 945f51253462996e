"""The denoiser: canvases in, velocities out; only this file casts dtypes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from action_images.canvas import Canvas
from action_images.model.conditioning.conditioned import Conditioned
from action_images.structs import Struct

LEAST_LEVEL = 0.05
"""The least noise level in the conversion of a predicted clean canvas to a velocity."""


@dataclass(frozen=True)
class Condition(Struct):
    """The denoiser's inputs besides the canvas; None if a model does not use them."""

    text: Float[Tensor, "*batch token dim"]
    camera: Float[Tensor, "*batch l c h w"] | None = None
    first_frames: Float[Tensor, "*batch view 3 height width"] | None = None
    still: Float[Tensor, "*batch latent l latent_h latent_w"] | None = None
    """The canvas of still videos; zeros in action segments."""
    later_frames: Float[Tensor, "*batch view later frame 3 height width"] | None = None
    """The pixel frames of given videos after the first in [-1, 1], by latent frame; zeros if not given. None:
    no video is given."""
    later_actions: Float[Tensor, "*batch view later frame 3 height width"] | None = None
    """The same for given action images."""

    def with_text(self, text: Float[Tensor, "*batch token dim"]) -> Self:
        """The same scene under another instruction."""
        return replace(self, text=text)


@runtime_checkable
class Denoiser(Protocol):
    """A function that predicts the velocity from data to noise."""

    def __call__(
        self,
        canvas: Canvas,
        noise_level: Float[Tensor, "b"],
        condition: Condition,
        branch: str = "conditional",
    ) -> Float[Tensor, "b c l h w"]:
        """The velocity (noise - data) at the canvas's latents; values at given latents are undefined.

        `branch` names the sequence of calls that this call belongs to, for caches that compare with the last
        call.
        """
        ...


class CanvasDenoiser(nn.Module):
    """The transformer as a Denoiser. Wrap this module, not the transformer, for distributed training."""

    answers: ClassVar[str] = "canvas"
    """The kind of its answers, as named in a saved folder's index."""

    def __init__(self, transformer: Conditioned) -> None:
        super().__init__()
        self.transformer = transformer

    @classmethod
    def opened(cls, transformer: Conditioned, folder: Path) -> Self:  # noqa: ARG003 (denoisers with parts of their own read them)
        """The denoiser around a network read from a folder of models, with all other parts of `save`."""
        return cls(transformer)

    def around(self, transformer: Conditioned) -> "CanvasDenoiser":
        """The same denoiser around another copy of its network."""
        return CanvasDenoiser(transformer)

    def compile_blocks(self, backend: str = "inductor") -> Self:
        """Compile the network's blocks (torch.compile) for constant shapes; returns self.

        The first pass at each shape takes seconds to minutes; results differ by rounding.
        """
        self.transformer.compile_repeated_blocks(dynamic=False, backend=backend)
        return self

    @contextmanager
    def blocks_skipped(self, threshold: float | None) -> Iterator[None]:
        """Let passes skip blocks in this context, see `Sampling.first_block`; None: they do not.

        diffusers reads in every pass how much the first block's output has changed, and waits for that.
        """
        if threshold is None:
            yield
            return
        from diffusers import FirstBlockCacheConfig

        self.transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))
        try:
            yield
        finally:
            self.transformer.disable_cache()

    def save(self, folder: Path) -> None:
        """Write the network into a folder of models."""
        self.transformer.save_pretrained(folder / "transformer")

    def forward(
        self,
        canvas: Canvas,
        noise_level: Float[Tensor, "b"],
        condition: Condition,
        branch: str = "conditional",
    ) -> Float[Tensor, "b c l h w"]:
        """The velocity at the canvas's latents, float32."""
        # Rays stay float32, as the network multiplies them before it takes sines.
        network, rays = self.transformer, condition.camera
        condition = condition.to(dtype=network.dtype)
        # The level stays float32 (exact for given frames): bfloat16 would round 737 to 736.
        level = noise_level.float()
        if network.per_frame_noise_level:
            level = level[:, None] * ~canvas.given
        with network.cache_context(branch):
            output = network(
                canvas.latents.to(network.dtype),
                1000 * level,
                condition.text,
                camera=rays if network.config["camera"] == "rays" else condition.camera,
                first_frames=condition.first_frames,
                still=condition.still,
                later_frames=condition.later_frames,
                later_actions=condition.later_actions,
                given=canvas.given,
                layout=canvas.layout,
                return_dict=False,
            )[0].float()
        if network.prediction == "velocity":
            return output
        return (canvas.latents - output) / noise_level.clamp_min(LEAST_LEVEL).view(-1, 1, 1, 1, 1)
