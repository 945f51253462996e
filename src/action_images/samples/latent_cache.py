"""Latents kept on disk, so that a frozen autoencoder sees each window once."""

import pickle
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.files.atomic import whole_file, write_json


class LatentCache:
    """Encodes what is not in the folder yet, and remembers it under everything that it depends on.

    `key` names all that decides what `encode` makes of pixels: the weights, their revision, the size and
    resampling of the frames, the drawing's format. Another key is another cache beside this one. Safe for
    several processes.
    """

    def __init__(self, folder: Path, encode: Callable[[Tensor], Tensor], key: str):
        self.encode = encode
        self.folder = Path(folder) / sha256(key.encode()).hexdigest()[:24]
        self.folder.mkdir(parents=True, exist_ok=True)
        described = self.folder / "key.json"
        if not described.exists():
            write_json(described, {"key": key})

    def latents(self, address: str, stream: str, pixels: Callable[[], Tensor]) -> Tensor:
        """The latents of one stream ('video', 'action', 'camera') at a window's address.

        `pixels` is called where they are not known.

        Returned on the CPU in the dtype that `encode` gave. Raises EpisodeError where the stored file is
        damaged.
        """
        name = sha256(f"{stream}\0{address}".encode()).hexdigest()
        path = self.folder / name[:2] / f"{name}.pt"
        if not path.exists():
            latents = self.encode(pixels()).detach().cpu().contiguous()
            with whole_file(path) as temporary:
                _save({"address": address, "stream": stream, "latents": latents}, temporary)
            return latents
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
            raise EpisodeError(
                f"{path}: the cached latents are damaged ({str(error).splitlines()[0][:80]}); delete the file"
            ) from None
        if (stored["address"], stored["stream"]) != (address, stream):
            raise EpisodeError(
                f"{path}: holds the latents of {stored['address']}, not {address}; delete the file"
            )
        return stored["latents"]


def _save(content: dict[str, object], path: Path) -> None:
    # By a name, torch would write the name into the file: the same latents shall be the same bytes.
    with path.open("wb") as file:
        torch.save(content, file)
