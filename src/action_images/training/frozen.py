"""Outputs of frozen parts, computed once: latents and embeddings in a cache on disk."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from action_images.device import sent, to_cpu
from action_images.episodes.tables import content_of
from action_images.errors import ActionImagesError
from action_images.files import checksum
from action_images.model.bundle import Models
from action_images.model.index import CHECKSUMS, read_index
from action_images.model.text import LanguageModel, clean
from action_images.pipeline.pipeline import Pipeline, Shown
from action_images.samples.latent_cache import LatentCache
from action_images.samples.mixture import Draw, Mixture
from action_images.structs import Struct
from action_images.training.recipe import Recipe

VIDEO, TEXT = ("video", "still"), "text"


@dataclass(frozen=True)
class FrozenCache:
    """Latents of one autoencoder, and embeddings of one language model, in a folder.

    Latents of a video are stored by the address of the window and view, by mirroring, and by the content of
    the data set. Those of action images and of camera maps are stored by the numbers that they are drawn
    from. `fill` False: missing entries are errors, and no frozen part is ever read.
    """

    folder: Path
    weights: Mapping[str, Any]
    size: tuple[int, int]
    contents: Mapping[str, str]
    """Source -> a hash of its data set's content, see `content_of`."""
    format: str
    """The format of action images."""
    fill: bool = True
    steps: Mapping[str, int] = field(default_factory=dict)
    """Source -> frames of the recording from the start of one window to the next."""

    def of_batch(self, draws: Sequence[Draw]) -> "BatchCache":
        """The cache between the pixels of these draws and the autoencoder."""
        return BatchCache(self, tuple(draws))

    def cache(self, stream: str, source: str | None = None) -> LatentCache:
        """The cache of a stream; videos have one for each data set's content."""
        key = {"autoencoder": self.weights["autoencoder"], "size": list(self.size), "of": stream}
        if source is not None:
            key["content"] = self.contents[source]
        elif stream == "action":
            key["format"] = self.format
        return LatentCache(self.folder, key)

    def missing(self, cache: LatentCache, what: str, draw: Draw | None = None) -> ActionImagesError:
        """The error for a missing entry, of a draw if there is one, with a solution."""
        mine = json.loads(cache.key)
        differing = set()
        for other in cache.others():
            same_kind = other.get("of") == mine["of"]
            differing |= {name for name in mine if same_kind and other.get(name) != mine[name]}
        reason = (
            f"it holds latents of another {', another '.join(sorted(differing))}"
            if differing
            else "nobody has encoded it"
        )
        return ActionImagesError(
            f"{self.folder}: has no latents of {what}: {reason}; run 'action-images encode' with this model, "
            f"size and data{'' if draw is None else self._options(draw)}, or leave fill_latents on"
        )

    def _options(self, draw: Draw) -> str:
        """The options of `action-images encode` for the windows of this draw's source."""
        step = f" --step {self.steps[draw.source]}" if draw.source in self.steps else ""
        mirror = " --mirror" if draw.mirror else ""
        return f", --stride {draw.window.stride}{step} --frames {draw.window.num_frames}{mirror}"


@dataclass(frozen=True)
class BatchCache:
    """A `pipeline.Encoder` for one batch: missing entries are encoded one by one, and stored."""

    frozen: FrozenCache
    draws: tuple[Draw, ...]

    def __call__(self, shown: Shown, encode: Callable[[Any], Tensor]) -> Tensor:
        """See `pipeline.Encoder`."""
        row = self._rig if shown.stream == "camera" else self._views
        rows = [row(shown, number, encode) for number in range(len(self.draws))]
        return sent(torch.stack(rows), shown.device)

    def _rig(self, shown: Shown, number: int, encode: Callable[[Any], Tensor]) -> Tensor:
        """The maps of one sample's cameras (view l c h w): one entry, as they depend on each other."""
        rig = shown.pixels()[number : number + 1]
        cache = self.frozen.cache(shown.stream)
        return self._found(cache, digest(rig), shown, self.draws[number], lambda: encode(rig)[0])

    def _views(self, shown: Shown, number: int, encode: Callable[[Any], Tensor]) -> Tensor:
        """One sample's latents (view c l h w), an entry for each view."""
        draw, is_video = self.draws[number], shown.stream in VIDEO
        cache = self.frozen.cache(shown.stream, draw.source if is_video else None)
        views = []
        for view, name in enumerate(draw.window.views):
            window = replace(draw.window, views=(name,))
            drawn = None if shown.drawn_from is None else digest(*shown.drawn_from(number, view))
            address = drawn or f"{window}{' mirrored' if draw.mirror else ''}"
            alone = partial(_encoded_alone, shown, encode, (number, view))
            views.append(self._found(cache, address, shown, draw, alone))
        return torch.stack(views)

    def _found(
        self, cache: LatentCache, address: str, shown: Shown, draw: Draw, encode: Callable[[], Tensor]
    ) -> Tensor:
        stream = f"{shown.stream} {shown.num_frames}"
        known = cache.find(address, stream)
        if known is not None:
            return known
        if not self.frozen.fill:
            raise self.frozen.missing(cache, f"{draw.source} {draw.window}, {stream}", draw)
        return cache.keep(address, stream, encode())


