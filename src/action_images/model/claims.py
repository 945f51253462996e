"""Refuse configs that claim a larger network than the files contain, before it takes memory."""

import json
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from action_images.errors import ActionImagesError

MAX_JSON_BYTES = 1 << 23
"""Limit of indexes and configs, which have kilobytes. The tokenizer reads its larger vocabulary itself."""
SLACK = 64
"""Tensors that a network may have beyond twice those of its files, for shared or unsaved ones."""
MAX_BUFFER = 1 << 26
"""Limit of the numbers in a table that a network computes itself."""


def check_files(folder: Path) -> None:
    """Raise ActionImagesError if a folder of models does not exist, or holds a device or a pipe."""
    if not folder.is_dir():
        # A library would look for a repository of this name on a hub.
        raise ActionImagesError(f"{folder}: is missing, so this is no whole folder of models; copy it again")
    for path in folder.iterdir():
        try:
            kind = path.stat().st_mode
        except OSError as error:
            raise ActionImagesError(f"{path}: cannot be read ({error.strerror}); copy it again") from None
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise ActionImagesError(f"{path}: is a device or a pipe, no file; put the file itself there")


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object of a folder of models; raises ActionImagesError if the file holds something else."""
    check_files(path.parent)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ActionImagesError(f"{path}: is larger than {MAX_JSON_BYTES >> 20} MB; copy it again")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ActionImagesError(f"{path}: cannot be read ({error.strerror}); copy it again") from None
    except (ValueError, RecursionError) as error:
        raise ActionImagesError(f"{path}: is not valid json ({error}); copy it again") from None
    if not isinstance(content, dict):
        raise ActionImagesError(f"{path}: holds no json object; copy it again")
    return content


@contextmanager
def no_larger_than_its_files(folder: Path) -> Iterator[None]:
    """Limit the networks that this thread builds in the block to the number and size of the folder's tensors.

    Raises ActionImagesError, naming the folder, at the first tensor beyond that.
    """
    num_tensors, largest = _held(folder)
    builder, num_built = threading.get_ident(), 0

    def see(_module: Any, name: str, tensor: Tensor | None) -> None:
        nonlocal num_built
        if tensor is None or threading.get_ident() != builder:
            return
        num_built += 1
        if num_built > 2 * num_tensors + SLACK:
            raise ActionImagesError(f"it claims more tensors than the {num_tensors} of its files")
        if tensor.numel() > largest:
            raise ActionImagesError(
                f"it claims {tensor.numel()} numbers for {name}, its files have {largest} at most"
            )

    def see_buffer(module: Any, name: str, tensor: Tensor | None) -> None:
        if tensor is not None and tensor.numel() > MAX_BUFFER:
            see(module, name, tensor)

    hooks = [
        register_module_parameter_registration_hook(see),
        register_module_buffer_registration_hook(see_buffer),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _held(folder: Path) -> tuple[int, int]:
    """The number of tensors in a folder's files, and the size of the largest."""
    from safetensors import safe_open

    num_tensors = largest = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                num_tensors += 1
                size = 1
                for side in file.get_slice(name).get_shape():
                    size *= side
                largest = max(largest, size)
    return num_tensors, largest
