"""Frozen parts of a model that are read from their folder at their first use and can be freed again."""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.files import checksum
from action_images.model.autoencoders import AUTOENCODERS, autoencoder_kind
from action_images.model.autoencoders.autoencoder import SavedAutoencoder
from action_images.model.text import NUM_TOKENS, LanguageModel, check_tokens, load_tokenizer


class DeferredAutoencoder:
    """A saved autoencoder of any kind; its weights are read when it first encodes or decodes."""

    config_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path, dtype: torch.dtype, checksums: dict[str, str] | None = None) -> None:
        self.folder, self.dtype, self.checksums = folder, dtype, checksums or {}
        self.device = torch.device("cpu")
        self.kind = autoencoder_kind(folder)
        config = json.loads((folder / "config.json").read_text())
        sizes = {name: value for name, value in config.items() if not name.startswith("_")}
        with torch.device("meta"):
            like = AUTOENCODERS[self.kind].new(**sizes)
        self.channels, self.spatial_factor = like.channels, like.spatial_factor
        self.temporal_factor = like.temporal_factor
        self._loaded: SavedAutoencoder | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether its weights are in memory now."""
        return self._loaded is not None

    def encode(self, video: Float[Tensor, "*batch frame 3 height width"]) -> Float[Tensor, "*batch c l h w"]:
        """See `Autoencoder`."""
        return self._whole().encode(video)

    def decode(
        self, latents: Float[Tensor, "*batch c l h w"]
    ) -> Float[Tensor, "*batch frame 3 height width"]:
        """See `Autoencoder`."""
        return self._whole().decode(latents)

    def to(self, device: torch.device | str) -> Self:
        """Set its device."""
        self.device = torch.device(device)
        if isinstance(self._loaded, nn.Module):
            self._loaded.to(device)
        return self

    def release(self) -> None:
        """Free the weights until they are needed again."""
        self._loaded = None

    def save(self, folder: Path) -> None:
        """Copy its folder."""
        _copy(self.folder, folder)

    def fit(self, clips: Iterable[tuple[Tensor, float]]) -> Self:
        """Raises an error: it is frozen."""
        del clips
        raise ActionImagesError(f"{self.folder}: a frozen autoencoder is not fitted; load it whole")

    @classmethod
    def new(cls, **config: Any) -> Self:
        """Raises an error: there is no folder to read it from."""
        raise ActionImagesError(f"a frozen autoencoder is read from a folder, not made of {sorted(config)}")

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> Self:
        """The part in a folder."""
        return cls(folder, dtype)

    def _whole(self) -> SavedAutoencoder:
        if self._loaded is None:
            checksum.check(self.folder.parent, self.checksums)
            loaded = AUTOENCODERS[self.kind].load(self.folder, self.dtype)
            self._loaded = loaded.to(self.device) if isinstance(loaded, nn.Module) else loaded
        return self._loaded


class DeferredText:
    """A saved language model; its weights are read when it first embeds an instruction."""

    kind: ClassVar[str] = LanguageModel.kind

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        dtype: torch.dtype,
        checksums: dict[str, str] | None = None,
    ) -> None:
        self.folder, self.config, self.dtype = folder, config, dtype
        self.checksums, self.device = checksums or {}, torch.device("cpu")
        self.dim: int = json.loads((folder / "text_encoder" / "config.json").read_text())["d_model"]
        self._loaded: LanguageModel | None = None
        self._tokenizer: Any = None

    @property
    def is_loaded(self) -> bool:
        """Whether its weights are in memory now."""
        return self._loaded is not None

    @torch.no_grad()
    def encode(self, instructions: Sequence[str]) -> Float[Tensor, "b token dim"]:
        """See `TextEncoder`."""
        if self._loaded is None:
            checksum.check(self.folder, self.checksums)
            self._loaded = LanguageModel.load(self.folder, self.config, self.dtype).to(self.device)
        return self._loaded.encode(instructions)

    def check(self, instruction: str) -> None:
        """See `LimitedText`; only the tokenizer is read."""
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self.folder / "tokenizer")
        check_tokens(self._tokenizer, instruction, self.config.get("num_tokens", NUM_TOKENS))

    def to(self, device: torch.device | str) -> Self:
        """Set its device."""
        self.device = torch.device(device)
        if self._loaded is not None:
            self._loaded.to(device)
        return self

    def release(self) -> None:
        """Free the weights until they are needed again."""
        self._loaded = None

    def save(self, folder: Path) -> dict[str, Any]:
        """Copy its folders."""
        for part in ("text_encoder", "tokenizer"):
            _copy(self.folder / part, folder / part)
        return self.config

    @classmethod
    def load(cls, folder: Path, config: dict[str, Any], dtype: torch.dtype) -> Self:
        """The part in a folder."""
        return cls(folder, config, dtype)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)
