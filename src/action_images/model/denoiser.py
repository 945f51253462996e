"""The denoiser: canvases in, velocities out, and the one place that casts."""

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
"""Below this noise level a predicted clean canvas is turned into a velocity as if the level were this one."""


@dataclass(frozen=True)
class Condition(Struct):
    """What the denoiser is told besides the canvas; None where a model does not ask for it."""

    text: Float[Tensor, "*batch token dim"]
    camera: Float[Tensor, "*batch l c h w"] | None = None
    first_frames: Float[Tensor, "*batch view 3 height width"] | None = None
    still: Float[Tensor, "*batch latent l latent_h latent_w"] | None = None
    """What the canvas would be if nothing moved in the videos; zeros in action segments."""
    later_frames: Float[Tensor, "*batch view later frame 3 height width"] | None = None
    """The pixel frames of given videos after the first in [-1, 1], by latent frame; zeros where they are not
    given. None: none is."""
    later_actions: Float[Tensor, "*batch view later frame 3 height width"] | None = None
    """The same of given action images."""

    def with_text(self, text: Float[Tensor, "*batch token dim"]) -> Self:
        """The same scene under another instruction."""
        return replace(self, text=text)


@runtime_checkable
class Denoiser(Protocol):
    """Anything that knows in which direction noise lies from here."""

    def __call__(
        self,
        canvas: Canvas,
        noise_level: Float[Tensor, "b"],
        condition: Condition,
        branch: str = "conditional",
    ) -> Float[Tensor, "b c l h w"]:
        """The velocity (noise - data) at the canvas's latents; values at given latents mean nothing.

        `branch` names the sequence of calls that this one belongs to, for caches that compare with the last
        call.
        """
        ...


class CanvasDenoiser(nn.Module):
    """The transformer as a Denoiser. Wrap this module, not the transformer, for distributed training."""

    answers: ClassVar[str] = "canvas"
    """What it answers with, in the word of a saved folder's index."""

    def __init__(self, transformer: Conditioned) -> None:
        super().__init__()
        self.transformer = transformer

    @classmethod
    def opened(cls, transformer: Conditioned, folder: Path) -> Self:  # noqa: ARG003 (denoisers with parts of their own read them)
        """The denoiser around a network that was read from a folder of models, with what else `save` wrote
        there."""
        return cls(transformer)

    def around(self, transformer: Conditioned) -> "CanvasDenoiser":
        """The same denoiser around another copy of its network."""
        return CanvasDenoiser(transformer)

    def compile_blocks(self, backend: str = "inductor") -> Self:
        """Itself, with the network's blocks compiled (torch.compile) for shapes that stay the same.

        The first pass at each shape takes seconds to minutes; numbers differ by rounding from plain ones.
        """
        self.transformer.compile_repeated_blocks(dynamic=False, backend=backend)
        return self

    @contextmanager
    def blocks_skipped(self, threshold: float | None) -> Iterator[None]:
        """Passes skip blocks while this lasts, see `Sampling.first_block`; None: they do not.

        diffusers asks in every pass by how much the first block's answer has changed, and waits for that.
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
        # Rays stay float32 too: the network multiplies them before it takes sines.
        network, rays = self.transformer, condition.camera
        condition = condition.to(dtype=network.dtype)
        # The level stays float32 (and exact where frames are given): rounded to bfloat16, 737 becomes 736.
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
