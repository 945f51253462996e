"""Checksums of files, to notice a flipped byte before it is used."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from action_images.errors import ActionImagesError

BLOCK = 1 << 22
"""Bytes read at once."""
END = 1 << 16
"""Bytes of each end of a large file."""


def checksum(path: Path) -> str:
    """The SHA-256 of a file's bytes in hexadecimal, as `sha256sum` prints it."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def checksum_of_ends(path: Path) -> str:
    """The SHA-256 of a file's first and last 64 KiB: fast for large files.

    In a video these hold the sizes of all pictures, so another recording differs in them.
    """
    digest = sha256()
    with path.open("rb") as file:
        digest.update(file.read(END))
        file.seek(max(0, path.stat().st_size - END))
        digest.update(file.read(END))
    return digest.hexdigest()


def checksums(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Path inside the folder (with forward slashes) -> checksum."""
    return {path.relative_to(folder).as_posix(): checksum(path) for path in sorted(paths)}


def check(folder: Path, expected: Mapping[str, str]) -> None:
    """Raise ActionImagesError, naming the file, if a file has another checksum.

    Missing files are ignored: reading them reports the error.
    """
    for name, wanted in expected.items():
        path = folder / name
        if path.is_file() and checksum(path) != wanted:
            raise ActionImagesError(
                f"{path}: its bytes are not those that were written (SHA-256 differs); "
                "copy or download it again"
            )
