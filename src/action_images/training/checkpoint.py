"""Checkpoints.

Safetensors and json in one folder, whole or not there, the same however many processes wrote them.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from action_images.errors import ActionImagesError
from action_images.files.atomic import remove_folder, write_json
from action_images.files.checksum import checksum
from action_images.model.claims import read_object
from action_images.training.fsdp import put, shared_like, whole
from action_images.training.written import written

STATE, TENSORS = "state.json", "tensors.safetensors"
CHECKSUM, STATE_CHECKSUM = "tensors_sha256", "state_sha256"
"""Names in `state.json`: of the tensors' file, and of all else that `state.json` says."""
PREFIX = "step-"


COUNTS = ("step", "fingerprint", "judged", "end", "fall")
"""What `Progress` counts; all but the first two may not be known."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    How many steps are done, the fingerprint of its data's order, its best validation so far, after how many
    steps the last validation was, and where a run with minutes ends: after `end` steps, over the last `fall`
    of which its learning rate falls. None: that is not decided yet.
    """

    step: int
    fingerprint: int
    best: float | None = None
    seconds: float = 0.0
    judged: int | None = None
    end: int | None = None
    fall: int | None = None


@runtime_checkable
class OptimizerState(Protocol):
    """What an optimizer remembers of each parameter, whole, wherever it lies."""

    def of(self, parameter: nn.Parameter) -> Mapping[str, Tensor]:
        """By name. Every process takes part, for the same parameters in the same order."""
        ...

    def put(self, states: Mapping[nn.Parameter, Mapping[str, Tensor]]) -> None:
        """Go on from what `of` gave of every parameter; called once, when the weights are in place."""
        ...


