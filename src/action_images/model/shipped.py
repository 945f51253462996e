"""Models by what people call them: a folder, or `shipped`, those that come with this package."""

import hashlib
from pathlib import Path

import action_images
from action_images.errors import ActionImagesError

INDEX = "action_images.json"
"""The index's file name; it is written last, so a folder that has one is whole."""
SHIPPED = "shipped"
"""What they are called wherever a folder of models is asked for."""
SHIPPED_KNOW = (
    "the shipped models know the embedded world alone: on other videos what they answer means nothing"
)
"""To be said before they label somebody's data."""
PIECES, PIECE = 16, 1 << 16
"""Of large weights so many pieces of so many bytes are looked at: training changes them all."""


def models_folder(name: str) -> Path:
    """The folder that is meant: of the shipped models, or the one of this name; raises ValueError where none
    were shipped."""
    if name != SHIPPED:
        return Path(name)
    folder = Path(action_images.__file__).parent / "weights" / "tiny"
    if not folder.is_dir():
        raise ActionImagesError(
            "this installation has no shipped models (action_images/weights/tiny); name a folder "
            "of models instead"
        )
    return folder


def models_name(name: str, dtype: str = "float32") -> str:
    """What models are called in results: by their folder, by what is in it, and by their dtype where it is
    not float32.

    A run's folders `model` and `best` go by the run's name. Weights and index have a say because every run
    calls its models the same, and goes on changing them.
    """
    folder = models_folder(name).resolve()
    called = folder.parent.name if folder.name in ("model", "best") else folder.name
    in_dtype = "" if dtype == "float32" else f" {dtype}"
    return f"{SHIPPED if name == SHIPPED else called}-{_weights(folder)}{in_dtype}"


def _weights(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in [*sorted(folder.rglob("*.safetensors")), *folder.glob(INDEX)]:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder)} {size}".encode())
        with path.open("rb") as file:
            for piece in range(PIECES):
                file.seek(max(size - PIECE, 0) * piece // (PIECES - 1))
                digest.update(file.read(PIECE))
    return digest.hexdigest()[:8]
