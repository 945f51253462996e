"""Training by lerobot-train: new models for a data set, and the loss of a batch."""

from collections.abc import Hashable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from action_images.canvas import MODES
from action_images.errors import ActionImagesError
from action_images.model.bundle import Clips, Models, load_clips
from action_images.model.presets import preset_named
from action_images.model.shipped import models_folder
from action_images.model.text import HashedWords, words_of
from action_images.pipeline import Pipeline
from action_images.samples.loader import Batch
from action_images.samples.mixture import Draw
from action_images.samples.sample import Sample
from action_images.samples.stateless_random import choose, uniform
from action_images.samples.window import Window
from action_images.training.batches import losses, noised_batches
from action_images.training.own_data import FASTEST, PACE, SLOWEST
from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import RECIPES
from action_images.training.setup import clips_of, new_models, open_mixture
from lerobot_policy_action_images.columns import check_cameras, views_of
from lerobot_policy_action_images.configuration_action_images import NEW, ActionImagesConfig


def usual_clips(config: ActionImagesConfig) -> tuple[tuple[int, int], int]:
    """The size (height, width) and number of frames of the models' training clips."""
    if config.models == NEW:
        preset = preset_named(recipe_named(config.recipe).preset)
        return preset.size, preset.num_frames
    clips = load_clips(models_folder(config.models))
    if clips is None:
        raise ActionImagesError(f"{config.models}: does not say what clips its models were trained on")
    return clips.size, clips.num_frames


def recipe_named(name: str) -> Recipe:
    """A recipe of action-images that makes new models; raises ActionImagesError for others."""
    known = [key for key, one in RECIPES.items() if one.learns == "action-images" and one.pretrained is None]
    if name not in known:
        raise ActionImagesError(f"there is no recipe '{name}' for new models; there are: {', '.join(known)}")
    return RECIPES[name]


def recipe_of(config: ActionImagesConfig, root: Path, views: tuple[str, ...]) -> Recipe:
    """The recipe, changed to train on one LeRobot set."""
    usual = recipe_named(config.recipe if config.models == NEW else "tiny")
    size, num_frames = usual_clips(config)
    source = SourceRecipe(
        root, modes=dict(config.modes), drop_text=config.drop_text, stride=config.stride, views=views
    )
    return replace(
        usual,
        sources=(source,),
        validation=(),
        num_views=config.num_views,
        size=config.size or size,
        num_frames=config.num_frames or num_frames,
        frames_cache=None,
        mirror=0.0,
        seed=config.seed,
    )


def models_for(config: ActionImagesConfig, dataset: Any) -> Models:
    """New models, with their linear parts fitted to all episodes of a set (LeRobot's `ds_meta`).

    Raises ActionImagesError if the set has no cameras or too few views, or if its frame rate at the config's
    stride does not suit clips.
    """
    root = Path(dataset.root)
    views = views_of(dataset.features, config.views)
    check_cameras(dataset.features, views, str(root))
    check_pace(config, float(dataset.fps))
    recipe = recipe_of(config, root, views)
    clips = clips_of(recipe)
    mixture = open_mixture(recipe.sources, recipe, clips, recipe.seed)
    return new_models(recipe, clips, mixture)


def continued(models: Models, dataset: Any) -> Models:
    """Saved models that go on learning on a set: they know its words (LeRobot's `ds_meta.tasks`).

    The measured reliability and the pictures of their former training no longer describe them.
    """
    models = replace(models, reliability=None, familiarity=None)
    if not isinstance(models.text, HashedWords) or models.text.vocabulary is None:
        return models
    tasks = [str(task) for task in dataset.tasks.index]
    return replace(models, text=models.text.having(chain.from_iterable(map(words_of, tasks))))


def check_pace(config: ActionImagesConfig, fps: float, clips: Clips | None = None) -> None:
    """Raise ActionImagesError, with a suitable stride, if clips would be too fast or too slow."""
    wanted = PACE if clips is None else clips.fps
    rate = fps / config.stride
    fits = SLOWEST <= rate <= FASTEST if clips is None else abs(rate - wanted) <= 1e-3 * wanted
    if fits or (clips is None and fps < SLOWEST and config.stride == 1):
        return
    stride = max(1, round(fps / wanted))
    near = f"--policy.stride={stride} gives {fps / stride:g}"
    raise ActionImagesError(
        f"the set has {fps:g} frames a second; at --policy.stride={config.stride} clips have {rate:g}, "
        f"{'about ' if clips is None else ''}{wanted:g} is wanted: {near}"
    )


def loss_of(models: Models, recipe: Recipe, sample: Sample, seed: int) -> tuple[Tensor, dict[str, float]]:
    """The mean loss of a batch of whole clips, and values to log.

    Clips without a real frame after the first are left out and counted. All randomness depends on the seed.
    """
    pipeline, (first,) = Pipeline.of(models), recipe.sources
    clips = models.clips
    assert clips is not None
    factor = models.autoencoder.temporal_factor
    kept = [place for place, valid in enumerate(sample.valid) if valid[: 1 + factor].all()]
    if not kept:
        raise ActionImagesError(
            "no clip of this batch has a frame after its first: the episodes are shorter than "
            f"{1 + factor} frames at --policy.stride; take a smaller stride"
        )
    groups: dict[Hashable, list[tuple[int, Draw]]] = {}
    for place in kept:
        draw = _draw(seed, place, first)
        groups.setdefault(MODES[str(draw.mode)].layout(1, 2), []).append((place, draw))
    total = torch.zeros((), device=pipeline.device)
    for members in groups.values():
        places, draws = zip(*members, strict=True)
        told = tuple(None if draw.drop_text else _told(sample, place) for place, draw in members)
        part = replace(sample[torch.tensor(places)], instruction=told)
        part = _views(part, recipe, seed)
        batches = [Batch(part, draws)]
        for noised in noised_batches(pipeline, batches, recipe, len(draws), clips.num_frames):
            total = total + losses(models.denoiser, noised, recipe).sum()
    left_out = len(sample.valid) - len(kept)
    return total / len(kept), {"clips_left_out": float(left_out)} if left_out else {}


def _draw(seed: int, place: int, source: SourceRecipe) -> Draw:
    mode = choose(source.modes, seed, place, "task")
    drop = source.drop_text_of.get(mode, source.drop_text)
    window = Window("lerobot", (), 0, source.stride, 1)
    is_dropped = uniform(seed, place, "text") < drop
    return Draw(place, "lerobot", 0, window, mode, drop_text=is_dropped, mirror=False, seed=seed)


def _told(sample: Sample, place: int) -> str | None:
    return sample.instruction[place] if isinstance(sample.instruction, tuple) else sample.instruction


def _views(sample: Sample, recipe: Recipe, seed: int) -> Sample:
    """The number of views of the recipe's samples, in random order if that is not all."""
    count = sample.video.shape[1]
    if recipe.num_views >= count:
        return sample
    order = sorted(range(count), key=lambda view: uniform(seed, view, "views"))[: recipe.num_views]
    chosen, cameras = torch.tensor(order), sample.cameras
    assert cameras is not None
    return replace(sample, video=sample.video[:, chosen], cameras=cameras[:, chosen])