class TorchState:
    """Of PyTorch's optimizers, on one process, on copies of it, or in pieces as their parameters (FSDP2)."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def of(self, parameter: nn.Parameter) -> Mapping[str, Tensor]:
        """See `OptimizerState`; pieces are pieces still, `whole` gathers them."""
        return {key: torch.as_tensor(value) for key, value in self._optimizer.state[parameter].items()}

    def put(self, states: Mapping[nn.Parameter, Mapping[str, Tensor]]) -> None:
        """See `OptimizerState`."""
        for parameter, state in states.items():
            for key, value in state.items():
                # Moments lie as their parameter does. What counts steps is a number, which fused AdamW wants
                # on the same device.
                same = value.shape == parameter.shape
                self._optimizer.state[parameter][key] = (
                    shared_like(value, parameter) if same else value.to(parameter.device)
                )


def gather(
    network: nn.Module, optimizer: OptimizerState, ema: Mapping[str, Tensor], *, keep: bool = True
) -> dict[str, Tensor] | None:
    """All that a run has learnt by name, whole and on the CPU. What is frozen stays where it came from.

    Every process takes part, and gets None unless it is to `keep` it: of large models a node holds one copy,
    not one for each GPU.
    """
    tensors = {}
    for name, value in _learnt(network, optimizer, ema):
        gathered = whole(value)
        if keep:
            tensors[name] = gathered.contiguous()
    return tensors if keep else None


def _learnt(
    network: nn.Module, optimizer: OptimizerState, ema: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in _trained(network):
        yield f"model/{name}", parameter
        for key, value in optimizer.of(parameter).items():
            yield f"optimizer/{name}/{key}", value
    for name, value in ema.items():
        yield f"average/{name}", value


class Stored(Mapping[str, Tensor]):
    """The tensors of a checkpoint whose names begin with `prefix`, by the rest of their names.

    Each is read when it is asked for.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self._path, self._prefix = path, prefix
        self._file = safe_open(path, "pt")
        self._names = [name.removeprefix(prefix) for name in self._file.keys() if name.startswith(prefix)]  # noqa: SIM118 (no mapping)

    @cached_property
    def checksum(self) -> str:
        """Of the whole file, see `files.checksum`."""
        return checksum(self._path)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._file.get_tensor(self._prefix + name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def below(self, prefix: str) -> "Stored":
        """Those of them whose names begin with `prefix`."""
        return Stored(self._path, self._prefix + prefix)


def restore(tensors: Stored, network: nn.Module, optimizer: OptimizerState) -> Stored:
    """Put a run's tensors back where they were, and return the EMA by name.

    Raises ValueError where one does not fit.
    """
    learnt, state = tensors.below("model/"), tensors.below("optimizer/")
    for name, parameter in _trained(network):
        if name not in learnt:
            raise ActionImagesError(f"the checkpoint has no {name}, which this run trains")
        put(parameter, learnt[name], name)
    optimizer.put({parameter: state.below(f"{name}/") for name, parameter in _trained(network)})
    return tensors.below("average/")


def _trained(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]


def save(folder: Path, tensors: Mapping[str, Tensor], progress: Progress, keep_last: int) -> Path:
    """Write a checkpoint below `folder`, then delete all but the newest `keep_last`.

    Raises OSError where it cannot be written (a full disk); the others are then as they were.
    """
    done = _folder_of(folder, progress)
    with written(done, "the checkpoint") as unfinished:
        save_file(dict(tensors), unfinished / TENSORS)
        _write_state(unfinished, progress, checksum(unfinished / TENSORS))
    for old in checkpoints(folder)[:-keep_last]:
        remove_folder(old)
    return done


def note(folder: Path, progress: Progress) -> None:
    """Let the checkpoint of this step, which `save` wrote, say what has become known since."""
    noted = _folder_of(folder, progress)
    _write_state(noted, progress, json.loads((noted / STATE).read_text())[CHECKSUM])


def _write_state(checkpoint: Path, progress: Progress, of_tensors: str) -> None:
    state = {**asdict(progress), CHECKSUM: of_tensors}
    write_json(checkpoint / STATE, {**state, STATE_CHECKSUM: _checksum_of(state)})


def _checksum_of(state: Mapping[str, Any]) -> str:
    return sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _folder_of(folder: Path, progress: Progress) -> Path:
    return folder / f"{PREFIX}{progress.step:08d}"


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints below a folder, the oldest first."""
    return sorted(path.parent for path in folder.glob(f"{PREFIX}*/{STATE}"))


def load(checkpoint: Path) -> tuple[Stored, Progress]:
    """A checkpoint's tensors and where it stands.

    Raises ActionImagesError where it is damaged, by its checksums where it has some (older ones have none).
    """
    try:
        state = read_object(checkpoint / STATE)
        of_state, of_tensors = state.pop(STATE_CHECKSUM, None), state.get(CHECKSUM)
        progress = _progress({name: value for name, value in state.items() if name != CHECKSUM})
        tensors = Stored(checkpoint / TENSORS)
        if progress.step != int(checkpoint.name.removeprefix(PREFIX)):
            raise ActionImagesError(f"{STATE} says step {progress.step}, the folder another one")
        if of_state is not None and of_state != _checksum_of(state):
            raise ActionImagesError(f"{STATE} does not say what was written: its checksum differs")
        if of_tensors is not None and of_tensors != tensors.checksum:
            raise ActionImagesError(f"{TENSORS} does not hold what was written: its checksum differs")
    except (OSError, SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise ActionImagesError(
            f"{checkpoint}: is no checkpoint that can be read ({error}); "
            "delete it to go on from the one before"
        ) from error
    return tensors, progress


def _progress(said: Mapping[str, Any]) -> Progress:
    """What `state.json` says; raises ActionImagesError, naming it, for a value that cannot be."""
    for name, value in said.items():
        if name in COUNTS and not _is_count(name, value):
            raise ActionImagesError(f"{name} is a whole number of at least 0, not {value!r}")
        is_finite = type(value) is int or (isinstance(value, float) and math.isfinite(value))
        if name in ("best", "seconds") and not (is_finite or (name == "best" and value is None)):
            raise ActionImagesError(f"{name} is a finite number, not {value!r}")
    return Progress(**said)


def _is_count(name: str, value: Any) -> bool:
    return (type(value) is int and value >= 0) or (name in COUNTS[2:] and value is None)
