"""Models by name: a folder, or `shipped` for those that come with this package."""

import hashlib
from pathlib import Path

import action_images
from action_images.errors import ActionImagesError

INDEX = "action_images.json"
"""The index's file name; it is written last, so a folder that has one is complete."""
SHIPPED = "shipped"
"""The name of the shipped models, accepted in place of a folder of models."""
SHIPPED_KNOW = (
    "the shipped models know the embedded world alone: on other videos what they answer means nothing"
)
"""A warning to print before they label a user's data."""
PIECES, PIECE = 16, 1 << 16
"""Number and size (bytes) of the pieces hashed of large weights; training changes all of them."""


def models_folder(name: str) -> Path:
    """The folder of models with a name, or of the shipped models; raises ValueError if none were shipped."""
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
    """The models' name in results: their folder, a hash of its contents, and the dtype if not float32.

    A run's folders `model` and `best` take the run's name. Weights and index are part of the name because
    every run uses the same folder names and keeps changing their contents.
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
