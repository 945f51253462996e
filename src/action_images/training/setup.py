"""The setup of a run before its first step: data, models, and the fit of new models to the data."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from action_images.canvas import MODES, Show
from action_images.canvas.layout import STREAMS
from action_images.episodes.dataset import Dataset
from action_images.errors import ActionImagesError
from action_images.inference.generation import name_without_augmentation
from action_images.model.autoencoders import load_autoencoder
from action_images.model.autoencoders.autoencoder import SavedAutoencoder
from action_images.model.autoencoders.wan import WanAutoencoder
from action_images.model.build import build, build_autoencoder
from action_images.model.bundle import Clips, Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.familiarity import LEAST_PICTURES, Familiarity
from action_images.model.presets import preset_named
from action_images.model.text import HashedWords, LimitedText, TextEncoder, words_of
from action_images.pipeline import Pipeline
from action_images.samples.frames_cache import FramesCache, Say
from action_images.samples.mirror import mirrored_words
from action_images.samples.mixture import Decisions, Mixture, Source
from action_images.samples.sample import Sample, collate
from action_images.samples.split import Split, chosen
from action_images.samples.window import Cutting
from action_images.training.recipe import Recipe, SourceRecipe

FASTEST_FPS = 8.0
"""A run warns of clips with more frames a second, which show too little motion for plans."""
FAMILIAR_WINDOWS = 500
"""The number of windows whose pictures give the statistics of the data's look."""
FITTING_WINDOWS = 256
"""The number of windows of each source for the fit of a new autoencoder."""
ACTION_IMAGE_WEIGHT = 10.0
"""The weight of an action image in that fit, relative to a frame of video (docs/model.md)."""
FIRST_FRAME_MODES = frozenset(
    name
    for name, mode in MODES.items()
    if mode.video_frames == 1 and mode.video is Show.FIRST_FRAME and mode.first_view_video is None
)


def clips_of(recipe: Recipe) -> Clips:
    """The clips of the run; the rate is the first source's."""
    preset = preset_named(recipe.preset)
    first = recipe.sources[0]
    fps = Dataset(first.path).fps / first.stride
    # Models skip mirrored augmentation if they were trained on any world without mirrored scenes.
    mirrors = all(map(recipe.mirror_of, recipe.sources))
    sampling = preset.sampling if mirrors else name_without_augmentation(preset.sampling)
    axis_length = preset.axis_length if recipe.axis_length is None else recipe.axis_length
    return Clips(
        recipe.size or preset.size, recipe.num_frames or preset.num_frames, fps, sampling, axis_length
    )


def open_mixture(
    sources: Sequence[SourceRecipe], recipe: Recipe, clips: Clips, seed: int, say: Say | None = None
) -> Mixture:
    """The stream of draws; raises ValueError if sources differ in frame rate after their stride.

    With `say`, frames come from the recipe's `frames_cache`, if it has one; missing frames are made first.
    If a mode draws actions, a source's episodes without tool poses or calibrated views are left out
    (`Source.bare`).
    """
    opened = []
    for name, one in zip(_names(sources), sources, strict=True):
        dataset = Dataset(one.path, told=one.drawn == "told")
        if abs(dataset.fps / one.stride - clips.fps) > 1e-3 * clips.fps:
            raise ActionImagesError(
                f"{one.path}: {dataset.fps:g} frames a second at stride {one.stride} are "
                f"{dataset.fps / one.stride:g}, the run has "
                f"{clips.fps:g}; choose another stride"
            )
        drop_text = {name: one.drop_text_of.get(name, one.drop_text) for name in one.modes}
        decisions = Decisions(one.modes, drop_text, recipe.mirror_of(one), FIRST_FRAME_MODES)
        cutting = Cutting(clips.num_frames, one.stride, one.step)
        views = one.views or None
        used = _ids_of(one, dataset)
        draws_actions = any(
            weight > 0 and MODES[mode].action is not None for mode, weight in one.modes.items()
        )
        source = Source(
            name,
            dataset,
            cutting,
            one.ratio,
            views,
            recipe.num_views,
            used.__contains__,
            decisions,
            draws_actions=draws_actions,
        )
        if say is not None and source.wants_commands:
            _say_if_nothing_is_commanded(source, say)
        if recipe.frames_cache is not None and say is not None:
            source.cache = FramesCache(dataset, recipe.frames_cache, clips.size, source.views)
            source.cache.make(say)
        opened.append(source)
    return Mixture(opened, seed)


def _say_if_nothing_is_commanded(source: Source, say: Say) -> None:
    """Sets that were written without commands have the reached poses in their place."""
    numbers = source.dataset.numbers(source.episodes[0], {})
    if numbers.told is not None and numbers.trajectory is not None:
        told, reached = numbers.told.to_vector(8), numbers.trajectory.to_vector(8)
        if torch.equal(told, reached):
            say(
                f"{source.dataset.path}: the commanded poses of episode {numbers.id} are exactly those "
                "reached, so drawn: told changes nothing there; was the set written without commands?"
            )


