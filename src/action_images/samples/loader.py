"""Batches made by worker processes, so that the training loop does not wait for decoding."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from shlex import quote

import torch
from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.errors import ActionImagesError
from action_images.samples.mixture import Draw, Mixture
from action_images.samples.sample import Sample, collate, pixels_in
from action_images.samples.step_order import StepOrder, all_alike
from action_images.samples.to_card import Arriving, ToCard, one_ahead
from action_images.samples.workers import Note, WorkerDiedError, made_ahead


@dataclass(frozen=True)
class Batch:
    """Samples of one kind with their draws; `pixels` has its video as uint8."""

    pixels: Sample
    draws: tuple[Draw, ...]

    @cached_property
    def sample(self) -> Sample:
        """The sample with its video in [-1, 1], converted at each call, which is cheap on a GPU."""
        return self.pixels.normalised()


def kind(sample: Sample, draw: Draw) -> Hashable:  # noqa: ARG001 the signature that all such rules share
    """The properties that samples of one batch share: the video's shape, and having cameras and actions."""
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
    block: int = 1,
    draw_kind: Callable[[Mixture, Draw], Hashable] = all_alike,
) -> Iterator[tuple[Batch, ...]]:
    """Steps `start` to `start + num_steps` of training, each a batch for each kind of sample, mostly one.

    A step has `batch_size` samples for this rank. They depend on the mixture, the step, the batch size and
    the ranks, not on the workers. In blocks of `block` steps draws are sorted by `draw_kind`, see
    `StepOrder`. Videos reach `device` as uint8. On the CPU they lie in memory that the
    workers reuse once a batch is dropped. On a CUDA card they are copied ahead, through pinned memory, during
    the previous step. All else stays on the CPU, where `Pipeline.encode` reads it. Raises EpisodeError as
    soon as an episode is found to be damaged, or kills the process that decodes it; nothing is skipped.
    """
    if not 0 <= rank < num_ranks:
        raise ActionImagesError(f"rank {rank} does not lie in 0..{num_ranks - 1}")
    order = StepOrder(batch_size * num_ranks, block, draw_kind)
    make = _Steps(mixture, order, rank, num_ranks, size, group)
    made = _delivered(make, range(start, start + num_steps), num_workers)
    place = torch.device(device)
    if place.type == "cpu":
        return made
    if place.type == "cuda":
        return _copied_ahead(made, place)
    return (tuple(map(partial(_on, place), batches)) for batches in made)


def _delivered(make: "_Steps", steps: range, num_workers: int) -> Iterator[tuple[Batch, ...]]:
    try:
        for batches in made_ahead(make, steps, num_workers):
            if isinstance(batches, EpisodeError):
                raise batches
            yield batches
            del batches  # frees its memory before waiting for the next one
    except WorkerDiedError as error:
        raise EpisodeError(f"{error}{make.working_on(error.note)}") from None


def _on(device: torch.device, batch: Batch) -> Batch:
    return Batch(replace(batch.pixels, video=batch.pixels.video.to(device)), batch.draws)


def _copied_ahead(made: Iterator[tuple[Batch, ...]], device: torch.device) -> Iterator[tuple[Batch, ...]]:
    """Steps with their videos on a card."""
    to_card = ToCard(device)

    def send(batches: tuple[Batch, ...]) -> tuple[Arriving, tuple[Batch, ...]]:
        """The videos on their way, and the rest, which no longer refers to a worker's memory."""
        arriving = to_card([batch.pixels.video for batch in batches])
        rest = [
            replace(batch.pixels, video=batch.pixels.video[..., :0]).map(torch.clone) for batch in batches
        ]
        return arriving, tuple(Batch(one, batch.draws) for one, batch in zip(rest, batches, strict=True))

    for arriving, batches in one_ahead(made, send):
        videos = arriving.arrived()
        pairs = zip(batches, videos, strict=True)
        yield tuple(Batch(replace(batch.pixels, video=video), batch.draws) for batch, video in pairs)


def _batch(items: list[tuple[Sample, Draw]]) -> Batch:
    samples, draws = zip(*items, strict=True)
    return Batch(collate(list(samples)), draws)


@dataclass(frozen=True)
class _Steps:
    """Makes a step's batches; an error is returned as a value, to be raised by the receiver."""

    mixture: Mixture
    order: StepOrder
    rank: int
    num_ranks: int
    size: tuple[int, int] | None
    group: Callable[[Sample, Draw], Hashable]

    def __call__(
        self, step: int, allocate: Callable[[int], Tensor], note: Note
    ) -> tuple[Batch, ...] | EpisodeError:
        kinds: dict[Hashable, list[tuple[Sample, Draw]]] = {}
        # Every `num_ranks`-th, so that no two ranks share one.
        for index in self.order.indices(self.mixture, step)[self.rank :: self.num_ranks]:
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
        """The episode that a dead process was decoding, and a solution."""
        if index is None:
            return " before it decoded anything; is there enough memory?"
        draw = self.mixture[index]
        path = next(source.dataset.path for source in self.mixture.sources if source.name == draw.source)
        return (
            f" while it decoded {draw.source}: {draw.window}; its files are damaged, or memory ran out: "
            f"run 'action-images check {quote(str(path))}'"
        )
