"""The latents of all windows of a data set, made ahead of training, here or on many machines."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from action_images.device import place_of
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.files.lock import alone_in
from action_images.model.autoencoders import load_autoencoder
from action_images.parallel.cluster import Executor, Work, here
from action_images.samples.latent_cache import LatentCache
from action_images.samples.sample import cut
from action_images.samples.window import Cutting


@dataclass(frozen=True)
class Encoding:
    """Which windows are encoded by what.

    All of a data set that `cutting` gives, their views fitted to `size` (height, width) px.

    `model` is a folder of saved models, of which the autoencoder alone is used. Latents are looked up by the
    window's address under the stream 'video', in the cache that `cache()` opens: (view c l h w), float32.
    """

    dataset: Path
    model: Path
    folder: Path
    views: tuple[str, ...]
    cutting: Cutting
    size: tuple[int, int]
    device: str = "auto"

    def key(self) -> str:
        """All that latents depend on besides a window's address.

        The data set and what is in it, the weights, the size of the frames.
        """
        weights = sha256()
        for path in sorted((self.model / "vae").iterdir()):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    weights.update(block)
        # The episode table has statistics of every episode's pixels: a set that was recorded anew, or added
        # to, has another.
        content = sha256(
            b"".join(path.read_bytes() for path in sorted(self.dataset.glob("meta/episodes/*/*.parquet")))
        )
        return json.dumps(
            {
                "dataset": str(self.dataset),
                "content": content.hexdigest(),
                "autoencoder": weights.hexdigest(),
                "size": list(self.size),
            }
        )

    def cache(self) -> LatentCache:
        """The cache, which encodes what it does not have yet."""
        autoencoder, place = load_autoencoder(self.model / "vae"), place_of(self.device)
        if isinstance(autoencoder, torch.nn.Module):
            autoencoder.to(place.device)

        @torch.no_grad()
        def encode(video: Tensor) -> Tensor:
            return autoencoder.encode(video.to(place.device)[None])[0].float()

        return LatentCache(self.folder, encode, self.key())

    def begin(self) -> Work[int]:
        """An episode by its number: its windows are encoded unless they are there already; how many it
        has."""
        dataset, cache = Dataset(self.dataset), self.cache()

        def work(number: int) -> int:
            episode = dataset[number]
            windows = [
                self.cutting.window(episode.id, self.views, place)
                for place in range(self.cutting.num_windows(episode.num_frames))
            ]
            for window in windows:
                cache.latents(
                    str(window),
                    "video",
                    lambda window=window: cut(episode, window, self.size).normalised().video,
                )
            return len(windows)

        return work


def encode_dataset(
    encoding: Encoding, seen: Callable[[int, int], None] | None = None, executor: Executor = here
) -> int:
    """Fill the cache; returns how many windows the data set has. The same call goes on where it was stopped.

    What is written does not depend on where the work is done. Raises EpisodeError where no episode is as long
    as a window.
    """
    places = (encoding.dataset, encoding.model, encoding.folder)
    dataset, model, folder = (path.resolve() for path in places)
    encoding = replace(encoding, dataset=dataset, model=model, folder=folder)
    source, total = Dataset(dataset), 0
    with alone_in(folder):
        for number, windows in enumerate(executor(encoding.begin, range(len(source)))):
            total += windows
            if seen is not None:
                seen(number + 1, len(source))
    if not total:
        raise EpisodeError(
            f"{dataset}: no episode is as long as a window ({asdict(encoding.cutting)}); give fewer --frames"
        )
    return total
