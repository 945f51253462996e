"""Check that all processes start from the same step, data and weights.

On machines with separate disks, each process may find another run, or none.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from action_images.errors import ActionImagesError
from action_images.model.bundle import Models
from action_images.training.checkpoint import Progress, Stored
from action_images.training.processes import gathered

WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes of a number -> the integer type in which its bits are added."""
DIGITS = 12


@dataclass(frozen=True)
class Start:
    """The start of a process."""

    step: int
    data: int
    """The fingerprint of the order of draws."""
    checkpoint: str | None
    """The checkpoint's checksum; None: there is none yet."""
    weights: str
    """A hash of the models that the run started with."""


def check_same_start(
    accelerator: Accelerator, progress: Progress, tensors: Stored | None, models: Models
) -> None:
    """Raise ActionImagesError in all processes if their starts differ."""
    if accelerator.num_processes == 1:
        return
    checkpoint = None if tensors is None else tensors.checksum[:DIGITS]
    mine = Start(progress.step, progress.fingerprint, checkpoint, hash_of(models)[:DIGITS])
    starts = [asdict(start) for start in gathered(accelerator, mine)]
    for name, first in starts[0].items():
        for number, start in enumerate(starts):
            if start[name] != first:
                raise ActionImagesError(
                    f"the processes would train different models: {name} is {first} for process 0 and "
                    f"{start[name]} for process {number}; let all machines see one folder, or copy the run's "
                    "folder, data and models to each of them"
                )


def hash_of(models: Models) -> str:
    """A hash of all weights, in hexadecimal; it is as fast as reading memory.

    The bits of each tensor are added up, so it detects differences, not attacks.
    """
    digest = sha256()
    for name, tensor in _tensors(models):
        words = tensor.detach().contiguous().view(WORDS[tensor.element_size()])
        total = words.sum(dtype=torch.int64).item()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {total}\n".encode())
    return digest.hexdigest()


def _tensors(models: Models) -> Iterator[tuple[str, Tensor]]:
    for part in (models.denoiser, models.autoencoder, models.text):
        if isinstance(part, nn.Module):
            yield from part.state_dict().items()
