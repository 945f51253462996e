"""Checkpoints.

A checkpoint is a folder of safetensors and JSON, complete or absent, and readable by any number of processes.
All tensors are in one file, or each writing process has a file with its share (`shares`).
"""

import json
import math
import re
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
"""Names of checksums in `state.json`: of the tensors' file, and of the rest of `state.json`."""
PREFIX = "step-"
NAME = re.compile(rf"{PREFIX}[0-9]+")
SHARE = "shard-"
"""The prefix of the files of shares."""
SHARES, OFFSETS = "DCP_SHARDING_INFO", "saved_offsets"
"""Keys in safetensors files of torch's distributed checkpoints for the piece of a tensor in the file."""

COUNTS = ("step", "fingerprint", "judged", "end", "fall")
"""The counts of `Progress`; all but the first two may be unknown."""


@dataclass(frozen=True)
class Progress:
    """The state of a run.

    It has the number of steps done, the fingerprint of its data's order, its best validation so far, and the
    step of the last validation. A run with minutes ends after `end` steps; its learning rate falls over the
    last `fall` of them. None: that is not decided yet. `judged_on` is the digest of the validation, see
    `RunData.judged_digest`; checkpoints of earlier versions have none.
    """

    step: int
    fingerprint: int
    best: float | None = None
    seconds: float = 0.0
    judged: int | None = None
    end: int | None = None
    fall: int | None = None
    judged_on: str | None = None


@runtime_checkable
class OptimizerState(Protocol):
    """An optimizer's state for each whole parameter, on one process or several."""

    def of(self, parameter: nn.Parameter) -> Mapping[str, Tensor]:
        """The state by name. Every process takes part, for the same parameters in the same order."""
        ...

    def put(self, states: Mapping[nn.Parameter, Mapping[str, Tensor]]) -> None:
        """Restore the results of `of` for all parameters; called once, after the weights are in place."""
        ...


class TorchState:
    """The state of PyTorch's optimizers, in one process, in copies, or sharded like parameters (FSDP2)."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def of(self, parameter: nn.Parameter) -> Mapping[str, Tensor]:
        """See `OptimizerState`; shards stay shards, `whole` gathers them."""
        return {key: torch.as_tensor(value) for key, value in self._optimizer.state[parameter].items()}

    def put(self, states: Mapping[nn.Parameter, Mapping[str, Tensor]]) -> None:
        """See `OptimizerState`."""
        for parameter, state in states.items():
            for key, value in state.items():
                # Moments are sharded like their parameter. The step count is a scalar, which fused AdamW
                # needs on the same device.
                same = value.shape == parameter.shape
                self._optimizer.state[parameter][key] = (
                    shared_like(value, parameter) if same else value.to(parameter.device)
                )


def gather(
    network: nn.Module, optimizer: OptimizerState, ema: Mapping[str, Tensor], *, keep: bool = True
) -> dict[str, Tensor] | None:
    """All trained tensors of a run by name, whole and on the CPU, without frozen ones.

    Every process takes part, and gets None unless `keep`: a node holds one copy of large models, not one for
    each GPU.
    """
    tensors = {}
    for name, value in learnt(network, optimizer, ema):
        gathered = whole(value)
        if keep:
            tensors[name] = gathered.contiguous()
    return tensors if keep else None


def learnt(
    network: nn.Module, optimizer: OptimizerState, ema: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """All trained tensors of a run by name, each on its own device; every process takes part."""
    for name, parameter in _trained(network):
        yield f"model/{name}", parameter
        for key, value in optimizer.of(parameter).items():
            yield f"optimizer/{name}/{key}", value
    for name, value in ema.items():
        yield f"average/{name}", value


@dataclass(frozen=True)
class _Piece:
    """A piece of a tensor in a file, and its offset in the whole tensor."""

    file: Any
    offset: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def end(self) -> tuple[int, ...]:
        """The indices after its last, for each axis."""
        return tuple(first + length for first, length in zip(self.offset, self.shape, strict=True))


class Stored(Mapping[str, Tensor]):
    """The tensors of a checkpoint whose names begin with `prefix`, by the rest of their names.

    Each is read at its access, and assembled if several files have pieces of it.
    """

    def __init__(self, *paths: Path, prefix: str = "") -> None:
        self._paths, self._prefix = paths, prefix
        self._pieces: dict[str, list[_Piece]] = {}
        for path in paths:
            file = safe_open(path, "pt")
            told = json.loads((file.metadata() or {}).get(SHARES, "{}"))
            for name in file.keys():  # noqa: SIM118 (no mapping)
                shape = tuple(file.get_slice(name).get_shape())
                offset = tuple(told[name][OFFSETS]) if name in told else (0,) * len(shape)
                # A process beyond the last row of a small tensor has an empty piece of it.
                if name.startswith(prefix) and (0 not in shape or name not in told):
                    self._pieces.setdefault(name, []).append(_Piece(file, offset, shape))

    @cached_property
    def checksum(self) -> str:
        """The checksum of the file, see `files.checksum`; for several, that of their names and checksums."""
        if len(self._paths) == 1:
            return checksum(self._paths[0])
        return checksum_of_files({path.name: checksum(path) for path in self._paths})

    def __getitem__(self, name: str) -> Tensor:
        pieces = self._pieces[self._prefix + name]
        if len(pieces) == 1 and not any(pieces[0].offset):
            return pieces[0].file.get_tensor(self._prefix + name)
        shape = tuple(map(max, zip(*(piece.end for piece in pieces), strict=True)))
        begin_at = {piece.offset for piece in pieces}
        numbers = sum(math.prod(piece.shape) for piece in pieces)
        if math.prod(shape) != numbers or len(begin_at) < len(pieces):
            raise ActionImagesError(
                f"{self._paths[0].parent}: the pieces of {name} do not make it whole; delete the checkpoint "
                "to go on from the one before"
            )
        parts = {piece.offset: piece.file.get_tensor(self._prefix + name) for piece in pieces}
        whole_one = torch.empty(shape, dtype=next(iter(parts.values())).dtype)
        for offset, part in parts.items():
            places = zip(offset, part.shape, strict=True)
            whole_one[tuple(slice(first, first + length) for first, length in places)] = part
        return whole_one

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    def below(self, prefix: str) -> "Stored":
        """The tensors whose names begin with `prefix`."""
        return Stored(*self._paths, prefix=self._prefix + prefix)


def checksum_of_files(checksums: Mapping[str, str]) -> str:
    """One checksum for files of these names and checksums."""
    lines = [f"{name} {value}\n" for name, value in sorted(checksums.items())]
    return sha256("".join(lines).encode()).hexdigest()


def restore(tensors: Stored, network: nn.Module, optimizer: OptimizerState) -> Stored:
    """Restore a run's tensors to the network and optimizer, and return the EMA by name.

    Raises ValueError if one does not fit.
    """
    weights, state = tensors.below("model/"), tensors.below("optimizer/")
    for name, parameter in _trained(network):
        if name not in weights:
            raise ActionImagesError(f"the checkpoint has no {name}, which this run trains")
        put(parameter, weights[name], name)
    optimizer.put({parameter: state.below(f"{name}/") for name, parameter in _trained(network)})
    return tensors.below("average/")


def _trained(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]


def save(folder: Path, tensors: Mapping[str, Tensor], progress: Progress, keep_last: int) -> Path:
    """Write a checkpoint below `folder`, then delete all but the newest `keep_last`.

    Raises OSError if it cannot be written (a full disk); the others are then unchanged.
    """
    done = folder_of(folder, progress)
    with written(done, "the checkpoint") as unfinished:
        save_file(dict(tensors), unfinished / TENSORS)
        write_state(unfinished, progress, checksum(unfinished / TENSORS))
    remove_old(folder, keep_last)
    return done


def remove_old(folder: Path, keep_last: int) -> None:
    """Delete all checkpoints below `folder` but the newest `keep_last`."""
    for old in checkpoints(folder)[:-keep_last]:
        remove_folder(old)


def note(folder: Path, progress: Progress) -> None:
    """Update the progress in the checkpoint that `save` wrote at this step."""
    noted = folder_of(folder, progress)
    write_state(noted, progress, json.loads((noted / STATE).read_text())[CHECKSUM])


def write_state(checkpoint: Path, progress: Progress, of_tensors: str) -> None:
    """Write a checkpoint's progress and its tensors' checksum."""
    state = {**asdict(progress), CHECKSUM: of_tensors}
    write_json(checkpoint / STATE, {**state, STATE_CHECKSUM: _checksum_of(state)})


def _checksum_of(state: Mapping[str, Any]) -> str:
    return sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def folder_of(folder: Path, progress: Progress) -> Path:
    """The folder of the checkpoint of a step."""
    return folder / f"{PREFIX}{progress.step:08d}"


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints below a folder, the oldest first; folders with other names are left alone."""
    found = [path.parent for path in folder.glob(f"{PREFIX}*/{STATE}")]
    return sorted(path for path in found if NAME.fullmatch(path.name))


