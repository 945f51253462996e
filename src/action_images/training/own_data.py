"""Adapt a recipe to a user's own data sets, in place of its own sources."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from action_images.canvas.shown import SHOWN
from action_images.episodes.dataset import Dataset
from action_images.errors import ActionImagesError
from action_images.model.presets import preset_named
from action_images.samples.split import Split
from action_images.samples.window import Cutting
from action_images.training.recipe import Recipe, SourceRecipe

PACE = 5.0
"""The preferred frames a second of clips: the rate of the recipes' own data."""
SLOWEST, FASTEST = 2.5, 10.0
"""The range of rates that are accepted if several data sets have none nearer to `PACE` in common."""
HELD_OUT = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Candidates for the held-out share: the first one with an episode on either side is used."""


TAKEN = frozenset({"modes", "drop_text", "drop_text_of", "drawn", "mirror"})
"""Fields of a recipe's source that its sources on own data take over; `with_data` decides the others."""


def with_data(
    recipe: Recipe, paths: Sequence[Path], views: Sequence[str] = (), stride: int | None = None
) -> tuple[Recipe, list[str]]:
    """The recipe with these data sets as its sources and, held out by episode, as its validation.

    Samples are drawn as from the recipe's first source that draws action images (see `pattern`), with
    `views` (all if empty) and every `stride`-th frame (None: about `PACE` a second). A set is drawn from in
    proportion to its frames. The second value has a sentence for each on the choices made. Raises
    ActionImagesError if sets have no rate in common, too few views, no episode as long as a clip, or no tool
    poses though the recipe's modes need them.
    """
    sets = {path: Dataset(path) for path in paths}
    like = recipe.sources[pattern(recipe.sources)]
    judge = recipe.validation[pattern(recipe.validation)] if recipe.validation else like
    rates, names = [dataset.fps for dataset in sets.values()], [str(path) for path in paths]
    strides = common_strides(rates, names) if stride is None else [stride] * len(sets)
    learnt, judged, said = [], [], []
    for (path, dataset), every in zip(sets.items(), strides, strict=True):
        usable = _usable(path, dataset, recipe, views=views, stride=every)
        split = split_of(usable)
        frames = sum(dataset.length(number) for number in range(len(dataset)))
        shared = {"path": path, "stride": every, "held_out_by": "episode", "views": tuple(views)}
        shared |= {"drawn": like.drawn}
        source = replace(like, ratio=float(frames), part="all", step=1, **shared)
        frames_taken = taken(dataset.fps, every)
        if split is None:
            learnt.append(source)
            said.append(
                f"{path}: {frames_taken}; {len(usable)} episodes, too few to hold any out: none is judged on"
            )
            continue
        learnt.append(replace(source, part="train", held_out=split.fraction))
        judged.append(replace(judge, ratio=1.0, part="held_out", held_out=split.fraction, step=1, **shared))
        held_out = sum(map(split, usable))
        said.append(
            f"{path}: {frames_taken}; {len(usable) - held_out} episodes to learn from, {held_out} held out"
        )
    said.append(f"learns the modes {_shares(like.modes)}" + _only_video(like))
    if judged:
        said.append(f"is judged in the modes {_shares(judge.modes)}")
    mirror = recipe.mirror_of(like)
    if mirror > 0:
        said.append(
            f"mirrored scenes are learnt from too ({mirror:g} of them); give --mirror 0 where the arm "
            "and its tasks have no mirror image"
        )
    return replace(recipe, sources=tuple(learnt), validation=tuple(judged)), said


def pattern(sources: Sequence[SourceRecipe]) -> int:
    """The place of the first source that draws action images; 0 if none does.

    Recipes of several sources may have some without tool poses, from which video alone is learnt.
    """
    return next((place for place, one in enumerate(sources) if _draws_actions(one)), 0)


def check_overwritten(recipe: Recipe, named: Recipe) -> None:
    """Raise ActionImagesError for an option of a source that `with_data` would overwrite.

    Those are all that differ from the named recipe's and that are not `TAKEN` from a source that is used.
    """
    for kind in ("sources", "validation"):
        used = pattern(getattr(recipe, kind))
        for place, (one, usual) in enumerate(zip(getattr(recipe, kind), getattr(named, kind), strict=True)):
            for field in fields(SourceRecipe):
                is_used = place == used and field.name in TAKEN
                if not is_used and getattr(one, field.name) != getattr(usual, field.name):
                    raise ActionImagesError(_overwritten(f"--{kind}.{place}.", field.name, kind, used))


