"""Held-out windows judged while training: the loss by noise level, and what a real sampling reads back as."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.canvas import MODES
from action_images.model.bundle import Clips
from action_images.pipeline import Pipeline, Prediction
from action_images.samples.mixture import Draw, Mixture
from action_images.samples.sample import Sample, collate
from action_images.training.objective import ACTION_IMAGES, Objective, Predicted
from action_images.training.recipe import Recipe
from action_images.training.setup import open_mixture

SEED = 1
AT_ONCE = 16
FAR_MM = 1000.0
"""What a pose that could not be read counts as."""


@dataclass(frozen=True)
class Shown:
    """Some held-out samples of a mode, and what the model made of them."""

    mode: str
    truth: Sample
    drawn: Float[Tensor, "b view frame 3 h w"] | None
    """The true action images in [0, 1]; None where the sample has no actions."""
    prediction: Prediction


@dataclass(frozen=True)
class Judged:
    """Medians over windows by mode and name; `score` (lower is better) is the mean over modes of the final position error in
    mm, or of the losses where no mode has one."""

    figures: dict[str, dict[str, float]]
    score: float
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Validation:
    """Which held-out windows are judged, by mode: always the same, from the sources that have the mode, with the text that it has there."""

    mixtures: Mapping[str, Mixture]
    clips: Clips
    recipe: Recipe
    objective: Objective = ACTION_IMAGES

    @classmethod
    def of(cls, recipe: Recipe, clips: Clips, objective: Objective = ACTION_IMAGES) -> "Validation":
        """The recipe's validation sources as they are, never mirrored, for each mode that they give a weight."""
        plain = replace(recipe, mirror=0.0)
        modes = dict.fromkeys(
            mode for one in recipe.validation for mode, weight in one.modes.items() if weight > 0
        )
        having = {
            mode: [replace(one, modes={mode: 1.0}) for one in recipe.validation if one.modes.get(mode, 0) > 0]
            for mode in modes
        }
        return cls(
            {mode: open_mixture(sources, plain, clips, SEED) for mode, sources in having.items()},
            clips,
            recipe,
            objective,
        )

    @torch.no_grad()
    def judge(self, pipeline: Pipeline) -> Judged:
        """All modes; every process judges the same windows, so that none waits."""
        figures: dict[str, dict[str, float]] = {}
        shown: list[Shown] = []
        device = pipeline.models.denoiser.transformer.device
        for mode in self.mixtures:
            parts: list[dict[str, Tensor]] = []
            for sample, draws in self._batches(mode):
                part, first = self._judge(pipeline, mode, sample.to(device), draws)
                # Of all the pixels those of a few samples are looked at.
                shown += [] if parts else [first]
                parts.append(part)
            figures[mode] = {
                name: torch.cat([part[name] for part in parts]).nanmedian().item() for name in parts[0]
            }
        finals = [row["final mm"] for row in figures.values() if "final mm" in row]
        losses = [value for row in figures.values() for name, value in row.items() if name.startswith("loss")]
        scores = finals or losses
        return Judged(figures, sum(scores) / len(scores), tuple(shown))

    def _judge(
        self, pipeline: Pipeline, mode: str, truth: Sample, draws: tuple[Draw, ...]
    ) -> tuple[dict[str, Float[Tensor, "b"]], Shown]:
        given = truth
        if MODES[mode].video_frames == 1:
            given = replace(truth, video=truth.video[:, :, :1])
        predicted = self.objective.predict(pipeline, given, mode, self.clips, draws)
        figures = (
            predicted.losses | _path_errors(truth, predicted) | _video_errors(truth, predicted.prediction)
        )
        drawn = (
            None
            if truth.trajectory is None or truth.cameras is None
            else pipeline.draw(truth.trajectory, truth.cameras).add(1).div(2)
        )
        return figures, Shown(
            mode, truth.to("cpu"), None if drawn is None else drawn.cpu(), predicted.prediction.to("cpu")
        )

    def _batches(self, mode: str) -> Iterator[tuple[Sample, tuple[Draw, ...]]]:
        total, mixture = self.recipe.validation_windows, self.mixtures[mode]
        at_once = min(AT_ONCE, self.recipe.micro_batch_size)
        for start in range(0, total, at_once):
            # Without a mode all of their video is decoded: it is what answers are compared with.
            draws = tuple(
                replace(mixture[index], mode=None) for index in range(start, min(start + at_once, total))
            )
            yield collate([mixture.sample(draw, self.clips.size) for draw in draws]).normalised(), draws


def _path_errors(truth: Sample, predicted: Predicted) -> dict[str, Tensor]:
    path, unknown = predicted.path, predicted.unknown
    if path is None or unknown is None or truth.trajectory is None:
        return {}
    metres, radians = path.world_from_tool.distance(truth.trajectory.world_from_tool)
    # What could not be read stands between its neighbours: it counts as far off, or a blank image would score as keeping still.
    millimetres = torch.where(unknown, torch.inf, 1e3 * metres).nan_to_num(FAR_MM, FAR_MM).cpu()
    degrees = torch.where(unknown, torch.inf, radians.rad2deg()).nan_to_num(180.0, 180.0).cpu()
    right = ((path.opening > 0.5) == (truth.trajectory.opening > 0.5)).float().mean(-1).cpu()
    ends = truth.trajectory.world_from_tool.translation[:, [0, -1]].cpu()
    return {
        "final mm": millimetres[:, -1],
        "still mm": 1e3 * (ends[:, 1] - ends[:, 0]).norm(dim=-1),
        "path mm": millimetres[:, 1:].mean(-1),
        "path deg": degrees[:, 1:].mean(-1),
        "gripper %": 100 * right,
    }


def _video_errors(truth: Sample, prediction: Prediction) -> dict[str, Tensor]:
    if (
        prediction.video is None
        or prediction.video.shape[2] != truth.video.shape[2]
        or prediction.video.shape[2] == 1
    ):
        return {}
    real = truth.video.add(1).div(2)
    error = (prediction.video[:, :, -1] - real[:, :, -1]).square().flatten(1).mean(1)
    still = (real[:, :, 0] - real[:, :, -1]).square().flatten(1).mean(1)
    return {
        "last dB": -10 * error.clamp_min(1e-10).log10().cpu(),
        "still dB": -10 * still.clamp_min(1e-10).log10().cpu(),
    }
