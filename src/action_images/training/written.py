"""Write a folder of a run completely or not at all; a full disk gives a one-sentence error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from action_images.files.atomic import whole_folder


@contextmanager
def written(folder: Path, what: str) -> Iterator[Path]:
    """A temporary folder to fill with `what` (the checkpoint, the models); see `atomic.whole_folder`.

    Raises OSError, naming the folder, if it cannot be written; earlier contents stay unchanged.
    """
    try:
        with whole_folder(folder) as unfinished:
            yield unfinished
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"{folder}: {what} could not be written ({error}); "
            "the one before is as it was, make room and resume"
        ) from error
