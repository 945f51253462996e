"""The models that come with this package."""

import hashlib
from pathlib import Path

import action_images

SHIPPED = "shipped"
"""What they are called wherever a folder of models is asked for."""
SHIPPED_KNOW = "the shipped models know the embedded world alone: on other videos what they answer means nothing"
"""To be said before they label somebody's data."""


def models_folder(name: str) -> Path:
    """The folder that is meant: of the shipped models, or the one of this name; raises ValueError where none were shipped."""
    if name != SHIPPED:
        return Path(name)
    folder = Path(action_images.__file__).parent / "weights" / "tiny"
    if not folder.is_dir():
        raise ValueError("this installation has no shipped models (action_images/weights/tiny); name a folder of models instead")
    return folder


def models_name(name: str) -> str:
    """What the models of a folder, or the shipped ones, are called in results: those by a hash of their weights, which change."""
    folder = models_folder(name)
    if name != SHIPPED:
        return folder.resolve().name
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    return f"{SHIPPED}-{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}"
