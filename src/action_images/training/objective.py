"""Objectives of training: the models to start with, the loss, and predictions on held-out samples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from action_images.canvas import MODES
from action_images.device import sent, to_cpu
from action_images.diffusion import flow
from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.pipeline import Prediction
from action_images.samples.mixture import Draw, Mixture
from action_images.samples.sample import Sample
from action_images.training.batches import Noised, losses
from action_images.training.recipe import Learns, Recipe
from action_images.training.setup import new_models

LEVELS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Predicted:
    """The predictions for a batch of held-out samples.

    It has `losses` by name, the `prediction` in pixels, the tool's path in space, and marks on its unknown
    frames. The latter two are None if there is no path. All of it is on the CPU.
    """

    losses: dict[str, Float[Tensor, "b"]]
    prediction: Prediction
    path: Trajectory | None
    unknown: Bool[Tensor, "b frame"] | None


@runtime_checkable
class Objective(Protocol):
    """An objective for the training loop.

    `name` is the recipe's `learns`, `denoiser` the kind of denoiser that is trained.
    """

    name: Learns
    denoiser: type[CanvasDenoiser]

    def goes_on_from(self, recipe: Recipe) -> Path | None:
        """The folder of models that a run starts with; None: it starts with `new_models`."""
        ...

    def new_models(self, recipe: Recipe, clips: Clips, mixture: Mixture) -> Models:
        """Models with new weights, with those parts fitted to the data that need no training."""
        ...

    def losses(self, denoiser: Any, batch: Noised, recipe: Recipe) -> Float[Tensor, "b"]:
        """The loss of each sample."""
        ...

    def predict(self, generator: ClipGenerator, given: Sample, mode: str, draws: Sequence[Draw]) -> Predicted:
        """The models' predictions for whole samples, of which they see only what the mode shows.

        The noise depends on the draws alone. The result is on the CPU.
        """
        ...


class ActionImages:
    """The method itself: flow matching on canvases."""

    name: Learns = "action-images"
    denoiser: type[CanvasDenoiser] = CanvasDenoiser

    def goes_on_from(self, recipe: Recipe) -> Path | None:
        """The recipe's pretrained models."""
        return recipe.pretrained

    def new_models(self, recipe: Recipe, clips: Clips, mixture: Mixture) -> Models:
        """Models of the recipe's preset, their autoencoder and output bias fitted to the data."""
        return new_models(recipe, clips, mixture)

    def losses(self, denoiser: Any, batch: Noised, recipe: Recipe) -> Float[Tensor, "b"]:
        """The error of the velocity, see `batches.losses`."""
        return losses(denoiser, batch, recipe)

    def predict(self, generator: ClipGenerator, given: Sample, mode: str, draws: Sequence[Draw]) -> Predicted:
        """The loss at four noise levels, and a clip generated as by a policy, but without guidance."""
        losses = _losses_by_level(generator, given, mode, draws)
        generator = replace(generator, generation=generator.generation.without_guidance)
        prediction = generator.generate(given, mode, [draw.index for draw in draws])
        unknown = None if prediction.reading is None else prediction.reading.position_std.isinf()
        return Predicted(losses, prediction, prediction.trajectory, unknown)


def _losses_by_level(
    generator: ClipGenerator, given: Sample, mode: str, draws: Sequence[Draw]
) -> dict[str, Float[Tensor, "b"]]:
    """The squared error of the clean latents at some noise levels, by name."""
    canvas, condition = generator.pipeline.encode(given, MODES[mode], generator.clips.num_frames)
    noise = torch.stack([_noise(canvas.latents[0].shape, draw) for draw in draws])
    noise = sent(noise, canvas.latents.device)
    losses = {}
    for level in LEVELS:
        levels = torch.full((len(draws),), level, device=canvas.latents.device)
        noised = replace(canvas, latents=flow.noised(canvas, noise, levels))
        velocity = generator.pipeline.models.denoiser(noised, levels, condition)
        losses[f"loss {level:g}"] = to_cpu(flow.loss(velocity, canvas, noise, levels.square()), "paths")
    return losses


def _noise(shape: torch.Size, draw: Draw) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(draw.index))


ACTION_IMAGES = ActionImages()


def check_objective(objective: Objective, recipe: Recipe) -> None:
    """Raise ActionImagesError unless this is the objective that the recipe learns."""
    if recipe.learns != objective.name:
        raise ActionImagesError(
            f"the recipe learns {recipe.learns}, the objective given is {objective.name}; "
            "pass objective=objectives.objective_of(recipe)"
        )
