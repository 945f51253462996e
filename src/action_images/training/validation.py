"""Validation on held-out windows during training, with the clip generator that policies use."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.canvas import MODES
from action_images.inference.clip_generator import ClipGenerator
from action_images.model.bundle import Clips
from action_images.pipeline import Pipeline, Prediction
from action_images.samples.mixture import Draw, Mixture
from action_images.samples.sample import Sample, collate
from action_images.training.objective import ACTION_IMAGES, Objective, Predicted
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.setup import open_mixture

SEED = 1
AT_ONCE = 16
"""The largest number of canvases in one pass."""
FAR_MM, FAR_DEG = 1000.0, 180.0
"""The error of a pose that could not be read."""

Figures = dict[str, Float[Tensor, "b"]]
"""Name -> one figure for each window of a batch."""


@dataclass(frozen=True)
class Shown:
    """Some held-out samples of a mode, and the model's predictions."""

    mode: str
    truth: Sample
    drawn: Float[Tensor, "b view frame 3 h w"] | None
    """The true action images in [0, 1]; None if the sample has no actions."""
    prediction: Prediction


@dataclass(frozen=True)
class Judged:
    """The results of a validation."""

    figures: dict[str, dict[str, float]]
    """Mode -> name -> median over windows."""
    score: float
    """Lower is better: see `score_of`."""
    shown: tuple[Shown, ...]
    """The first batch of each mode."""


