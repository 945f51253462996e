"""Choice of the models' device and dtype, and all moves to the CPU, each with its reason."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from action_images.errors import ActionImagesError
from action_images.structs import Struct

DtypeName = Literal["auto", "float32", "bfloat16"]
"""Dtypes that users may request; float16 is missing because Wan's activations leave its range."""
Sendable = TypeVar("Sendable", bound=Tensor | Struct)
ENOUGH = 1.25
"""How many times faster than float32 bfloat16 must be to be chosen on a processor."""


@dataclass(frozen=True)
class Place:
    """An available device, the dtype of the large networks on it, and the reasons for both."""

    device: torch.device
    dtype: torch.dtype
    why: str

    @property
    def line(self) -> str:
        """The line that a command prints at its start."""
        return f"runs on {self.device} in {dtype_name(self.dtype)}: {self.why}"


def place_of(
    device: str | torch.device = "auto",
    dtype: DtypeName | torch.dtype = "float32",
    *,
    learns: bool = False,
) -> Place:
    """The requested device and dtype; `auto` chooses.

    A device of `auto` is CUDA, else MPS, else the CPU. A dtype of `auto` is bfloat16 on cards that have it
    and float32 on MPS; on the CPU it is the faster one in a short measurement, of steps of training if
    `learns`. Raises ActionImagesError, with
    the remedy, for an unavailable device and for a dtype that it lacks.
    """
    found, why = _device(str(device))
    if isinstance(dtype, torch.dtype):
        return Place(found, _checked(found, dtype), why)
    if dtype != "auto":
        return Place(found, _checked(found, getattr(torch, dtype)), why)
    kind, because = _dtype(found, learns=learns)
    return Place(found, kind, f"{why}; {because}")


def dtype_name(dtype: torch.dtype) -> str:
    """A dtype's name in options and files."""
    return str(dtype).removeprefix("torch.")


def _device(name: str) -> tuple[torch.device, str]:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0"), f"the first CUDA card, {torch.cuda.get_device_name(0)}"
        if torch.backends.mps.is_available():
            return torch.device("mps"), "Apple's GPU, as there is no CUDA card"
        return torch.device("cpu"), "torch sees neither a CUDA card nor Apple's GPU"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ActionImagesError(
            f"--device {name}: there is no such device; give auto, cpu, cuda, cuda:1 or mps"
        ) from error
    if device.type == "cuda":
        return _cuda(device), "as asked for"
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ActionImagesError(f"--device {name}: this is no Apple computer with a GPU; give --device cpu")
    if device.type not in ("cpu", "mps"):
        raise ActionImagesError(f"--device {name}: models run on auto, cpu, cuda, cuda:1 or mps; give one")
    return device, "as asked for"


def _cuda(device: torch.device) -> torch.device:
    """The device with its number."""
    if torch.version.cuda is None:
        raise ActionImagesError(
            f"--device {device}: this torch was built without CUDA; install a CUDA build of "
            f"torch {torch.__version__.split('+')[0]}, or give --device cpu"
        )
    count = torch.cuda.device_count()
    if not count:
        raise ActionImagesError(
            f"--device {device}: torch (CUDA {torch.version.cuda}) finds no card; "
            "see that nvidia-smi lists one and that its driver is as new as that CUDA, or give --device cpu"
        )
    number = device.index or 0
    if number >= count:
        raise ActionImagesError(
            f"--device {device}: this machine has {count} CUDA cards, the last is cuda:{count - 1}; give that"
        )
    return torch.device("cuda", number)


