"""Checkpoints: safetensors and json in one folder, written whole or not at all, the same however many processes wrote them."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from action_images.training.sharded import put, shared_like, whole

STATE, TENSORS = "state.json", "tensors.safetensors"
PREFIX = "step-"


@dataclass(frozen=True)
class Progress:
    """Where a run stands: how many steps are done, the fingerprint of its data's order, and its best validation so far."""

    step: int
    fingerprint: int
    best: float | None = None
    seconds: float = 0.0


def gather(network: nn.Module, optimizer: torch.optim.Optimizer, average: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All that a run has learnt by name, whole and on the CPU; every process takes part. What is frozen stays where it came from."""
    tensors = {}
    for name, parameter in _trained(network):
        tensors[f"model/{name}"] = whole(parameter)
        tensors |= {f"optimizer/{name}/{key}": whole(torch.as_tensor(value)) for key, value in optimizer.state[parameter].items()}
    tensors |= {f"average/{name}": whole(value) for name, value in average.items()}
    return {name: value.contiguous() for name, value in tensors.items()}


def restore(tensors: Mapping[str, Tensor], network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Put a run's tensors back where they were, and return the averages by name; raises ValueError where one does not fit."""
    state: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "optimizer":
            parameter, _, key = rest.rpartition("/")
            state.setdefault(parameter, {})[key] = value
    for name, parameter in _trained(network):
        if f"model/{name}" not in tensors:
            raise ValueError(f"the checkpoint has no {name}, which this run trains")
        put(parameter, tensors[f"model/{name}"], name)
        for key, value in state.get(name, {}).items():
            # Moments lie as their parameter does. What counts steps is a number, which fused AdamW wants on the same device.
            same = value.shape == parameter.shape
            optimizer.state[parameter][key] = shared_like(value, parameter) if same else value.to(parameter.device)
    return {name.removeprefix("average/"): value for name, value in tensors.items() if name.startswith("average/")}


def _trained(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]


def save(folder: Path, tensors: Mapping[str, Tensor], progress: Progress, keep_last: int) -> Path:
    """Write a checkpoint below `folder`, then delete all but the newest `keep_last`.

    Raises OSError where it cannot be written (a full disk); the others are then as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{PREFIX}{progress.step:08d}"
    unfinished = folder / f".{done.name}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        save_file(dict(tensors), unfinished / TENSORS)
        (unfinished / STATE).write_text(json.dumps(asdict(progress), indent=2) + "\n")
        for path in (*unfinished.iterdir(), unfinished):
            _sync(path)
        shutil.rmtree(done, ignore_errors=True)
        unfinished.rename(done)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise OSError(
            f"{done}: the checkpoint could not be written ({error}); the one before is as it was, make room and resume"
        ) from error
    for old in checkpoints(folder)[:-keep_last]:
        shutil.rmtree(old)
    return done


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints below a folder, the oldest first."""
    return sorted(path.parent for path in folder.glob(f"{PREFIX}*/{STATE}"))


def load(checkpoint: Path) -> tuple[dict[str, Tensor], Progress]:
    """A checkpoint's tensors and where it stands; raises ValueError where it is damaged."""
    try:
        progress = Progress(**json.loads((checkpoint / STATE).read_text()))
        return load_file(checkpoint / TENSORS), progress
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"{checkpoint}: is no checkpoint that can be read ({error}); delete it to go on from the one before") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