def load(checkpoint: Path) -> tuple[Stored, Progress]:
    """A checkpoint's tensors and progress.

    Raises ActionImagesError if it is damaged, by its checksums if it has any (older ones have none).
    """
    try:
        state = read_object(checkpoint / STATE)
        of_state, of_tensors = state.pop(STATE_CHECKSUM, None), state.get(CHECKSUM)
        progress = _progress({name: value for name, value in state.items() if name != CHECKSUM})
        tensors = Stored(*_files_of(checkpoint))
        if progress.step != int(checkpoint.name.removeprefix(PREFIX)):
            raise ActionImagesError(f"{STATE} says step {progress.step}, the folder another one")
        if of_state is not None and of_state != _checksum_of(state):
            raise ActionImagesError(f"{STATE} does not say what was written: its checksum differs")
        if of_tensors is not None and of_tensors != tensors.checksum:
            names = " or ".join(path.name for path in _files_of(checkpoint))
            raise ActionImagesError(f"{names} does not hold what was written: its checksum differs")
    except (OSError, SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise ActionImagesError(
            f"{checkpoint}: is no checkpoint that can be read ({error}); "
            "delete it to go on from the one before"
        ) from error
    return tensors, progress


def _files_of(checkpoint: Path) -> list[Path]:
    """The file of all tensors, or those of their shares."""
    shares = sorted(checkpoint.glob(f"{SHARE}*.safetensors"))
    return shares or [checkpoint / TENSORS]


def _progress(said: Mapping[str, Any]) -> Progress:
    """The progress in `state.json`; raises ActionImagesError, naming the file, for an impossible value."""
    for name, value in said.items():
        if name in COUNTS and not _is_count(name, value):
            raise ActionImagesError(f"{name} is a whole number of at least 0, not {value!r}")
        if name == "judged_on" and not (value is None or isinstance(value, str)):
            raise ActionImagesError(f"{name} is a text, not {value!r}")
        is_finite = type(value) is int or (isinstance(value, float) and math.isfinite(value))
        if name in ("best", "seconds") and not (is_finite or (name == "best" and value is None)):
            raise ActionImagesError(f"{name} is a finite number, not {value!r}")
    return Progress(**said)


def _is_count(name: str, value: Any) -> bool:
    return (type(value) is int and value >= 0) or (name in COUNTS[2:] and value is None)
