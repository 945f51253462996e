"""Batches made by worker processes, so that decoding never holds up the training loop."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.errors import ActionImagesError
from action_images.samples.mixture import Draw, Mixture
from action_images.samples.sample import Sample, collate, pixels_in
from action_images.samples.workers import Note, WorkerDiedError, made_ahead


@dataclass(frozen=True)
class Batch:
    """Samples of one kind with the draws they came from; `pixels` has its video as uint8."""

    pixels: Sample
    draws: tuple[Draw, ...]

    @cached_property
    def sample(self) -> Sample:
        """The same with its video in [-1, 1], made when asked for: on a GPU it costs next to nothing."""
        return self.pixels.normalised()


def kind(sample: Sample, draw: Draw) -> Hashable:  # noqa: ARG001 the signature that all such rules share
    """What samples of one batch share: the video's shape, and whether they have cameras and actions."""
    return sample.video.shape, sample.cameras is None, sample.trajectory is None


def load(
    mixture: Mixture,
    batch_size: int,
    num_steps: int,
    start: int = 0,
    size: tuple[int, int] | None = None,
    rank: int = 0,
    num_ranks: int = 1,
    num_workers: int = 2,
    device: torch.device | str = "cpu",
    group: Callable[[Sample, Draw], Hashable] = kind,
) -> Iterator[tuple[Batch, ...]]:
    """Steps `start` to `start + num_steps` of training, each a batch for each kind of sample, mostly one.

    A step has `batch_size` samples for this rank; what is in it depends on the mixture, the step, the batch
    size and the ranks, not on the workers. Videos reach `device` as uint8, on the CPU in memory that the
    workers use again once a batch is dropped. Raises EpisodeError as soon as an episode turns out to be
    damaged, or to kill the process that decodes it: nothing is skipped.
    """
    if not 0 <= rank < num_ranks:
        raise ActionImagesError(f"rank {rank} does not lie in 0..{num_ranks - 1}")
    make = _Steps(mixture, batch_size, rank, num_ranks, size, group)
    return _delivered(make, range(start, start + num_steps), num_workers, device)


def _indices(step: int, batch_size: int, rank: int, num_ranks: int) -> list[int]:
    """This rank's places of the stream: every `num_ranks`-th, so that no two ranks share one."""
    first = step * batch_size * num_ranks + rank
    return list(range(first, first + batch_size * num_ranks, num_ranks))


def _delivered(
    make: "_Steps", steps: range, num_workers: int, device: torch.device | str
) -> Iterator[tuple[Batch, ...]]:
    try:
        for batches in made_ahead(make, steps, num_workers):
            if isinstance(batches, EpisodeError):
                raise batches
            yield tuple(Batch(_on(batch.pixels, device), batch.draws) for batch in batches)
            del batches  # its memory is free before the next one is waited for
    except WorkerDiedError as error:
        raise EpisodeError(f"{error}{make.working_on(error.note)}") from None


def _on(sample: Sample, device: torch.device | str) -> Sample:
    return sample.map(lambda tensor: tensor.to(device, non_blocking=True))


def _batch(items: list[tuple[Sample, Draw]]) -> Batch:
    samples, draws = zip(*items, strict=True)
    return Batch(collate(list(samples)), draws)


@dataclass(frozen=True)
class _Steps:
    """Makes a step's batches; an error comes as a value, to be raised where it is waited for."""

    mixture: Mixture
    batch_size: int
    rank: int
    num_ranks: int
    size: tuple[int, int] | None
    group: Callable[[Sample, Draw], Hashable]

    def __call__(
        self, step: int, allocate: Callable[[int], Tensor], note: Note
    ) -> tuple[Batch, ...] | EpisodeError:
        kinds: dict[Hashable, list[tuple[Sample, Draw]]] = {}
        for index in _indices(step, self.batch_size, self.rank, self.num_ranks):
            note(index)
            draw = self.mixture[index]
            try:
                with pixels_in(allocate):
                    sample = self.mixture.sample(draw, self.size)
            except EpisodeError as error:
                return EpisodeError(f"{draw.source}: {error}")
            kinds.setdefault(self.group(sample, draw), []).append((sample, draw))
        return tuple(map(_batch, kinds.values()))

    def working_on(self, index: int | None) -> str:
        """What a process that died was decoding, and the cure."""
        if index is None:
            return " before it decoded anything; is there enough memory?"
        draw = self.mixture[index]
        path = next(source.dataset.path for source in self.mixture.sources if source.name == draw.source)
        return (
            f" while it decoded {draw.source}: {draw.window}; its files are damaged, or memory ran out: "
            f"run 'action-images check {path}'"
        )
