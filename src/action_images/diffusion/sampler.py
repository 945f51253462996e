"""Sample a canvas from noise: integrate the velocity while holding given latents fixed."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.canvas import Canvas
from action_images.device import number_of, sent
from action_images.diffusion import flow
from action_images.errors import ActionImagesError
from action_images.model.denoiser import Condition, Denoiser


@dataclass(frozen=True)
class StepCache:
    """Reuse the last velocity for some steps if the last two had almost the same direction.

    `skips` pairs a cosine similarity with the number of steps to skip above it, the strictest first.
    """

    skips: tuple[tuple[float, int], ...] = ((0.95, 4), (0.93, 2))

    def num_skips(self, velocity: Tensor, last: Tensor | None) -> int:
        """The number of steps that may reuse `velocity`, given the one computed before it."""
        if last is None:
            return 0
        # One decision for the batch, by its least similar sample.
        cosine = torch.nn.functional.cosine_similarity(velocity.flatten(1), last.flatten(1)).min()
        similarity = number_of(cosine, "step cache")
        return next((number for threshold, number in self.skips if similarity > threshold), 0)


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling: number and spacing of steps, guidance, and skipped steps."""

    num_steps: int = 50
    shift: float = 5.0
    guidance: float = 1.0
    """Classifier-free guidance. 1: one pass with the instruction; other values need a second, empty one."""
    cache: StepCache | None = None
    first_block: float | None = None
    """diffusers' first-block cache: if the first block's residual changes by less than this share in a step,
    the other blocks are skipped. None: none is skipped."""

    def __post_init__(self) -> None:
        if self.num_steps < 1 or self.shift <= 0 or self.guidance < 0:
            raise ActionImagesError(f"sampling takes num_steps >= 1, shift > 0 and guidance >= 0, got {self}")
        if self.first_block is not None and not self.first_block > 0:
            raise ActionImagesError(
                f"sampling skips blocks where the first changes by a share above 0, got {self.first_block}; "
                "take None to skip none"
            )


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    canvas: Canvas,
    condition: Condition,
    sampling: Sampling = Sampling(),
    generator: torch.Generator | list[torch.Generator] | None = None,
    unconditional: Float[Tensor, "b token dim"] | None = None,
) -> Canvas:
    """Generate the unknown latents of a canvas (batched once); given latents stay bit-identical.

    It takes Euler steps in float32. `unconditional` is the empty instruction, needed if guidance is not 1.
    One generator, on the CPU or the canvas's device, draws the noise of the whole batch; a list has one for
    each sample.
    """
    if sampling.guidance != 1 and unconditional is None:
        raise ActionImagesError(
            f"guidance {sampling.guidance:g} needs the encoded empty instruction as `unconditional`; "
            "guidance 1 does not"
        )
    levels = sent(flow.sampling_levels(sampling.num_steps, sampling.shift), canvas.latents.device)
    latents = torch.where(canvas.asked, noise_like(canvas.latents, generator), canvas.latents)
    guided = _Guided(denoiser, condition, unconditional, sampling)
    for level, next_level in pairwise(levels):
        velocity = guided(replace(canvas, latents=latents), level)
        latents = torch.where(canvas.asked, latents + (next_level - level) * velocity, canvas.latents)
    return replace(canvas, latents=latents)


def noise_like(latents: Tensor, generator: torch.Generator | list[torch.Generator] | None) -> Tensor:
    """Float32 noise of this shape, drawn on the generator's device, then moved to the latents' device."""
    if isinstance(generator, list):
        if len(generator) != len(latents):
            raise ActionImagesError(
                f"there are {len(generator)} generators for a batch of {len(latents)}; "
                "give one, or one for each sample"
            )
        return torch.cat([noise_like(part[None], one) for part, one in zip(latents, generator, strict=True)])
    device = latents.device if generator is None else generator.device
    return sent(torch.randn(latents.shape, generator=generator, device=device), latents.device)


@dataclass
class _Guided:
    """The velocity with guidance, from the model or, if the cache allows it, from the last call."""

    denoiser: Denoiser
    condition: Condition
    unconditional: Tensor | None
    sampling: Sampling
    last: Tensor | None = field(default=None, init=False)
    num_skips: int = field(default=0, init=False)

    def __call__(self, canvas: Canvas, level: Tensor) -> Tensor:
        if self.num_skips and self.last is not None:
            self.num_skips -= 1
            return self.last
        velocity = self._compute(canvas, level.expand(len(canvas.latents)))
        if self.sampling.cache is not None:
            asked = velocity * canvas.asked
            self.num_skips = self.sampling.cache.num_skips(
                asked, None if self.last is None else self.last * canvas.asked
            )
        self.last = velocity
        return velocity

    def _compute(self, canvas: Canvas, level: Tensor) -> Tensor:
        conditional = self.denoiser(canvas, level, self.condition, branch="conditional")
        if self.unconditional is None or self.sampling.guidance == 1:
            return conditional
        without = self.condition.with_text(self.unconditional)
        unconditional = self.denoiser(canvas, level, without, branch="unconditional")
        return unconditional + self.sampling.guidance * (conditional - unconditional)