def _overwritten(place: str, field: str, kind: str, used: int) -> str:
    option = place + field.replace("_", "-")
    if field in TAKEN:
        return f"{option} does nothing with --data; give --{kind}.{used}.{field.replace('_', '-')}"
    cure = f"give --{field}" if field in ("views", "stride") else "leave it out"
    return (
        f"{option} does nothing with --data, which decides it for all its sets; {cure}, or name the sets by "
        "--sources.N.path instead of --data"
    )


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


def taken(rate: float, stride: int) -> str:
    """Words for every `stride`-th frame of recordings of `rate` frames a second."""
    return f"{rate:g} frames a second, one of {stride} taken: {rate / stride:g} a second"


def _divides(rate: float, wanted: float) -> bool:
    stride = round(rate / wanted)
    return stride >= 1 and abs(rate / stride - wanted) <= 1e-3 * wanted


def _usable(path: Path, dataset: Dataset, recipe: Recipe, *, views: Sequence[str], stride: int) -> list[str]:
    """The ids of the episodes that give windows; raises ActionImagesError, with a cure, if there are none."""
    unknown = sorted(set(views) - set(dataset.view_names))
    if unknown:
        raise ActionImagesError(
            f"{path}: has no view '{unknown[0]}'; its views are {', '.join(dataset.view_names)}"
        )
    views = views or dataset.view_names
    if len(views) < recipe.num_views:
        raise ActionImagesError(
            f"{path}: has {len(views)} views to draw from, a sample of the recipe {recipe.num_views}; give "
            "data or --views with more, or --num-views"
        )
    numbers = range(len(dataset))
    if any(map(_draws_actions, (*recipe.sources, *recipe.validation))):
        numbers = [number for number in numbers if dataset.draws_actions(number, views)]
        if not numbers:
            raise ActionImagesError(f"{path}: {_missing(dataset, views, recipe.num_views)}")
    num_frames = recipe.num_frames or preset_named(recipe.preset).num_frames
    cutting = Cutting(num_frames, stride)
    long_enough = [number for number in numbers if cutting.num_windows(dataset.length(number)) > 0]
    if not long_enough:
        longest = max((dataset.length(number) for number in numbers), default=0)
        raise ActionImagesError(
            f"{path}: a clip of {num_frames} frames, one of {stride} taken, needs a recording of "
            f"{cutting.needed()} frames, the longest episode has {longest}; give a smaller --stride or "
            "--num-frames"
        )
    return [dataset.ids[number] for number in long_enough]


def _missing(dataset: Dataset, views: Sequence[str], num_views: int) -> str:
    """What all episodes lack for action images, with a cure."""
    if not _any_draws(dataset, ()):
        return (
            "no episode has tool poses; add them to the recordings, or label the videos with models that "
            "know such scenes: action-images label --help"
        )
    bare = [view for view in views if not _any_draws(dataset, (view,))]
    if not bare:
        return (
            f"no episode has all its views calibrated ({', '.join(views)}); give fewer --views, or calibrate "
            "them: action-images calibrate --help"
        )
    rest = [view for view in views if view not in bare]
    without = f"give --views {' '.join(rest)}, or " if len(rest) >= num_views else ""
    return (
        f"the view {' and the view '.join(bare)} is calibrated in no episode; {without}calibrate it: "
        "action-images calibrate --help"
    )


def _any_draws(dataset: Dataset, views: Sequence[str]) -> bool:
    """Whether any episode has tool poses and all of these views calibrated."""
    return any(dataset.draws_actions(number, views) for number in range(len(dataset)))


def _draws_actions(source: SourceRecipe) -> bool:
    return any(weight > 0 and SHOWN[mode].action is not None for mode, weight in source.modes.items())


def _shares(modes: Mapping[str, float]) -> str:
    """The modes with a weight, each with its share of the samples."""
    total = sum(modes.values())
    return ", ".join(f"{name} {100 * weight / total:.3g} %" for name, weight in modes.items() if weight > 0)


def _only_video(source: SourceRecipe) -> str:
    return "" if _draws_actions(source) else ": video alone, without action images"


def split_of(usable: Sequence[str]) -> Split | None:
    """The held-out part of the episodes that give windows; None if no episode can be spared."""
    for share in HELD_OUT:
        split = Split("held_out", share, "episode")
        if 0 < sum(map(split, usable)) < len(usable):
            return split
    return None