def _checked(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """The dtype, if the device can multiply in it."""
    if device.type == "cuda" and dtype is torch.bfloat16 and not _has_bfloat16(device):
        name = torch.cuda.get_device_name(device)
        raise ActionImagesError(
            f"--dtype bfloat16: {name} ({device}) has no bfloat16 products; give --dtype float32"
        )
    try:
        one = torch.ones(2, 2, device=device, dtype=dtype)
        _ = one @ one
    except (RuntimeError, TypeError) as error:
        raise ActionImagesError(
            f"--dtype {dtype_name(dtype)}: {device} cannot multiply in it; give --dtype float32"
        ) from error
    return dtype


def _has_bfloat16(device: torch.device) -> bool:
    """Whether a card itself multiplies in bfloat16 (compute capability 8.0, Ampere, and later)."""
    return torch.cuda.get_device_capability(device)[0] >= 8


def _dtype(device: torch.device, *, learns: bool = False) -> tuple[torch.dtype, str]:
    if device.type == "cuda":
        if _has_bfloat16(device):
            return torch.bfloat16, "the card has bfloat16"
        return torch.float32, "the card has no bfloat16"
    if device.type == "mps":
        return torch.float32, "float32 on Apple's GPU"
    gain = learning_gain() if learns else bfloat16_gain()
    measured = f"bfloat16 measured {gain:.2f} times as fast as float32 on this processor"
    return (torch.bfloat16 if gain >= ENOUGH else torch.float32), f"{measured}, {ENOUGH} is enough"


@cache
def bfloat16_gain(tokens: int = 512, width: int = 192, heads: int = 6, repeats: int = 9) -> float:
    """How many times faster a transformer block runs in bfloat16 than in float32 on this processor.

    Measured once per process, in about 0.1 s, at the sizes of `tiny`. Weights are cast ahead, and activations
    stay in bfloat16 except for the norms, as in the models' blocks. The two take turns, and the least
    processor time of each counts, which excludes other programs on the machine.
    """
    layers = _layers(width)
    half = copy.deepcopy(layers).to(torch.bfloat16)
    tokens_in = torch.linspace(-1, 1, tokens * width).view(1, tokens, width)
    runs = (partial(_block, layers, tokens_in, heads), partial(_block, half, tokens_in.bfloat16(), heads))
    with torch.no_grad():
        return _gain(*runs, repeats=repeats)


@cache
def learning_gain(
    samples: int = 16, tokens: int = 32, width: int = 192, heads: int = 6, repeats: int = 9
) -> float:
    """The same of a step of training: a pass and its gradient, with weights in float32 that autocast casts.

    Casting eats a part of what products in bfloat16 save at the sizes of `tiny`.
    """
    layers = _layers(width)
    tokens_in = torch.linspace(-1, 1, samples * tokens * width).view(samples, tokens, width)

    def step(*, lower: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            answer = _block(layers, tokens_in, heads, learns=True)
        answer.float().square().mean().backward()

    return _gain(partial(step, lower=False), partial(step, lower=True), repeats=repeats)


def _layers(width: int) -> nn.ModuleDict:
    """The linear layers of a transformer block."""
    return nn.ModuleDict(
        {
            "in": nn.Linear(width, 3 * width),
            "out": nn.Linear(width, width),
            "up": nn.Linear(width, 3 * width),
            "down": nn.Linear(3 * width, width),
        }
    )


def _gain(plain: Callable[[], object], lower: Callable[[], object], *, repeats: int) -> float:
    """The least processor time of the first over that of the second; they take turns.

    One thread runs both: threads that wait for one another use processor time as well.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fastest = [float("inf"), float("inf")]
        for _ in range(repeats):
            for number, run in enumerate((plain, lower)):
                fastest[number] = min(fastest[number], _seconds(run))
    finally:
        torch.set_num_threads(threads)
    return fastest[0] / fastest[1]


def _block(layers: nn.ModuleDict, tokens: Tensor, heads: int, *, learns: bool = False) -> Tensor:
    """Attention and feed-forward part (sample token width).

    If it learns, the softmax part is in float32, as in the models' blocks (model/backbones/attention.py).
    """
    parts = layers["in"](_normed(tokens)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    if learns:
        with torch.autocast("cpu", enabled=False):
            attended = F.scaled_dot_product_attention(*parts.float())
    else:
        attended = F.scaled_dot_product_attention(*parts)
    attended = attended.transpose(1, 2).flatten(2)
    tokens = tokens + layers["out"](attended)
    inner = F.gelu(layers["up"](_normed(tokens)), approximate="tanh")
    return tokens + layers["down"](inner)


def _normed(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens.float(), tokens.shape[-1:]).type_as(tokens)


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


MOVES: Mapping[str, str] = {
    "clip": "pixels of a finished clip; all that follows is done on the CPU",
    "images to read": "a reading solves many small systems in float64, one kernel launch each on a card",
    "paths": "paths and errors of held-out samples, once a batch",
    "loss": "the loss of a step: for the log, and to stop at one that is no number",
    "gradient norm": "the norm of a step's gradient, likewise",
    "score": "the score of a validation, which all processes share",
    "fall": "how long a run with minutes lets its rate fall, once a run, which all processes share",
    "votes": "whether to stop, to validate and to save: the same in all processes, once a step",
    "step cache": "how far two velocities agree decides whether a step is skipped (only with a step cache)",
    "still video": "whether a video was imagined decides whether one that stands still is decoded too",
    "fitted": "whether a patch autoencoder was fitted, at its first use",
    "clip to share": "what is known of a clip that several devices share, once for each of them",
    "latents to keep": "latents and embeddings, once, for the cache on disk (only with a cache)",
    "autoencoder": "moments, losses and errors of an autoencoder that is trained",
    "samples": "samples that a caller has put on the device before they are encoded",
}
"""Moves from a device to the CPU, each of which waits for the device, and their reasons."""

Move = Callable[[str, Any], Any]
_watcher: ContextVar[Move | None] = ContextVar("watcher", default=None)


def to_cpu(value: Any, name: str) -> Any:
    """A tensor or a Struct on the CPU; `name` is that of its move in MOVES."""
    if value.device.type == "cpu":
        return value
    watcher = _watcher.get()
    return value.to("cpu") if watcher is None else watcher(_known(name), value)


def is_true(value: Tensor, name: str) -> bool:
    """A boolean tensor of one number as a Python bool; `name` as in `to_cpu`."""
    return bool(to_cpu(value, name))


def number_of(value: Tensor, name: str) -> float:
    """A tensor of one number as a Python number; `name` as in `to_cpu`."""
    return float(to_cpu(value, name))


@contextmanager
def moves_watched(watcher: Move) -> Iterator[None]:
    """Let `watcher(name, value)` make all moves to the CPU, to count them or to run without a device."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def sent(value: Any, device: torch.device) -> Any:
    """A tensor or a Struct on a device, copied without waiting for the device's computations."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=device.type == "cuda")
    return value.map(lambda tensor: sent(tensor, device))


def constant(values: Sequence[Any], like: Tensor) -> Tensor:
    """Numbers in the dtype and on the device of another tensor, without waiting for it."""
    return sent(torch.tensor(values, dtype=like.dtype, device="cpu"), like.device)


def _known(name: str) -> str:
    assert name in MOVES, f"'{name}' is no move of device.MOVES"
    return name
