"""Adapt a recipe to a user's own data sets, in place of its own sources."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from action_images.canvas import MODES
from action_images.episodes.dataset import Dataset
from action_images.errors import ActionImagesError
from action_images.samples.split import Split
from action_images.training.recipe import Recipe

PACE = 5.0
"""The preferred frames a second of clips: the rate of the recipes' own data."""
SLOWEST, FASTEST = 2.5, 10.0
"""The range of rates that are accepted if several data sets have none nearer to `PACE` in common."""
HELD_OUT = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Candidates for the held-out share: the first one with an episode on either side is used."""


def with_data(recipe: Recipe, paths: Sequence[Path]) -> tuple[Recipe, list[str]]:
    """The recipe with these data sets as its sources and, held out by episode, as its validation.

    The second value has a sentence for each on the choices made. A set is drawn from in proportion to its
    frames. Raises ActionImagesError if sets have no rate in common, too few views, or no tool poses though
    the recipe's modes need them.
    """
    sets = {path: Dataset(path) for path in paths}
    for path, dataset in sets.items():
        _check(path, dataset, recipe)
    strides = common_strides([dataset.fps for dataset in sets.values()], [str(path) for path in paths])
    learnt, judged, said = [], [], []
    for (path, dataset), stride in zip(sets.items(), strides, strict=True):
        split = _split(dataset)
        frames = sum(dataset.length(number) for number in range(len(dataset)))
        shared = {"path": path, "stride": stride, "held_out_by": "episode", "views": ()}
        source = replace(recipe.sources[0], ratio=float(frames), part="all", step=1, **shared)
        taken = f"{dataset.fps:g} frames a second, one of {stride} taken: {dataset.fps / stride:g} a second"
        if split is None:
            learnt.append(source)
            said.append(
                f"{path}: {taken}; {len(dataset)} episodes, too few to hold any out: none is judged on"
            )
            continue
        learnt.append(replace(source, part="train", held_out=split.fraction))
        judge = recipe.validation[0] if recipe.validation else recipe.sources[0]
        held_out = sum(map(split, dataset.ids))
        judged.append(replace(judge, ratio=1.0, part="held_out", held_out=split.fraction, step=1, **shared))
        said.append(f"{path}: {taken}; {len(dataset) - held_out} episodes to learn from, {held_out} held out")
    if recipe.mirror > 0:
        said.append(
            f"mirrored scenes are learnt from too ({recipe.mirror:g} of them); give --mirror 0 where the arm "
            "and its tasks have no mirror image"
        )
    return replace(recipe, sources=tuple(learnt), validation=tuple(judged)), said


def common_strides(rates: Sequence[float], names: Sequence[str]) -> list[int]:
    """The strides that bring recordings of these frames a second to one common rate near `PACE`."""
    first = rates[0]
    strides = range(1, max(2, round(first / SLOWEST) + 1))
    shared = [stride for stride in strides if all(_divides(rate, first / stride) for rate in rates)]
    usable = [stride for stride in shared if SLOWEST <= first / stride <= FASTEST]
    if len(rates) == 1 and not usable:
        return [1]  # the recording is slower than clips should be, so no frames are left out
    if not usable:
        told = ", ".join(f"{name} {rate:g}" for name, rate in zip(names, rates, strict=True))
        raise ActionImagesError(
            f"the data sets have no frame rate from {SLOWEST:g} to {FASTEST:g} a second in common ({told}); "
            "train on those of one rate, or record or import the others at it"
        )
    best = min(usable, key=lambda stride: abs(first / stride - PACE))
    return [round(rate / (first / best)) for rate in rates]


def _divides(rate: float, wanted: float) -> bool:
    stride = round(rate / wanted)
    return stride >= 1 and abs(rate / stride - wanted) <= 1e-3 * wanted


def _check(path: Path, dataset: Dataset, recipe: Recipe) -> None:
    if len(dataset.view_names) < recipe.num_views:
        raise ActionImagesError(
            f"{path}: has {len(dataset.view_names)} views, a sample of the recipe {recipe.num_views}; give "
            "data with more, or --num-views"
        )
    draws = any(
        weight > 0 and MODES[mode].action is not None for mode, weight in recipe.sources[0].modes.items()
    )
    views = dataset.view_names
    if draws and not any(dataset.draws_actions(number, views) for number in range(len(dataset))):
        raise ActionImagesError(
            f"{path}: no episode has tool poses and calibrated views; add them to the recordings, or label "
            "the videos with models that know such scenes: action-images label --help"
        )


def _split(dataset: Dataset) -> Split | None:
    """The held-out part; None if no episode can be spared."""
    for share in HELD_OUT:
        split = Split("held_out", share, "episode")
        if 0 < sum(map(split, dataset.ids)) < len(dataset):
            return split
    return None
