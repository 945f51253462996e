"""Build models of a preset with new weights."""

from typing import Any

import torch

from action_images.errors import ActionImagesError
from action_images.model.autoencoders import AUTOENCODERS
from action_images.model.autoencoders.autoencoder import SavedAutoencoder
from action_images.model.backbones import BACKBONES
from action_images.model.bundle import Models
from action_images.model.denoiser import CanvasDenoiser
from action_images.model.presets import Preset
from action_images.model.text import HashedWords


def build_transformer(preset: Preset) -> Any:
    """The preset's transformer with new weights, on torch's default device (without weights on 'meta')."""
    return BACKBONES[preset.backbone](**preset.transformer)


def build_autoencoder(preset: Preset) -> SavedAutoencoder:
    """The preset's autoencoder with new weights; one of principal components must still be fitted."""
    return AUTOENCODERS[preset.autoencoder_kind].new(**preset.autoencoder)


def build(preset: Preset, seed: int = 0, autoencoder: SavedAutoencoder | None = None) -> Models:
    """Models with new weights, the same for the same seed; `autoencoder`, if given, is a fitted one to use.

    Raises ValueError for presets with a language model, which must be loaded instead (see
    `hub.load_released`).
    """
    if preset.hashed_words is None:
        raise ActionImagesError(
            "this preset reads text with a pretrained language model; load its weights instead of building it"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = build_transformer(preset)
        return Models(
            CanvasDenoiser(transformer),
            autoencoder or build_autoencoder(preset),
            HashedWords(**preset.hashed_words),
        )