@dataclass(frozen=True)
class Validation:
    """The held-out windows of validation, by mode.

    They are always the same: from the sources with the mode, with their own text, and never mirrored.
    """

    mixtures: Mapping[str, Mixture]
    recipe: Recipe
    size: tuple[int, int]
    objective: Objective = ACTION_IMAGES

    @classmethod
    def of(cls, recipe: Recipe, clips: Clips, objective: Objective = ACTION_IMAGES) -> "Validation":
        """The recipe's validation sources, for each mode that they give a weight."""
        mixtures = {
            mode: open_mixture(_sources_with(mode, recipe), recipe, clips, SEED)
            for mode in _modes_of(recipe.validation)
        }
        return cls(mixtures, recipe, clips.size, objective)

    @torch.no_grad()
    def judge(self, generator: ClipGenerator) -> Judged:
        """Validate all modes; every process does all windows, so that none waits."""
        figures: dict[str, dict[str, float]] = {}
        shown: list[Shown] = []
        for mode in self.mixtures:
            figures[mode], first = self._judged(generator, mode)
            shown.append(first)
        return Judged(figures, score_of(figures), tuple(shown))

    def _judged(self, generator: ClipGenerator, mode: str) -> tuple[dict[str, float], Shown]:
        """The medians of one mode, and its first batch.

        Only the pixels of the first batch are kept.
        """
        batches: list[Figures] = []
        first: Shown | None = None
        for truth, draws in self.batches(mode, self._windows_at_once(generator, mode)):
            given = _given(truth, mode)
            predicted = self.objective.predict(generator, given, mode, draws)
            batches.append(figures_of(truth, predicted))
            if first is None:
                first = Shown(mode, truth, _drawn(generator.pipeline, truth), predicted.prediction)
        assert first is not None
        return _medians(batches), first

    def batches(self, mode: str, at_once: int) -> Iterator[tuple[Sample, tuple[Draw, ...]]]:
        """The windows of a mode, at most `at_once` at a time, with their whole video decoded."""
        mixture, num_windows = self.mixtures[mode], self.recipe.validation_windows
        for start in range(0, num_windows, at_once):
            indices = range(start, min(start + at_once, num_windows))
            # A draw without a mode decodes the whole video, which predictions are compared with.
            draws = tuple(replace(mixture[index], mode=None) for index in indices)
            yield collate([mixture.sample(draw, self.size) for draw in draws]).normalised(), draws

    def _windows_at_once(self, generator: ClipGenerator, mode: str) -> int:
        """The number of windows whose canvases, with augmentations, are at most those of a training pass."""
        num_canvases = min(AT_ONCE, self.recipe.micro_batch_size)
        return max(1, num_canvases // len(generator.augmentations(mode, self.recipe.num_views)))


PLANNING = ("policy", "joint", "second_view")
"""Modes that plan. If a validation has any, only these count in the score, as closed-loop trials use them."""


def score_of(figures: Mapping[str, Mapping[str, float]]) -> float:
    """The error (mm) of the parts of a plan that matter most, as the mean over modes.

    These are the end of the path, and the tool's position when the gripper opens or closes. If there are
    modes that plan, only these count; for models that read no path, the losses count.
    """
    planning = {name: row for name, row in figures.items() if name in PLANNING and "final mm" in row}
    rows = (planning or figures).values()
    finals = [_mean([row["final mm"], row.get("grip mm", math.nan)]) for row in rows if "final mm" in row]
    losses: list[float] = []
    for row in figures.values():
        losses += [value for name, value in row.items() if name.startswith("loss")]
    scores = finals or losses
    return sum(scores) / len(scores)


def _mean(values: Sequence[float]) -> float:
    """The mean of the values that are not NaN."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known)


def figures_of(truth: Sample, predicted: Predicted) -> Figures:
    """The losses of a batch, and the errors of its paths and videos."""
    path = {} if predicted.path is None else _path_errors(truth, predicted)
    return {**predicted.losses, **path, **_video_errors(truth, predicted.prediction)}


def _path_errors(truth: Sample, predicted: Predicted) -> Figures:
    path, unknown, true_path = predicted.path, predicted.unknown, truth.trajectory
    assert path is not None
    if unknown is None or true_path is None:
        return {}
    metres, radians = path.world_from_tool.distance(true_path.world_from_tool)
    # A pose that could not be read is interpolated between its neighbours, but counts as far off: a blank
    # image must not score like keeping still.
    millimetres = torch.where(unknown, torch.inf, 1e3 * metres).nan_to_num(FAR_MM, FAR_MM)
    degrees = torch.where(unknown, torch.inf, radians.rad2deg()).nan_to_num(FAR_DEG, FAR_DEG)
    same_opening = (path.opening > 0.5) == (true_path.opening > 0.5)
    translation = true_path.world_from_tool.translation
    return {
        "final mm": millimetres[:, -1],
        "still mm": 1e3 * (translation[:, -1] - translation[:, 0]).norm(dim=-1),
        "path mm": millimetres[:, 1:].mean(-1),
        "path deg": degrees[:, 1:].mean(-1),
        "grip mm": _at_the_grip(millimetres, true_path.opening),
        "gripper %": 100 * same_opening.float().mean(-1),
    }


def _at_the_grip(millimetres: Float[Tensor, "b frame"], opening: Float[Tensor, "b frame"]) -> Tensor:
    """The error in the frame in which the true gripper first opens or closes (b); NaN if it never does."""
    is_open = opening > 0.5
    changes = is_open[:, 1:] != is_open[:, :-1]
    first = millimetres[:, 1:].gather(1, changes.float().argmax(1, keepdim=True))[:, 0]
    return torch.where(changes.any(1), first, torch.nan)


def _video_errors(truth: Sample, prediction: Prediction) -> Figures:
    video, num_frames = prediction.video, truth.video.shape[2]
    if video is None or num_frames == 1 or video.shape[2] != num_frames:
        return {}
    true_video = truth.video.add(1).div(2)
    first, last = true_video[:, :, 0], true_video[:, :, -1]
    return {"last dB": _decibels(video[:, :, -1], last), "still dB": _decibels(first, last)}


def _decibels(images: Tensor, truth: Tensor) -> Float[Tensor, "b"]:
    """The peak signal-to-noise ratio of images in [0, 1], all views of a sample together."""
    error = (images - truth).square().flatten(1).mean(1)
    return -10 * error.clamp_min(1e-10).log10()


def _medians(batches: Sequence[Figures]) -> dict[str, float]:
    """Medians over all windows that have a figure; figures that none has are left out."""
    medians = {}
    for name in batches[0]:
        medians[name] = torch.cat([one[name] for one in batches]).nanmedian().item()
    return {name: value for name, value in medians.items() if not math.isnan(value)}


def _given(truth: Sample, mode: str) -> Sample:
    """The part of a window that the models may see: the first image alone if the mode shows no more."""
    return replace(truth, video=truth.video[:, :, :1]) if MODES[mode].video_frames == 1 else truth


def _drawn(pipeline: Pipeline, truth: Sample) -> Float[Tensor, "b view frame 3 h w"] | None:
    if truth.trajectory is None or truth.cameras is None:
        return None
    return pipeline.draw(truth.trajectory, truth.cameras).add(1).div(2)


def _modes_of(sources: Sequence[SourceRecipe]) -> tuple[str, ...]:
    """The modes that any source gives a weight, in their order."""
    modes: dict[str, None] = {}
    for one in sources:
        modes |= dict.fromkeys(mode for mode, weight in one.modes.items() if weight > 0)
    return tuple(modes)


def _sources_with(mode: str, recipe: Recipe) -> list[SourceRecipe]:
    """The validation sources that have a mode, each reduced to that mode and never mirrored."""
    having = [one for one in recipe.validation if one.modes.get(mode, 0) > 0]
    return [replace(one, modes={mode: 1.0}, mirror=0.0) for one in having]
