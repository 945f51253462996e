"""Backbones: tokens in, tokens out. One file for each family of transformers, and one line in `BACKBONES`."""

from typing import Any

from action_images.model.backbones.wan import ActionImagesTransformer3DModel

BACKBONES: dict[str, type[Any]] = {
    "wan": ActionImagesTransformer3DModel,
}
"""The name of a family in presets and saved folders -> its class."""
