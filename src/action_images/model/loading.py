"""Reading a saved model whole, with errors that name the folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from action_images.errors import ActionImagesError
from action_images.model.claims import check_files, no_larger_than_its_files, read_object

CONFIG = "config.json"
FROM_FOLDER: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
"""What the libraries' `from_pretrained` is told: no hub is asked, no pickle is read."""


def load_module(
    kind: Any, folder: Path, dtype: torch.dtype = torch.float32, *, around: Callable[[Any], Any] | None = None
) -> Any:
    """A saved diffusers model of the class `kind`, all of whose tensors come from the folder.

    `around` makes what is returned of it, from its config.

    Raises ActionImagesError where a file is missing or damaged, or tensors are missing, left over or of
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
    """A network is built from a folder in the block: whatever is wrong with its files names the folder.

    Folders may be strangers': a config's numbers reach constructors of libraries, which may raise anything.
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
