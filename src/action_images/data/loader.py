"""Batches made by worker processes, so that decoding never holds up the training loop."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from action_images.data.episode import EpisodeError
from action_images.data.mixture import Draw, Mixture
from action_images.data.sample import Sample, collate


@dataclass(frozen=True)
class Batch:
    """Samples of one kind with the draws they came from; `pixels` has its video as uint8."""

    pixels: Sample
    draws: tuple[Draw, ...]

    @cached_property
    def sample(self) -> Sample:
        """The same with its video in [-1, 1], made when asked for: on the device that trains it costs next to nothing."""
        return self.pixels.normalised()


def kind(sample: Sample, draw: Draw) -> Hashable:  # noqa: ARG001 the signature that all such rules share
    """What must agree for samples to lie in one batch: the shape of the video, and whether cameras and actions are there."""
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
    """Steps `start` to `start + num_steps` of training, each its batches: one for each kind of sample, mostly one.

    A step has `batch_size` samples for this rank; what is in it depends on the mixture, the step, the batch size and
    the ranks, not on the workers. Videos reach `device` as uint8. Raises EpisodeError as soon
    as an episode turns out to be damaged: nothing is skipped.
    """
    if not 0 <= rank < num_ranks:
        raise ValueError(f"rank {rank} does not lie in 0..{num_ranks - 1}")
    steps = [_indices(step, batch_size, rank, num_ranks) for step in range(start, start + num_steps)]
    loader = DataLoader(
        _Draws(mixture, size),
        batch_sampler=steps,
        num_workers=num_workers,
        collate_fn=_Grouped(group),
        pin_memory=torch.device(device).type == "cuda",
        prefetch_factor=2 if num_workers else None,
    )
    return _delivered(loader, device)


def _indices(step: int, batch_size: int, rank: int, num_ranks: int) -> list[int]:
    """This rank's places of the stream: every `num_ranks`-th, so that no two ranks share one."""
    first = step * batch_size * num_ranks + rank
    return list(range(first, first + batch_size * num_ranks, num_ranks))


def _delivered(loader: Iterable, device: torch.device | str) -> Iterator[tuple[Batch, ...]]:
    for batches in loader:
        if isinstance(batches, EpisodeError):
            raise batches
        yield tuple(Batch(_on(batch.pixels, device), batch.draws) for batch in batches)


def _on(sample: Sample, device: torch.device | str) -> Sample:
    return sample.map(lambda tensor: tensor.to(device, non_blocking=True))


class _Draws(TorchDataset):
    """The stream as torch's loader wants it: by index. An error comes as a value, to be raised without the loader's wrapping."""

    def __init__(self, mixture: Mixture, size: tuple[int, int] | None):
        self.mixture, self.size = mixture, size

    def __getitem__(self, index: int) -> tuple[Sample, Draw] | EpisodeError:
        draw = self.mixture[index]
        try:
            return self.mixture.sample(draw, self.size), draw
        except EpisodeError as error:
            return EpisodeError(f"{draw.source}: {error}")


class _Grouped:
    """Joins the samples of a step, kind by kind, in the order of each kind's first."""

    def __init__(self, group: Callable[[Sample, Draw], Hashable]):
        self.group = group

    def __call__(self, parts: Sequence[tuple[Sample, Draw] | EpisodeError]) -> tuple[Batch, ...] | EpisodeError:
        kinds: dict[Hashable, list[tuple[Sample, Draw]]] = {}
        for part in parts:
            if isinstance(part, EpisodeError):
                return part
            kinds.setdefault(self.group(*part), []).append(part)
        return tuple(Batch(collate([sample for sample, _ in items]), tuple(draw for _, draw in items)) for items in kinds.values())
