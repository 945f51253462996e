"""The vector policy in the training loop: regression of the path from the same samples and canvases."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.baselines.network import PathHead, PathRegressor, backbone_config
from action_images.baselines.numbers import PARTS, from_numbers, reference, to_numbers, tool_now
from action_images.canvas import MODES, Canvas, Show
from action_images.device import sent, to_cpu
from action_images.errors import ActionImagesError
from action_images.geometry import Pose, Trajectory
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.build import build_transformer
from action_images.model.bundle import Clips, Models, answers_of
from action_images.model.denoiser import CanvasDenoiser, Condition
from action_images.model.presets import preset_named
from action_images.pipeline import Pipeline, Prediction
from action_images.samples.mixture import Draw, Mixture
from action_images.samples.sample import Sample, collate
from action_images.structs import concatenate
from action_images.training.batches import Noised
from action_images.training.objective import Predicted
from action_images.training.recipe import Learns, Recipe
from action_images.training.setup import new_models, read_models

STATISTICS_WINDOWS = 512
"""The number of windows for the mean and standard deviation of paths."""


class Vectors:
    """Regression of the path in numbers, by its mean absolute error.

    With the absolute error, the prediction for an ambiguous scene is one of the paths (the median), not a
    mixture of them. ACT (Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware",
    2023) uses it too.
    """

    name: Learns = "vectors"
    denoiser: type[CanvasDenoiser] = PathRegressor

    def goes_on_from(self, recipe: Recipe) -> Path | None:
        """The recipe's pretrained models, if they are vector policies.

        Of other models only the network is used, see `new_models`.
        """
        folder = recipe.pretrained
        return folder if folder is not None and answers_of(folder) == PathRegressor.answers else None

    def new_models(self, recipe: Recipe, clips: Clips, mixture: Mixture) -> Models:
        """The models of the recipe's preset, fitted as for canvases, with a path head on their network.

        If the recipe has pretrained models that generate action images, their network is reused except for
        its last layer. So its visual features are trained already.

        Raises ValueError for modes that do not show the tool's first pose and ask for the others.
        """
        for source in (*recipe.sources, *recipe.validation):
            unfit = [name for name in source.modes if MODES[name].action is not Show.FIRST_FRAME]
            if unfit:
                raise ActionImagesError(
                    f"{source.path}: a vector policy learns where the tool goes from where it is, "
                    f"not {', '.join(unfit)}"
                )
        models = (
            new_models(recipe, clips, mixture)
            if recipe.pretrained is None
            else read_models(recipe.pretrained, recipe, clips, mixture)
        )
        seeing = models.denoiser.transformer
        config = backbone_config(
            {name: value for name, value in seeing.config.items() if not name.startswith("_")}
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            transformer = build_transformer(replace(preset_named(recipe.preset), transformer=config))
            head = PathHead(config["out_channels"], clips.num_frames, models.autoencoder.temporal_factor)
        if recipe.pretrained is not None:
            taken_over = {
                name: weight
                for name, weight in seeing.state_dict().items()
                if not name.startswith(("proj_out.", "split."))
            }
            own = transformer.state_dict()
            transformer.load_state_dict({name: taken_over.get(name, weight) for name, weight in own.items()})
        numbers, valid, now = (torch.cat(parts) for parts in zip(*_paths(mixture, clips), strict=True))
        head.set_statistics(numbers, valid, now)
        return replace(models, denoiser=PathRegressor(transformer, head))

    def losses(self, denoiser: Any, batch: Noised, recipe: Recipe) -> Float[Tensor, "b"]:  # noqa: ARG002 (an Objective's arguments)
        """The mean absolute error of normalised, valid frames; position, rotation and opening have equal
        weight."""
        wanted, now = _told(batch.sample)
        answered = denoiser(batch.canvas, batch.condition, now)
        return _error(answered, _head(denoiser).normalised(wanted), batch.sample.valid[:, 1:])

    def predict(
        self,
        generator: ClipGenerator,
        given: Sample,
        mode: str,
        draws: Sequence[Draw],  # noqa: ARG002 (there is no noise)
    ) -> Predicted:
        """The path, and its drawn action images for pictures."""
        pipeline = generator.pipeline
        canvas, condition = pipeline.encode(given, MODES[mode], generator.clips.num_frames)
        given = sent(given, generator.device)
        wanted, now = _told(given)
        denoiser = pipeline.models.denoiser
        answered = denoiser(canvas, condition, now)
        error = _error(answered, _head(denoiser).normalised(wanted), given.valid[:, 1:])
        path = path_of(answered, given, denoiser)
        drawn = pipeline.draw(path, given.cameras).add(1).div(2)
        path, drawn, error = (to_cpu(one, "paths") for one in (path, drawn, error))
        unknown = torch.zeros_like(path.opening, dtype=torch.bool)
        return Predicted({"loss": error}, Prediction(None, drawn, None), path, unknown)


def regress(pipeline: Pipeline, canvas: Canvas, condition: Condition, scene: Sample) -> Trajectory:
    """The path (b frame) predicted from a batch of scenes; see `path_of`."""
    denoiser = pipeline.models.denoiser
    return path_of(denoiser(canvas, condition, tool_now(*_calibrated(scene))), scene, denoiser)


def path_of(answered: Float[Tensor, "b frame 10"], scene: Sample, denoiser: Any) -> Trajectory:
    """A denoiser's answer as a path in the world, whose frame 0 is the tool's pose in the scene."""
    path, first = _calibrated(scene)
    now = path[:, :1]
    return concatenate([now, from_numbers(_head(denoiser).plain(answered.float()), now, first)], 1)


def _told(sample: Sample) -> tuple[Float[Tensor, "b frame 10"], Float[Tensor, "b 10"]]:
    """The target numbers, and the tool now."""
    path, first = _calibrated(sample)
    return to_numbers(path, first)[:, 1:], tool_now(path, first)


def _calibrated(sample: Sample) -> tuple[Trajectory, Pose]:
    if sample.trajectory is None or sample.cameras is None:
        missing = "trajectory" if sample.trajectory is None else "cameras"
        raise ActionImagesError(
            f"a vector policy needs calibrated paths, but a sample has no {missing}; leave its source out"
        )
    return sample.trajectory, reference(sample.cameras)


def _error(answered: Tensor, wanted: Tensor, valid: Tensor) -> Float[Tensor, "b"]:
    parts = (answered.float() - wanted).abs().split(PARTS, -1)
    error = torch.stack([part.mean(-1) for part in parts]).mean(0)
    return (error * valid).sum(1) / valid.sum(1).clamp_min(1)


def _head(denoiser: Any) -> PathHead:
    """The head, even if the denoiser is wrapped for many processes."""
    return getattr(denoiser, "module", denoiser).head


def _paths(mixture: Mixture, clips: Clips) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Numbers, valid frames and the tool now of the mixture's first windows."""
    for index in range(min(STATISTICS_WINDOWS, sum(len(source) for source in mixture.sources))):
        sample = collate([mixture.sample(mixture[index], clips.size)])
        wanted, now = _told(sample)
        yield wanted, sample.valid[:, 1:], now


VECTORS = Vectors()