def episodes_of(one: SourceRecipe, source: Source) -> list[int]:
    """Numbers of the episodes in the part of a source, including those that give no window."""
    used = _ids_of(one, source.dataset)
    return [number for number, name in enumerate(source.dataset.ids) if name in used]


def _ids_of(one: SourceRecipe, dataset: Dataset) -> frozenset[str]:
    try:
        return chosen(dataset.ids, Split(one.part, one.held_out, one.held_out_by), one.without, one.at_most)
    except ActionImagesError as error:
        raise ActionImagesError(f"{one.path}: {error}") from error


def learnt_and_judged(learnt: Mixture, judged: Iterable[Mixture]) -> list[str]:
    """A warning for each data set of which some episodes are both learnt from and judged on."""
    both = Counter(path for path, _ in _episodes_used([learnt]) & _episodes_used(judged))
    return [
        f"warning: {count} episodes of {path} are learnt from and also judged on, so validation does not "
        "show how good the models are on others; give the source part 'train', the validation 'held_out'"
        for path, count in sorted(both.items())
    ]


def left_out(mixture: Mixture) -> list[str]:
    """A sentence for each source and reason for which episodes give no window."""
    found = []
    for source in mixture.sources:
        if source.bare:
            found.append(
                f"{source.name}: {len(source.bare)} episodes have no tool poses or an uncalibrated view, "
                "and are left out"
            )
        if source.too_short:
            found.append(
                f"{source.name}: {len(source.too_short)} episodes are too short for a clip, and are left out"
            )
    return found


def warning_of_rate(clips: Clips) -> str | None:
    """A warning of clips with so many frames a second that they show almost no motion; None for others."""
    if clips.fps <= FASTEST_FPS:
        return None
    seconds = (clips.num_frames - 1) / clips.fps
    return (
        f"warning: clips have {clips.fps:g} frames a second, so their {clips.num_frames} frames show "
        f"{seconds:.1f} s of motion; about 5 a second is better: raise the stride of the sources"
    )


def _episodes_used(mixtures: Iterable[Mixture]) -> set[tuple[Path, str]]:
    """Data set and id of the episodes that give windows."""
    used: set[tuple[Path, str]] = set()
    for source in chain.from_iterable(mixture.sources for mixture in mixtures):
        path = source.dataset.path.resolve()
        used |= {(path, source.dataset.ids[place]) for place in source.used}
    return used


def _names(sources: Sequence[SourceRecipe]) -> list[str]:
    """A name for each source: its folder's, numbered if two share one.

    The order of draws depends on the name, not on the location of the data.
    """
    folders = [one.path.name for one in sources]
    return [
        name if folders.count(name) == 1 else f"{name} {folders[:place].count(name) + 1}"
        for place, name in enumerate(folders)
    ]


def new_models(recipe: Recipe, clips: Clips, mixture: Mixture) -> Models:
    """Models of the recipe's preset, with their linear parts fitted to the data."""
    preset = preset_named(recipe.preset)
    autoencoder = _autoencoder_for(recipe)
    models = replace(build(preset, recipe.seed, autoencoder), clips=clips)
    if isinstance(models.text, HashedWords):
        models = replace(models, text=models.text.having(words_told(recipe, mixture)))
    check_lengths(models.text, recipe, mixture)
    if recipe.autoencoder is None:
        autoencoder.fit(_clips_to_fit(Pipeline.of(models), mixture, clips))
    set_output_bias(Pipeline.of(models), mixture, clips)
    return models


def _autoencoder_for(recipe: Recipe) -> SavedAutoencoder:
    """The recipe's autoencoder, or a new one of its preset.

    Raises ActionImagesError if its kind must be trained first.
    """
    preset = preset_named(recipe.preset)
    if recipe.autoencoder is not None:
        return load_autoencoder(recipe.autoencoder)
    if preset.autoencoder_kind == WanAutoencoder.kind:
        raise ActionImagesError(
            f"{recipe.preset}: new models need a trained autoencoder; run 'action-images train-autoencoder "
            f"DATA --preset {recipe.preset} --out FOLDER' first, then give --autoencoder FOLDER"
        )
    return build_autoencoder(preset)


def words_told(recipe: Recipe, mixture: Mixture) -> set[str]:
    """All words in the instructions of the recipe's sources, including mirrored ones of those mirrored."""
    told: set[str] = set()
    for one, source in zip(recipe.sources, mixture.sources, strict=True):
        those = {source.dataset.instruction(number) or "" for number in episodes_of(one, source)} - {""}
        told |= those | set(map(mirrored_words, those)) if recipe.mirror_of(one) > 0 else those
    return set(chain.from_iterable(map(words_of, told)))


