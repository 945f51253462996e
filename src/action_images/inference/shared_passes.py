"""Generate one clip on several devices; each has a share of its tokens (Ulysses context parallelism)."""

import atexit
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing
from jaxtyping import Float
from torch import Tensor, distributed

from action_images.canvas import Canvas
from action_images.device import to_cpu
from action_images.diffusion.sampler import Sampling, sample
from action_images.errors import ActionImagesError
from action_images.model.bundle import Models
from action_images.model.denoiser import CanvasDenoiser, Condition, Denoiser
from action_images.parallel.pool import end_with_the_parent

PATIENCE = timedelta(days=30)
"""Helpers wait this long for the next clip; they end with the process that made them."""


@dataclass(frozen=True)
class Share:
    """The data that each process of a group knows."""

    folder: Path
    meeting: Path
    device: torch.device
    dtype: torch.dtype
    size: int

    def device_of(self, rank: int) -> torch.device:
        """The device of a process: the card with its number, or the CPU for all."""
        return torch.device("cuda", rank) if self.device.type == "cuda" else self.device

    def join(self, rank: int) -> None:
        """Join the process group."""
        backend = "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo"
        where = f"file://{self.meeting / 'meet'}"
        distributed.init_process_group(
            backend, init_method=where, rank=rank, world_size=self.size, timeout=PATIENCE
        )
        torch.set_num_threads(max(1, torch.get_num_threads() // self.size))


class SharedSampler:
    """`sampler.sample` for a network whose blocks are shared by a group of processes.

    Make it once in a process, which becomes the group's first; the helpers load the same models and follow.
    Use it in place of `sample`. Raises ActionImagesError if heads or tokens cannot be shared evenly, or if
    there are too few cards.
    """

    def __init__(self, models: Models, folder: Path, size: int) -> None:
        network = models.denoiser.transformer
        check_heads(network.config["num_attention_heads"], size)
        _check_cards(network.device, size)
        if distributed.is_initialized():
            raise ActionImagesError(
                "this process shares clips already; close that sampler, or start another process"
            )
        self.size, self._patch = size, network.patch
        self._temporary = tempfile.TemporaryDirectory()
        share = Share(folder.resolve(), Path(self._temporary.name), network.device, network.dtype, size)
        helpers = torch.multiprocessing.spawn(_help, (share,), nprocs=size - 1, join=False, daemon=True)
        assert helpers is not None  # only spawn(join=True) returns nothing
        self._processes: list[Any] = list(helpers.processes)
        self._threads = torch.get_num_threads()
        share.join(0)
        split(models.denoiser, size)
        atexit.register(self.close)

    def __call__(
        self,
        denoiser: Denoiser,
        canvas: Canvas,
        condition: Condition,
        sampling: Sampling,
        generator: Sequence[torch.Generator],
        unconditional: Float[Tensor, "b token dim"] | None = None,
    ) -> Canvas:
        """See `sampler.sample`; noise is drawn from a generator for each sample."""
        rows, columns = self._patch
        frames, height, width = canvas.latents.shape[-3:]
        check_tokens(frames * (height // rows) * (width // columns), self.size)
        self._look_at_helpers()
        told = (
            to_cpu(canvas, "clip to share"),
            to_cpu(condition, "clip to share"),
            sampling,
            [one.initial_seed() for one in generator],
            None if unconditional is None else to_cpu(unconditional, "clip to share"),
        )
        distributed.broadcast_object_list([told], src=0, device=torch.device("cpu"))
        return sample(denoiser, canvas, condition, sampling, list(generator), unconditional)

    def close(self) -> None:
        """End the helpers; the network stays split and cannot be used again."""
        if not distributed.is_initialized():
            return
        distributed.broadcast_object_list([None], src=0, device=torch.device("cpu"))
        distributed.destroy_process_group()
        for process in self._processes:
            process.join(10)
        self._temporary.cleanup()
        torch.set_num_threads(self._threads)

    def _look_at_helpers(self) -> None:
        dead = [process for process in self._processes if not process.is_alive()]
        if dead:
            raise ActionImagesError(
                f"a process that shares the clips has ended (exit code {dead[0].exitcode}): "
                "is there enough memory for the models on each device? start again, or share with fewer"
            )


def check_heads(num_heads: int, size: int) -> None:
    """Raise ActionImagesError if a network's attention heads cannot be shared evenly."""
    if num_heads % size:
        fitting = [number for number in range(2, num_heads + 1) if num_heads % number == 0]
        raise ActionImagesError(
            f"{num_heads} attention heads cannot be shared by {size} devices; "
            f"give --shared-by one of {', '.join(map(str, fitting))}"
        )


def check_tokens(num_tokens: int, size: int) -> None:
    """Raise ActionImagesError if a clip's tokens cannot be shared evenly."""
    if num_tokens % size:
        raise ActionImagesError(
            f"a clip of {num_tokens} tokens cannot be shared by {size} devices; "
            "give a --shared-by that divides it"
        )


def split(denoiser: CanvasDenoiser, size: int) -> None:
    """Change a network in place so that it shares its tokens with the processes of the group."""
    from diffusers import ContextParallelConfig

    network = denoiser.transformer
    network.set_attention_backend("native")
    with _one_cpu(network.device):
        network.enable_parallelism(config=ContextParallelConfig(ulysses_degree=size))


@contextmanager
def _one_cpu(device: torch.device) -> Iterator[None]:
    """Make diffusers, which places processes by counting accelerators, use one device for all on the CPU."""
    if device.type != "cpu":
        yield
        return
    count = torch.accelerator.device_count
    torch.accelerator.device_count = lambda: 1
    try:
        yield
    finally:
        torch.accelerator.device_count = count


def _check_cards(device: torch.device, size: int) -> None:
    if device.type == "cuda" and (device.index or torch.cuda.device_count() < size):
        raise ActionImagesError(
            f"--shared-by {size}: takes cuda:0 to cuda:{size - 1}, this machine has "
            f"{torch.cuda.device_count()} CUDA cards; give --device cuda, and no more than there are"
        )


def _help(number: int, share: Share) -> None:
    """Run a helper: the same passes as the group's first process, until there are no more."""
    end_with_the_parent()
    rank = number + 1
    device = share.device_of(rank)
    share.join(rank)
    models = Models.load(share.folder, share.dtype).to(device)
    split(models.denoiser, share.size)
    while True:
        told: list[Any] = [None]
        distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        if told[0] is None:
            distributed.destroy_process_group()
            return
        canvas, condition, sampling, seeds, unconditional = told[0]
        noise = [torch.Generator().manual_seed(seed) for seed in seeds]
        empty = None if unconditional is None else unconditional.to(device)
        sample(models.denoiser, canvas.to(device), condition.to(device), sampling, noise, empty)
