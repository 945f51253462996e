"""The processes of a run, as launched with accelerate, and their joint decisions.

There is one process, or several with a copy of the model each, or several that share it (FSDP2, ZeRO).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, InitProcessGroupKwargs
from torch import Tensor, distributed
from torch.distributed.fsdp import MixedPrecisionPolicy

from action_images.device import number_of, place_of, to_cpu
from action_images.errors import ActionImagesError
from action_images.training import deepspeed

T = TypeVar("T")
SLOWEST_SAVE = timedelta(hours=2)
"""The time that processes wait for each other: one writes a checkpoint (77 GB of a 5B model) while the others
are idle."""
LEFT_TO_THE_RECIPE = {
    "dynamo_backend": "the loop does not compile its networks",
    "gradient_accumulation_steps": "the recipe's batch_size and micro_batch_size say it",
}
"""Settings of accelerate's configs that a run does not support, and why."""
NOTHING = frozenset({"", "no", "1", "auto"})
"""Values (in lower case) that mean such a setting is unset."""


def join_processes(mixed_precision: str, device: str = "auto", **options: Any) -> Accelerator:
    """Join the processes of the run, on a device as `device.place_of` takes it.

    Several processes on cards get one card each from accelerate. Raises ActionImagesError for a device that
    does not exist, and for kinds of sharding whose state cannot be saved here.
    """
    _check_leftovers()
    # Without the CPU setting, accelerate treats each of several processes as the only one, and DeepSpeed
    # warns.
    dtype = torch.bfloat16 if mixed_precision == "bf16" else torch.float32
    place = place_of(device, dtype).device
    cpu = place.type == "cpu"
    if place.type == "cuda" and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(place)  # the card that accelerate takes
    if cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    if deepspeed.wanted():
        deepspeed.check_wanted()
    patient = InitProcessGroupKwargs(timeout=SLOWEST_SAVE)
    accelerator = Accelerator(cpu=cpu, mixed_precision=mixed_precision, kwargs_handlers=[patient], **options)
    if (
        accelerator.distributed_type is DistributedType.MULTI_CPU
        and os.environ.get("ACCELERATE_USE_FSDP") == "true"
    ):
        # accelerate ignores FSDP without GPUs, though torch supports it.
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
        accelerator.state.distributed_type = DistributedType.FSDP
    if accelerator.distributed_type is DistributedType.FSDP and mixed_precision == "bf16":
        # By default all inputs would be rounded, even the noise level, and gradients summed in bfloat16.
        policy = MixedPrecisionPolicy(
            torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.float32, cast_forward_inputs=False
        )
        plugin = accelerator.state.fsdp_plugin
        assert plugin is not None
        plugin.mixed_precision_policy = policy
    if accelerator.distributed_type is DistributedType.FSDP and not accelerator.is_fsdp2:
        raise ActionImagesError(
            "the first version of FSDP cannot be saved here; share with FSDP2: training/configs/fsdp2.yaml"
        )
    return accelerator


def _check_leftovers() -> None:
    for name, why in LEFT_TO_THE_RECIPE.items():
        value = os.environ.get(f"ACCELERATE_{name.upper()}", "no")
        if value.lower() not in NOTHING:
            raise ActionImagesError(
                f"accelerate's config sets {name} to {value}, which a run does not follow: {why}; "
                f"remove it from the config (or the variable ACCELERATE_{name.upper()})"
            )


def gathered(accelerator: Accelerator, value: T) -> list[T]:
    """The values of all processes in their order, on every process."""
    if accelerator.num_processes == 1:
        return [value]
    values: list[Any] = [None] * accelerator.num_processes
    distributed.all_gather_object(values, value)
    return values


@contextmanager
def raised_together(accelerator: Accelerator) -> Iterator[None]:
    """Raise an ActionImagesError or OSError of one process in all, so that none waits for one that has ended.

    The processes continue together when all of them are done with the block.
    """
    own: Exception | None = None
    try:
        yield
    except (ActionImagesError, OSError) as error:
        own = error
    said = gathered(accelerator, None if own is None else str(own))
    if own is not None:
        raise own
    for number, text in enumerate(said):
        if text is not None:
            raise ActionImagesError(f"process {number}: {text}")


def agreed(accelerator: Accelerator, *, stop: bool, due: Sequence[bool]) -> tuple[bool, list[bool]]:
    """The same decisions in all processes.

    They stop if any of them is to stop; the first process says what is due.
    """
    said = [stop, *(one and accelerator.is_main_process for one in due)]
    if accelerator.num_processes > 1:
        votes = accelerator.reduce(torch.tensor(said, dtype=torch.float32, device=accelerator.device), "sum")
        assert isinstance(votes, Tensor)
        said = [vote > 0 for vote in to_cpu(votes, "votes").tolist()]
    return said[0], said[1:]


def summed(accelerator: Accelerator, value: Tensor, name: str) -> float:
    """The sum of a number over all processes; `name` is the name of its move in `device.MOVES`."""
    total = accelerator.reduce(value, "sum")
    assert isinstance(total, Tensor)
    return number_of(total, name)
