"""Autoencoders: video to latents and back. One file for each kind, and one line in `AUTOENCODERS`."""

from pathlib import Path

import torch

from action_images.errors import ActionImagesError
from action_images.model.autoencoders.autoencoder import SavedAutoencoder
from action_images.model.autoencoders.pca import PcaAutoencoder
from action_images.model.autoencoders.wan import WanAutoencoder
from action_images.model.claims import read_object

AUTOENCODERS: dict[str, type[SavedAutoencoder]] = {
    "pca": PcaAutoencoder,
    "wan": WanAutoencoder,
}
"""The name of a kind in presets and saved folders -> its class."""


def autoencoder_kind(folder: Path) -> str:
    """The kind of autoencoder in a folder, ours or Wan's in diffusers' layout.

    Raises ActionImagesError if there is none, or one of an unknown kind.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise ActionImagesError(
            f"{folder}: has no config.json; name the folder of an autoencoder, such as the `vae` of a model"
        )
    name = read_object(config).get("_class_name")
    for kind, autoencoder in AUTOENCODERS.items():
        if name in autoencoder.config_names:
            return kind
    raise ActionImagesError(
        f"{config}: names an unknown autoencoder, '{name}'; known are {', '.join(AUTOENCODERS)}"
    )


def load_autoencoder(folder: Path, dtype: torch.dtype = torch.float32) -> SavedAutoencoder:
    """A saved autoencoder of any kind; `dtype` is that of large networks. Raises ActionImagesError for
    damaged files."""
    return AUTOENCODERS[autoencoder_kind(folder)].load(folder, dtype)
