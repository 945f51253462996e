"""Reading a saved diffusers model whole, with errors that name the folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from action_images.errors import ActionImagesError


def load_module(kind: Any, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A saved diffusers model of the class `kind`, all of whose tensors come from the folder.

    Raises ActionImagesError where a file is damaged, or tensors are missing, left over or of another shape.
    """
    with errors_named(folder):
        loaded, report = kind.from_pretrained(folder, torch_dtype=dtype, output_loading_info=True)
    problems = "; ".join(f"{name} {keys[:3]}" for name, keys in report.items() if keys)
    if problems:
        raise ActionImagesError(f"{folder}: the weights do not fit config.json: {problems}")
    return loaded


@contextmanager
def errors_named(folder: Path) -> Iterator[None]:
    """Errors of the libraries that read weights become one that names the folder and the cure."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ActionImagesError(
            f"{folder}: a weights file is missing, damaged or cut short; copy or download it again ({error})"
        ) from error
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ActionImagesError(f"{folder}: the weights do not fit config.json ({reason})") from error
