"""Settings of the generation of clips, and the table of the names that users give."""

from dataclasses import dataclass, replace

from typing_extensions import Self

from action_images.diffusion.sampler import Sampling, StepCache
from action_images.errors import ActionImagesError, no_such
from action_images.inference.augment import AS_IT_IS, SWAPPED_AND_MIRRORED, Augmentation

ONE_STEP, TWO_STEPS, FIFTY_STEPS = Sampling(num_steps=1), Sampling(num_steps=2), Sampling(num_steps=50)
GUIDED = replace(FIFTY_STEPS, guidance=7.5)


@dataclass(frozen=True)
class Generation:
    """All settings of the generation of a clip from a scene, besides the models and the noise."""

    sampling: Sampling = FIFTY_STEPS
    """The sampling of latents from noise."""
    augment: tuple[Augmentation, ...] = AS_IT_IS
    """The ways in which a scene is shown when actions alone are generated. The paths read from them are
    averaged; each way costs as much as the first. Mirrored ways are for models that were trained on mirrored
    scenes too."""
    smooth_frames: float = 2.0
    """The number of frames (a standard deviation) over which rotations are averaged, see
    `codec.smooth.RotationSmoother`. 0: rotations are not averaged."""

    def __post_init__(self) -> None:
        if not self.augment or self.smooth_frames < 0:
            raise ActionImagesError(
                f"a generation takes at least one augmentation and smooth_frames of 0 or more, got {self}"
            )

    @property
    def without_guidance(self) -> Self:
        """The same without guidance, which halves the cost of settings with guidance."""
        return replace(self, sampling=replace(self.sampling, guidance=1.0))


GENERATIONS = {
    "fifty-steps": Generation(FIFTY_STEPS),
    "release": Generation(GUIDED),
    "release-cached": Generation(replace(GUIDED, cache=StepCache())),
    "release-first-block": Generation(replace(GUIDED, first_block=0.05)),
    "one-step": Generation(ONE_STEP),
    "two-steps": Generation(TWO_STEPS),
    "four-steps": Generation(Sampling(num_steps=4)),
    "one-step-averaged": Generation(ONE_STEP, SWAPPED_AND_MIRRORED),
    "two-steps-averaged": Generation(TWO_STEPS, SWAPPED_AND_MIRRORED),
}
"""Name -> settings of generation. These names are used in `--sampling`, in presets and in saved models. The
release is meant for its own weights, few steps for models of deterministic tasks, averages for models that
were trained on mirrored scenes."""


def generation_named(name: str) -> Generation:
    """The settings with a name; raises ValueError with all names if it does not exist."""
    if name not in GENERATIONS:
        raise no_such("sampling", name, GENERATIONS)
    return GENERATIONS[name]


def name_without_augmentation(name: str) -> str:
    """The name of the same generation without augmentation.

    For models that were not trained on mirrored scenes.
    """
    plain = replace(generation_named(name), augment=AS_IT_IS)
    return next(other for other, generation in GENERATIONS.items() if generation == plain)
