"""The interface of autoencoders: video to latents and back, saving and loading."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Self

from action_images.model.sizes import check_frames, check_size

__all__ = ["Autoencoder", "SavedAutoencoder", "check_size", "num_latent_frames", "num_pixel_frames"]


@runtime_checkable
class Autoencoder(Protocol):
    """Causal in time: the first latent frame represents the first pixel frame alone, each other one
    `temporal_factor` frames."""

    channels: int
    spatial_factor: int
    temporal_factor: int

    def encode(self, video: Float[Tensor, "*batch frame 3 height width"]) -> Float[Tensor, "*batch c l h w"]:
        """Video in [-1, 1] to latents of about zero mean and unit variance, float32."""
        ...

    def decode(
        self, latents: Float[Tensor, "*batch c l h w"]
    ) -> Float[Tensor, "*batch frame 3 height width"]:
        """Latents to video, float32, about [-1, 1]: clamp before showing."""
        ...


@runtime_checkable
class SavedAutoencoder(Autoencoder, Protocol):
    """An autoencoder of a registered kind, with which models are built, fitted, saved and loaded."""

    kind: ClassVar[str]
    """Its name in presets and in saved folders."""
    config_names: ClassVar[tuple[str, ...]]
    """Allowed values of `_class_name` in its saved config.json."""

    @classmethod
    def new(cls, **config: Any) -> Self:
        """An autoencoder with new weights, of a preset's sizes."""
        ...

    def fit(self, clips: Iterable[tuple[Float[Tensor, "*batch frame 3 height width"], float]]) -> Self:
        """Fit to videos in [-1, 1], each with its weight, if this takes seconds; other kinds do nothing."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and config.json into a folder."""
        ...

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> Self:
        """Read what `save` wrote; `dtype` is that of large networks. Raises ActionImagesError for damaged
        files."""
        ...


def num_latent_frames(autoencoder: Autoencoder, num_frames: int) -> int:
    """The number of latent frames for `num_frames` pixel frames.

    Raises ActionImagesError, with the two nearest numbers, if there is none.
    """
    factor = autoencoder.temporal_factor
    check_frames(num_frames, factor)
    return (num_frames - 1) // factor + 1


def num_pixel_frames(autoencoder: Autoencoder, num_latents: int) -> int:
    """The number of pixel frames for `num_latents` latent frames."""
    return (num_latents - 1) * autoencoder.temporal_factor + 1
