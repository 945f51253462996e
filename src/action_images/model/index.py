"""The index of a folder of models: its version, its checksums, and the reading of older versions."""

from pathlib import Path
from typing import Any

from action_images.errors import ActionImagesError
from action_images.files import checksum
from action_images.files.atomic import write_json
from action_images.model.autoencoders import autoencoder_kind
from action_images.model.claims import read_object
from action_images.model.shipped import INDEX

VERSION = 1
CHECKSUMS = "sha256"
"""The index's key for the checksums of the tensor files."""
ANSWERS = {"CanvasDenoiser": "canvas", "PathRegressor": "path"}
TEXTS = {"HashedWords": "hashed_words", "LanguageModel": "language_model"}
"""The class names of version 0 -> the names of version 1."""
KINDS = {"answers": str, "backbone": str, "autoencoder": str, "text": str, "text_config": dict}
"""Required key of an index -> its type; other keys are optional."""
FIRST_AXIS_LENGTH = 0.1
"""The length of drawn axes (m) for folders older than this value."""


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder of models, converted to the current version.

    Raises ActionImagesError if there is none, or a newer one.
    """
    if not (folder / INDEX).is_file():
        raise ActionImagesError(
            f"{folder}: has no {INDEX}, so it is no folder of saved models; "
            "fetch-weights or convert-weights --wan makes one"
        )
    index = read_object(folder / INDEX)
    version = index.get("version", 0)
    if type(version) is not int or version > VERSION:
        raise ActionImagesError(
            f"{folder / INDEX}: has version {version}, this program reads up to {VERSION}; update "
            "action-images"
        )
    if version != VERSION:
        index = _from_version_0(index, folder)
    for name, kind in KINDS.items():
        if not isinstance(index.get(name), kind):
            wanted = "a text" if kind is str else "a json object"
            raise ActionImagesError(f"{folder / INDEX}: '{name}' is not {wanted}; copy it again")
    return index


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """Write the index of a folder of models completely or not at all, with a checksum of each tensor file."""
    found = checksum.checksums(folder, folder.rglob("*.safetensors"))
    write_json(folder / INDEX, {"version": VERSION, **index, CHECKSUMS: found})


def check_tensors(folder: Path, index: dict[str, Any]) -> None:
    """Raise ActionImagesError, naming the file, if tensors differ from those that the index was written with.

    Indexes of older versions without checksums are not checked.
    """
    expected = index.get(CHECKSUMS, {})
    if not isinstance(expected, dict):
        raise ActionImagesError(f"{folder / INDEX}: '{CHECKSUMS}' is not a json object; copy it again")
    # Files of the folder alone: an index must not make other files be read.
    inside = {name: one for name, one in expected.items() if not {"..", "/"} & set(Path(name).parts)}
    checksum.check(folder, inside)


def _from_version_0(index: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Convert version 0, which named classes and left out defaults, the autoencoder and the backbone."""
    answers, text = str(index.get("door", "CanvasDenoiser")), str(index.get("text"))
    words = {
        "version": VERSION,
        "answers": ANSWERS.get(answers, answers),
        "backbone": "wan",
        "autoencoder": autoencoder_kind(folder / "vae"),
        "text": TEXTS.get(text, text),
        "text_config": index.get("text_config"),
    }
    clips = index.get("clips")
    if clips is not None:
        words["clips"] = {"axis_length": FIRST_AXIS_LENGTH, **clips} if isinstance(clips, dict) else clips
    return words
