"""Check whether models fit a card before they are loaded."""

import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from action_images.device import Place
from action_images.errors import ActionImagesError

CAST = ("transformer", "text_encoder")
"""Folders of the parts that are loaded in the requested dtype; others are float32."""


def memory_of(device: torch.device) -> int | None:
    """Bytes of a card; None for a device that uses the machine's memory."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def check_weights_fit(folder: Path, place: Place) -> None:
    """Raise ActionImagesError if a folder's weights alone are larger than a card's memory."""
    available = memory_of(place.device)
    if available is None:
        return
    needed = weights_of(folder, place.dtype)
    if needed <= available:
        return
    half = weights_of(folder, torch.bfloat16)
    cure = "give --dtype bfloat16" if half <= available and half < needed else "give --device cpu"
    raise ActionImagesError(
        f"{folder}: its weights take {needed / 1e9:.1f} GB as they are asked for, {place.device} has "
        f"{available / 1e9:.1f}; {cure}, or a larger card ('action-images describe' says which fit)"
    )


def weights_of(folder: Path, dtype: torch.dtype) -> int:
    """Bytes of all weights below a folder of models, from the headers of their files."""
    total = 0
    for path in folder.glob("*/*.safetensors"):
        itemsize = dtype.itemsize if path.parent.name in CAST else torch.float32.itemsize
        total += itemsize * _numbers_of(path)
    return total


def _numbers_of(path: Path) -> int:
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except (OSError, SafetensorError):
        return 0  # loading it reports the error
