"""Read a complete saved model, with errors that name the folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from action_images.errors import ActionImagesError
from action_images.model.claims import check_files, no_larger_than_its_files, read_object

CONFIG = "config.json"
FROM_FOLDER: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
"""Arguments of the libraries' `from_pretrained`: no hub is contacted, and no pickle is read."""


def load_module(
    kind: Any, folder: Path, dtype: torch.dtype = torch.float32, *, around: Callable[[Any], Any] | None = None
) -> Any:
    """A saved diffusers model of the class `kind`, with all its tensors from the folder.

    `around` wraps the model; the wrapper is returned.

    Raises ActionImagesError if a file is missing or damaged, or if tensors are missing, left over or of
    another shape.
    """
    with errors_named(folder):
        loaded, report = kind.from_pretrained(folder, torch_dtype=dtype, **FROM_FOLDER)
    problems = "; ".join(f"{name} {keys[:3]}" for name, keys in report.items() if keys)
    if problems:
        raise ActionImagesError(f"{folder}: the weights do not fit config.json: {problems}")
    if around is None:
        return loaded
    with errors_named(folder):
        return around(loaded)


@contextmanager
def errors_named(folder: Path) -> Iterator[None]:
    """Name the folder in all errors of building a network from its files in this block.

    Folders may come from strangers, and a config's numbers reach constructors of libraries, which may raise
    any exception.
    """
    from safetensors import SafetensorError

    check_files(folder)
    read_object(folder / CONFIG)
    try:
        with no_larger_than_its_files(folder):
            yield
    except (SafetensorError, OSError) as error:
        raise ActionImagesError(
            f"{folder}: a weights file is missing, damaged or cut short; copy or download it again ({error})"
        ) from error
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ActionImagesError(f"{folder}: the weights do not fit config.json ({reason})") from error
