"""Compute the frozen parts' outputs for a data set's windows before training, here or on many machines."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from pathlib import Path

import torch

from action_images.canvas import MODES, Mode
from action_images.device import place_of
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.tables import content_of
from action_images.files.lock import alone_in
from action_images.model.bundle import Models
from action_images.parallel.cluster import Executor, Work, here
from action_images.pipeline import Pipeline
from action_images.samples.mirror import mirrored
from action_images.samples.mixture import Draw
from action_images.samples.sample import Sample, collate, cut
from action_images.samples.window import Cutting, Window
from action_images.training.frozen import FrozenCache, weights_of, with_cache
from action_images.training.recipe import Precision

SOURCE = "data"


@dataclass(frozen=True)
class Encoding:
    """The windows to encode, and the models that encode them.

    The windows are all those of `cutting` in a data set, with views fitted to `size` (height, width) px. Each
    choice of `num_views` views in each order is encoded, as training draws them, and with `mirror` also its
    mirror image. `model` is a folder of saved models, whose autoencoder and language model are used in
    `dtype`. Results are stored where `action-images train --latents` looks for them.
    """

    dataset: Path
    model: Path
    folder: Path
    views: tuple[str, ...]
    cutting: Cutting
    size: tuple[int, int]
    device: str = "auto"
    num_views: int | None = None
    dtype: Precision = "float32"
    mirror: bool = False

    def frozen(self, models: Models) -> FrozenCache:
        """The cache."""
        weights = weights_of(self.model, {"autoencoder": self.dtype, "text": self.dtype})
        contents = {SOURCE: content_of(self.dataset)}
        return FrozenCache(self.folder, weights, self.size, contents, repr(Pipeline.of(models).format))

    def begin(self) -> Work[int]:
        """Load the models and return the work: an episode's number -> its number of windows.

        Windows are encoded unless they are stored already.
        """
        kind = getattr(torch, self.dtype)
        models = Models.load(self.model, text_dtype=kind, autoencoder_dtype=kind, weightless=True)
        frozen = self.frozen(models)
        pipeline = Pipeline.of(with_cache(models, frozen).others_to(place_of(self.device).device))
        dataset = Dataset(self.dataset)

        def work(number: int) -> int:
            episode = dataset[number]
            places = range(self.cutting.num_windows(episode.num_frames))
            for place in places:
                for window in self._windows(episode, place):
                    self._encode(pipeline, frozen, episode, window)
            return len(places)

        return work

    def _windows(self, episode: Episode, place: int) -> Iterator[Window]:
        chosen = permutations(self.views, self.num_views) if self.num_views else (self.views,)
        for views in chosen:
            yield self.cutting.window(episode.id, views, place)

    @torch.no_grad()
    def _encode(self, pipeline: Pipeline, frozen: FrozenCache, episode: Episode, window: Window) -> None:
        for is_mirrored in (False, True)[: 1 + self.mirror]:
            sample = cut(episode, window, self.size)
            sample = collate([mirrored(sample) if is_mirrored else sample]).normalised()
            encoder = frozen.of_batch([_draw(window, is_mirrored=is_mirrored)])
            for mode, part in _asked(sample):
                pipeline.encode(part, mode, self.cutting.num_frames, encoder)
            pipeline.unconditional(1)


def _draw(window: Window, *, is_mirrored: bool) -> Draw:
    return Draw(0, SOURCE, 0, window, None, drop_text=False, mirror=is_mirrored, seed=0)


def _asked(sample: Sample) -> Iterator[tuple[Mode, Sample]]:
    """The inputs that training encodes of a sample: whole videos, and first frames alone."""
    if sample.trajectory is None or sample.cameras is None:
        yield MODES["video"], sample
        return
    yield MODES["joint"], sample
    yield MODES["policy"], replace(sample, video=sample.video[:, :, :1])


def encode_dataset(
    encoding: Encoding, seen: Callable[[int, int], None] | None = None, executor: Executor = here
) -> int:
    """Fill the cache; returns the data set's number of windows. The same call resumes after an interruption.

    The result does not depend on the machines that do the work. Raises EpisodeError if no episode is as long
    as a window, or if there are fewer views than `num_views`.
    """
    places = (encoding.dataset, encoding.model, encoding.folder)
    dataset, model, folder = (path.resolve() for path in places)
    encoding = replace(encoding, dataset=dataset, model=model, folder=folder)
    if encoding.num_views is not None and encoding.num_views > len(encoding.views):
        raise EpisodeError(
            f"{dataset}: --num-views {encoding.num_views} of {len(encoding.views)} views "
            f"({', '.join(encoding.views)}) are none; give fewer, or more --views"
        )
    source, total = Dataset(dataset), 0
    with alone_in(folder):
        for number, windows in enumerate(executor(encoding.begin, range(len(source)))):
            total += windows
            if seen is not None:
                seen(number + 1, len(source))
    if not total:
        raise EpisodeError(
            f"{dataset}: no episode is as long as a window ({asdict(encoding.cutting)}); give fewer --frames"
        )
    return total
