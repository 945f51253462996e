"""What foreign folders have in common: episodes found by a pattern, small files read with bounds."""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from action_images.episodes.episode import EpisodeError, check_id
from action_images.errors import ActionImagesError

MAX_TEXT_BYTES = 1 << 20
MAX_ARRAY_BYTES = 256 << 20


def by_id(root: Path, folders: Iterable[Path], leave_out: tuple[str, ...] = ()) -> dict[str, Path]:
    """Episode id -> folder, sorted by natural order; an id is the path below `root`, its parts made safe, some left out."""
    found: dict[str, Path] = {}
    for folder in sorted(folders, key=lambda path: natural(str(path))):
        parts = [part for part in folder.relative_to(root).parts if part not in leave_out] or [root.name]
        episode_id = "/".join(
            re.sub(r"[^A-Za-z0-9_.+:@=,-]|^[^A-Za-z0-9_]|\.(?=\.)", "_", part) for part in parts
        )
        check_id(episode_id)
        if episode_id in found:
            raise EpisodeError(
                f"{root}: the folders {found[episode_id]} and {folder} give the same id {episode_id}; rename one"
            )
        found[episode_id] = folder
    return found


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sorting key that puts episode2 before episode10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text))


def folder_of(folders: dict[str, Path], episode_id: str) -> Path:
    """The folder of an episode; raises EpisodeError for an id that is not there."""
    if episode_id not in folders:
        raise EpisodeError(
            f"there is no episode {episode_id[:80]!r} in the source; it has {len(folders)} others"
        )
    return folders[episode_id]


def read_text(path: Path) -> str | None:
    """The first line of a small text file that says something; None where there is no such file or line."""
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise EpisodeError(f"{path}: is larger than {MAX_TEXT_BYTES >> 20} MB; an instruction is one line")
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    return next((line for line in lines if line and not line.startswith("confidence:")), None)


def read_array(path: Path, shape: tuple[int | None, ...], key: str | None = None) -> Tensor | None:
    """A .npy file, or the entry `key` of an .npz file, as float32; None where the key is absent.

    Raises EpisodeError where the file is missing, broken, too large, or not of this shape (None: any length).
    """
    try:
        if path.stat().st_size > MAX_ARRAY_BYTES:
            raise EpisodeError(f"{path}: is larger than {MAX_ARRAY_BYTES >> 20} MB; the file is damaged")
        content = np.load(path, allow_pickle=False, mmap_mode="r" if key is None else None)
        if key is not None:
            if key not in content.files:
                return None
            _check_claim(content, key, path)
            content = content[key]
        return as_tensor(content, shape, str(path))
    except FileNotFoundError:
        raise EpisodeError(f"{path}: is missing; restore the file or drop the episode") from None
    except EpisodeError:
        raise
    except Exception as error:  # numpy raises many kinds for a damaged file
        raise EpisodeError(
            f"{path}: is not a readable array ({str(error)[:80]}); restore the file or drop the episode"
        ) from None


def _check_claim(archive: Any, key: str, path: Path) -> None:
    """Raise EpisodeError where an entry of an .npz claims more than is read: a few kilobytes unpack to any size."""
    member = key if key in archive.zip.namelist() else f"{key}.npy"
    with archive.zip.open(member) as file:
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read[np.lib.format.read_magic(file)](file)
    if math.prod(shape) * max(8, dtype.itemsize) > MAX_ARRAY_BYTES:
        raise EpisodeError(
            f"{path}: its {key!r} claims {shape} numbers, more than {MAX_ARRAY_BYTES >> 20} MB; the file is damaged"
        )


def _num_numbers(content: object, depth: int, counted: dict[tuple[int, int], int]) -> int:
    """How many numbers nested lists hold, each looked at once: one that holds another many times is short in the file.

    Raises ValueError where they are nested deeper than `depth`, as where a list holds itself.
    """
    if isinstance(content, np.ndarray):
        return content.size
    if not isinstance(content, (list, tuple)):
        return 1
    if depth == 0:
        raise ActionImagesError("nested too deep")
    place = id(content), depth
    if place not in counted:
        counted[place] = sum(_num_numbers(part, depth - 1, counted) for part in content)
    return counted[place]


def as_tensor(content: object, shape: tuple[int | None, ...], name: str) -> Tensor:
    """Numbers of a stranger's as float32 of this shape (None: any length); raises EpisodeError where they are not."""
    try:
        if _num_numbers(content, len(shape), {}) * 8 > MAX_ARRAY_BYTES:
            raise EpisodeError(
                f"{name}: holds more than {MAX_ARRAY_BYTES >> 20} MB of numbers, beyond what is read; the file is damaged"
            )
        array = np.asarray(content, np.float64)
    except EpisodeError:
        raise
    except (ValueError, TypeError, OverflowError):
        raise EpisodeError(
            f"{name}: should be numbers of shape {shape}, is something else; repair the file"
        ) from None
    if array.ndim != len(shape) or any(
        want is not None and want != have for want, have in zip(shape, array.shape, strict=True)
    ):
        raise EpisodeError(
            f"{name}: has the shape {array.shape}, {shape} is expected (None: any length); repair the file"
        )
    return torch.from_numpy(array.astype(np.float32))


def same_length(name: str, lengths: dict[str, int]) -> int:
    """The one length that all parts share; raises EpisodeError, naming them, where they differ or there is nothing."""
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        listed = ", ".join(f"{part} {length}" for part, length in lengths.items())
        raise EpisodeError(
            f"{name}: its parts differ in length or are empty ({listed or 'no views'}); restore the episode or drop it"
        )
    return next(iter(lengths.values()))
