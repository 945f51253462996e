"""Checkpoints: safetensors and json in one folder, written whole or not at all, the same however many processes wrote them."""

# torch's state dicts are unions that no type checker can follow.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from action_images.training.recipe import Recipe

STATE, TENSORS = "state.json", "tensors.safetensors"
PREFIX = "step-"


@dataclass(frozen=True)
class Progress:
    """Where a run stands: how many steps are done, the fingerprint of its data's order, and its best validation so far."""

    step: int
    fingerprint: int
    best: float | None = None
    seconds: float = 0.0


def gather(module: nn.Module, optimizer: torch.optim.Optimizer, ema: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors of a run by name, whole and on the CPU; every process of a run takes part."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, state = get_state_dict(module, optimizer, options=options)
    tensors = {f"model/{name}": value for name, value in weights.items()}
    for name, values in state["state"].items():
        tensors |= {f"optimizer/{name}/{key}": torch.as_tensor(value) for key, value in values.items()}
    tensors |= {f"ema/{name}": _whole(value) for name, value in ema.items()}
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}


def restore(tensors: Mapping[str, Tensor], module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Put a run's tensors back where they were, and return the averaged weights by name."""
    options = StateDictOptions(full_state_dict=True)
    _, state = get_state_dict(module, optimizer, options=options)
    weights = {name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")}
    moments: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, parameter, key = name.split("/")
            moments.setdefault(parameter, {})[key] = value
    # The groups hold settings alone, which the recipe says again.
    set_state_dict(module, optimizer, model_state_dict=weights, optim_state_dict={**state, "state": moments}, options=options)
    return {name.removeprefix("ema/"): value for name, value in tensors.items() if name.startswith("ema/")}


def _whole(value: Tensor) -> Tensor:
    full = getattr(value, "full_tensor", None)
    return (value if full is None else full()).cpu()


def save(folder: Path, tensors: Mapping[str, Tensor], recipe: Recipe, progress: Progress, keep_last: int) -> Path:
    """Write a checkpoint below `folder`, then delete all but the newest `keep_last`. A full disk leaves the others as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{PREFIX}{progress.step:08d}"
    unfinished = folder / f".{name}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        save_file(dict(tensors), unfinished / TENSORS)
        state = {"recipe": recipe.as_json(), **progress.__dict__}
        (unfinished / STATE).write_text(json.dumps(state, indent=2) + "\n")
        for path in unfinished.iterdir():
            _sync(path)
        shutil.rmtree(folder / name, ignore_errors=True)
        unfinished.rename(folder / name)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise OSError(
            f"{folder / name}: the checkpoint could not be written ({error}); the one before is as it was, make room and resume"
        ) from error
    except SafetensorError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise OSError(
            f"{folder / name}: the checkpoint could not be written ({error}); the one before is as it was, make room and resume"
        ) from error
    for old in checkpoints(folder)[:-keep_last]:
        shutil.rmtree(old)
    return folder / name


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints below a folder, the oldest first."""
    return sorted(path.parent for path in folder.glob(f"{PREFIX}*/{STATE}"))


def load(checkpoint: Path) -> tuple[dict[str, Tensor], Recipe, Progress]:
    """A checkpoint's tensors, the recipe it was made with, and where it stands; raises ValueError where it is damaged."""
    try:
        state: dict[str, Any] = json.loads((checkpoint / STATE).read_text())
        tensors = load_file(checkpoint / TENSORS)
        recipe = Recipe.from_json(state.pop("recipe"))
        return tensors, recipe, Progress(**state)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{checkpoint}: is no checkpoint that can be read ({error}); delete it to go on from the one before") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