def _encoded_alone(shown: Shown, encode: Callable[[Any], Tensor], place: tuple[int, int]) -> Tensor:
    """The latents (c l h w) of one view of one sample."""
    return encode(shown.pixels()[place][None, None])[0, 0]


def digest(*structs: Struct) -> str:
    """A hash of all numbers of some cameras, paths and the like."""
    found = sha256()

    def add(tensor: Tensor) -> Tensor:
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        numbers = to_cpu(tensor.detach(), "samples").contiguous()
        found.update(numbers.view(torch.uint8).numpy().tobytes())
        return tensor

    for struct in structs:
        struct.map(add)
        found.update(str(getattr(struct, "size", "")).encode())
    return found.hexdigest()


def weights_of(models: Path, dtypes: Mapping[str, str]) -> dict[str, str]:
    """The identity of the frozen parts in a folder of models: their files and their precision.

    `dtypes`: 'autoencoder' and 'text' -> a precision.
    """
    known = read_index(models).get(CHECKSUMS, {})
    found = {}
    for part, folder in (("autoencoder", "vae"), ("text", "text_encoder")):
        files = sorted(path for path in (models / folder).glob("*") if path.is_file())
        sums = {path.name: known.get(f"{folder}/{path.name}") or checksum.checksum(path) for path in files}
        found[part] = sha256(f"{sorted(sums.items())} {dtypes[part]}".encode()).hexdigest()
    return found


def frozen_of(
    recipe: Recipe, folder: Path, models: Models, mixtures: Sequence[Mixture]
) -> FrozenCache | None:
    """A recipe's cache of the frozen parts' outputs on some data; None if it has none."""
    if recipe.latents is None:
        return None
    dtypes = {"autoencoder": recipe.autoencoder_dtype, "text": recipe.text_dtype}
    sources = list(chain.from_iterable(mixture.sources for mixture in mixtures))
    assert models.clips is not None
    return FrozenCache(
        recipe.latents,
        weights_of(folder, dtypes),
        models.clips.size,
        {source.name: content_of(source.dataset.path) for source in sources},
        repr(Pipeline.of(models).format),
        recipe.fill_latents,
        {source.name: source.cutting.step for source in sources},
    )


class RememberedText:
    """A language model's embeddings by instruction, from a cache; hashed words need none."""

    kind = LanguageModel.kind

    def __init__(self, text: Any, frozen: FrozenCache) -> None:
        self.text, self.frozen, self.dim = text, frozen, text.dim
        self.cache = LatentCache(frozen.folder, {"text": frozen.weights[TEXT], "of": TEXT})
        self.remembered: dict[str, Tensor] = {}
        self.device = torch.device("cpu")

    def encode(self, instructions: Sequence[str]) -> Tensor:
        """Tokens (b token dim) of each instruction, float32."""
        return sent(torch.stack([self._of(clean(one)) for one in instructions]), self.device)

    def _of(self, instruction: str) -> Tensor:
        if instruction not in self.remembered:
            known = self.cache.find(instruction, TEXT)
            if known is None and not self.frozen.fill:
                raise self.frozen.missing(self.cache, f"the instruction '{instruction}'")
            if known is None:
                known = self.cache.keep(instruction, TEXT, self.text.encode([instruction])[0])
            self.remembered[instruction] = known
        return self.remembered[instruction]

    def to(self, device: torch.device | str) -> "RememberedText":
        """Set the device of its results."""
        self.device = torch.device(device)
        self.text.to(device)
        return self

    def release(self) -> None:
        """Free the language model."""
        self.text.release()

    def save(self, folder: Path) -> dict[str, Any]:
        """Save the language model."""
        return self.text.save(folder)

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any], dtype: torch.dtype) -> "RememberedText":
        """Raises an error: a folder of models has the language model itself."""
        raise ActionImagesError(f"{folder}: is read as a language model ({config}, {dtype})")


def with_cache(models: Models, frozen: FrozenCache) -> Models:
    """Models whose language model caches its embeddings on disk."""
    if models.text.kind != LanguageModel.kind:
        return models
    return replace(models, text=RememberedText(models.text, frozen))