def read_models(
    folder: Path,
    recipe: Recipe,
    clips: Clips,
    mixture: Mixture,
    denoiser: type[CanvasDenoiser] = CanvasDenoiser,
) -> Models:
    """Saved models, each part in the precision of the recipe.

    The recipe's words are added to the vocabulary, if there is one.
    """
    loaded = Models.load(
        folder,
        dtype=getattr(torch, recipe.transformer_dtype),
        denoiser=denoiser,
        text_dtype=getattr(torch, recipe.text_dtype),
        autoencoder_dtype=getattr(torch, recipe.autoencoder_dtype),
        deferred=recipe.latents is not None,
    )
    models = replace(loaded, clips=clips, painter=None)  # it knows the frames of those models alone
    if isinstance(models.text, HashedWords) and models.text.vocabulary is not None:
        models = replace(models, text=models.text.having(words_told(recipe, mixture)))
    check_lengths(models.text, recipe, mixture)
    return models


def check_lengths(text: TextEncoder, recipe: Recipe, mixture: Mixture) -> None:
    """Raise ActionImagesError, naming source and episode, for an instruction that is too long for the models.

    All instructions that training or validation may draw are checked, also mirrored if the source is.
    """
    if not isinstance(text, LimitedText):
        return
    sources = list(mixture.sources)
    if recipe.validation:
        sources += open_mixture(recipe.validation, recipe, clips_of(recipe), recipe.seed).sources
    fitting = {""}
    for source in filter(_tells, sources):
        mirrors = source.decisions is not None and source.decisions.mirror > 0
        for place in source.used:
            told = source.dataset.instruction(place) or ""
            for instruction in (told, mirrored_words(told)) if mirrors else (told,):
                if instruction in fitting:
                    continue
                try:
                    text.check(instruction)
                except ActionImagesError as error:
                    raise ActionImagesError(
                        f"{source.dataset.path}: {source.dataset.ids[place]}: {error}"
                    ) from None
                fitting.add(instruction)


def _tells(source: Source) -> bool:
    """Whether a source's samples may have their instruction: not all of its modes always drop it."""
    rules = source.decisions
    if rules is None or not isinstance(rules.drop_text, Mapping):
        return True
    return any(weight > 0 and rules.drop_text.get(mode, 0.0) < 1 for mode, weight in rules.modes.items())


def _clips_to_fit(pipeline: Pipeline, mixture: Mixture, clips: Clips) -> Iterator[tuple[Tensor, float]]:
    for sample in whole_samples(mixture, clips, FITTING_WINDOWS * len(mixture.sources)):
        yield sample.video, 1.0
        if sample.trajectory is not None and sample.cameras is not None:
            yield pipeline.draw(sample.trajectory, sample.cameras), ACTION_IMAGE_WEIGHT


def whole_samples(mixture: Mixture, clips: Clips, num: int) -> Iterator[Sample]:
    """The mixture's first windows with all their frames, in batches of one; at most as many as it has."""
    for index in range(min(num, sum(len(source) for source in mixture.sources))):
        draw = replace(mixture[index], mode=None)
        yield collate([mixture.sample(draw, clips.size)]).normalised()


def familiarity_of(mixture: Mixture, clips: Clips) -> Familiarity | None:
    """Statistics of the first pictures of windows, as used in training; None if there are too few."""
    views: list[Tensor] = []
    for index in range(min(FAMILIAR_WINDOWS, sum(len(source) for source in mixture.sources))):
        draw = replace(mixture[index], mode=min(FIRST_FRAME_MODES))
        views += mixture.sample(draw, clips.size).video[:, 0]
    if len(views) < LEAST_PICTURES:
        return None
    return Familiarity.of(torch.stack(views))


@torch.no_grad()
def set_output_bias(pipeline: Pipeline, mixture: Mixture, clips: Clips, num: int = 128) -> None:
    """Initialise a network's output bias, if it has one, with the mean latents (see docs/experiments.md)."""
    network = pipeline.models.denoiser.transformer
    if network.output_bias is None:
        return
    bias_frames = network.config["bias_frames"]
    means = torch.zeros(len(STREAMS), bias_frames, network.config["out_channels"])
    num_known = bias_frames
    counts = torch.zeros(len(STREAMS))
    for sample in whole_samples(mixture, clips, num):
        mode = MODES["video" if sample.trajectory is None or sample.cameras is None else "joint"]
        canvas, condition = pipeline.encode(sample, mode)
        latents = canvas.latents if condition.still is None else canvas.latents - condition.still
        for segment, part in canvas.layout.unpack(latents).items():
            mean = part[0].mean((-2, -1)).mT[:bias_frames]
            means[STREAMS.index(segment.stream), : len(mean)] += mean
            counts[STREAMS.index(segment.stream)] += 1
        num_known = min(canvas.layout.segments[0].num_frames, bias_frames)
    means /= counts.clamp_min(1)[:, None, None]
    # Longer clips start with the last known mean.
    means[:, num_known:] = means[:, num_known - 1 : num_known]
    network.set_output_bias(means)


def share_of(recipe: Recipe, num_processes: int) -> int:
    """The number of samples of a process in each step; raises ValueError if they cannot be shared evenly."""
    if recipe.batch_size % num_processes:
        raise ActionImagesError(
            f"a batch of {recipe.batch_size} cannot be shared by {num_processes} processes; choose a multiple"
        )
    return recipe.batch_size // num_processes
