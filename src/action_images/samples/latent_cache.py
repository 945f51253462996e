"""A cache of latents on disk, so that a frozen autoencoder encodes each clip once."""

import json
import pickle
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from action_images.device import to_cpu
from action_images.episodes.episode import EpisodeError
from action_images.files.atomic import whole_file, write_json

KEY = "key.json"
"""The file with everything that the latents beside it depend on."""


class LatentCache:
    """Tensors by address, each in a file, stored under everything that they depend on.

    `key` has everything that affects the latents: the weights, their precision, the size of the frames. Each
    key has its own folder, so entries of different keys never mix. Several processes may read and write: a
    file is complete or absent, and its checksum is checked at each read.
    """

    def __init__(self, folder: Path, key: dict[str, Any]):
        self.root = Path(folder)
        self.key = json.dumps(key, sort_keys=True)
        self.folder = self.root / sha256(self.key.encode()).hexdigest()[:24]
        self.folder.mkdir(parents=True, exist_ok=True)
        described = self.folder / KEY
        if not described.exists():
            write_json(described, key)

    def find(self, address: str, stream: str) -> Tensor | None:
        """The latents of one stream at an address, on the CPU; None if they are not stored.

        Raises EpisodeError if the stored file is damaged.
        """
        path = self._path(address, stream)
        return _read(path, (address, stream)) if path.exists() else None

    def keep(self, address: str, stream: str, latents: Tensor) -> Tensor:
        """Store latents; returns them on the CPU."""
        latents = to_cpu(latents.detach(), "latents to keep").contiguous()
        entry = {"address": address, "stream": stream, "latents": latents, "sha256": _checksum(latents)}
        with whole_file(self._path(address, stream)) as temporary:
            _save(entry, temporary)
        return latents

    def latents(self, address: str, stream: str, encode: Callable[[], Tensor]) -> Tensor:
        """The stored latents, or else those of `encode`, which are then stored; on the CPU."""
        known = self.find(address, stream)
        return self.keep(address, stream, encode()) if known is None else known

    def others(self) -> list[dict[str, Any]]:
        """The keys of the other caches in the folder."""
        paths = sorted(self.root.glob(f"*/{KEY}"))
        return [json.loads(path.read_text()) for path in paths if path.parent != self.folder]

    def _path(self, address: str, stream: str) -> Path:
        name = sha256(f"{stream}\0{address}".encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.pt"


def entries(folder: Path) -> list[Path]:
    """The files of all caches in a folder."""
    return sorted(folder.glob("*/??/*.pt"))


def damaged(folder: Path) -> Iterator[str]:
    """One line for each damaged entry of all caches in a folder."""
    for path in entries(folder):
        if found := _damage(path):
            yield found


def _damage(path: Path) -> str | None:
    try:
        _read(path, None)
    except EpisodeError as error:
        return str(error)
    return None


def _read(path: Path, wanted: tuple[str, str] | None) -> Tensor:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        address, latents = (stored["address"], stored["stream"]), stored["latents"]
        whole = _checksum(latents) == stored["sha256"]
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:80]
        raise EpisodeError(f"{path}: the cached latents are damaged ({reason}); delete the file") from None
    if not whole:
        raise EpisodeError(f"{path}: the cached latents are damaged (SHA-256 differs); delete the file")
    if wanted is not None and address != wanted:
        raise EpisodeError(f"{path}: holds the latents of {address[0]}, not {wanted[0]}; delete the file")
    return latents


def _checksum(latents: Tensor) -> str:
    return sha256(latents.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def _save(content: dict[str, object], path: Path) -> None:
    # Given a path, torch would write its name into the file, but equal latents must give equal bytes.
    with path.open("wb") as file:
        torch.save(content, file)
