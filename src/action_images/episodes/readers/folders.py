"""Shared parts of readers of folders: episodes found by a pattern, small files read with limits."""

import codecs
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from action_images.episodes.episode import EpisodeError, check_id
from action_images.episodes.strangers import check_folder, check_regular
from action_images.errors import ActionImagesError

MAX_TEXT_BYTES = 1 << 20
MAX_ARRAY_BYTES = 256 << 20
MAX_ID = 380
SYSTEMS = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information")
MOST_LINKS = 4
"""The most links that are named."""


class EpisodeFolders:
    """The folders of a foreign set by episode id, in natural order.

    An id is the path below `root`, with its parts made safe (`safe_part`) and those of `leave_out` omitted.
    Folders with the same id get a hash of their path, so no id depends on the order of the folders. A folder
    that leads out of the set is refused when it is requested; the others stay usable. Hidden folders, such as
    a desktop's waste basket, hold no episodes.
    """

    def __init__(self, root: Path, folders: Iterable[Path], leave_out: tuple[str, ...] = ()):
        self.root = root
        self._folders: dict[str, Path] = {}
        self.former_ids: dict[str, str] = {}
        """Ids that earlier versions made otherwise, each with the former one."""
        ordered = sorted(folders, key=lambda path: natural(str(path)))
        self._hidden = [folder for folder in ordered if _is_hidden(folder.relative_to(root))]
        ordered = [folder for folder in ordered if not _is_hidden(folder.relative_to(root))]
        parts = {folder: self._parts(folder, leave_out) for folder in ordered}
        wanted = {folder: _joined(map(safe_part, parts[folder])) for folder in ordered}
        counts = Counter(wanted.values())
        for folder in ordered:
            below = folder.relative_to(root).as_posix()
            is_shared = counts[wanted[folder]] > 1
            episode_id = f"{wanted[folder]}-{_hash(below)}" if is_shared else wanted[folder]
            self._add(episode_id, folder)
            former = "/".join(cleaned(part) for part in parts[folder])[-MAX_ID:].lstrip("/")
            if former != episode_id:
                self.former_ids[episode_id] = former

    @property
    def ids(self) -> list[str]:
        """All episodes, in natural order."""
        return list(self._folders)

    def items(self) -> Iterable[tuple[str, Path]]:
        """Ids and folders, not yet checked."""
        return self._folders.items()

    def unchecked(self, episode_id: str) -> Path:
        """The folder of an episode, which may hold files that must not be opened."""
        return self._folders[episode_id]

    def folder(self, episode_id: str) -> Path:
        """The folder of an episode.

        Raises EpisodeError if it is missing or holds files that must not be opened.
        """
        if episode_id not in self._folders:
            count = len(self._folders)
            raise EpisodeError(
                f"there is no episode {episode_id[:80]!r} in the source; it has {count} others"
            )
        check_folder(self.root, self._folders[episode_id])
        return self._folders[episode_id]

    def left_out(self) -> list[str]:
        """Remarks on hidden folders of episodes, and on links beside the episodes' folders."""
        links = told_links(self.root, self._folders.values())
        if not self._hidden:
            return links
        told = f"{len(self._hidden)} folders of episodes are hidden and left out"
        return [f"{told} (the first: {self._hidden[0].relative_to(self.root)})", *links]

    def _parts(self, folder: Path, leave_out: tuple[str, ...]) -> list[str]:
        below = folder.relative_to(self.root).parts
        return [part for part in below if part not in leave_out] or [self.root.name]

    def _add(self, episode_id: str, folder: Path) -> None:
        if episode_id in self._folders:
            both = f"{self._folders[episode_id]} and {folder}"
            raise EpisodeError(f"{both} both give the episode id {episode_id[:80]!r}; rename one of them")
        check_id(episode_id)
        self._folders[episode_id] = folder


def told_links(root: Path, homes: Iterable[Path] = ()) -> list[str]:
    """A remark on links to folders below a source: no search for episodes follows them.

    `homes` are episodes' folders, in which links are checked when they are read.
    """
    known, links = set(homes), []
    for folder, names, _ in os.walk(root):
        links += [Path(folder, name) for name in names if Path(folder, name).is_symlink()]
        names[:] = [name for name in names if Path(folder, name) not in known]
    outside = sorted(str(link.relative_to(root)) for link in links if link not in known)
    if not outside:
        return []
    named = ", ".join(outside[:MOST_LINKS]) + (" ..." if len(outside) > MOST_LINKS else "")
    cure = "put the folders themselves there, or import each by its own path"
    return [f"{len(outside)} links to folders are not followed ({named}); {cure}"]


class OfFolders:
    """A reader whose episodes are folders: an id is the path of one below the source (`EpisodeFolders`)."""

    _folders: EpisodeFolders

    @property
    def ids(self) -> list[str]:
        """All episodes, in natural order."""
        return self._folders.ids

    @property
    def former_ids(self) -> Mapping[str, str]:
        """Ids that earlier versions made otherwise, each with the former one."""
        return self._folders.former_ids

    @property
    def remarks(self) -> list[str]:
        """What is left out: hidden folders, and links to folders."""
        return self._folders.left_out()


def _is_hidden(below: Path) -> bool:
    return any(part in SYSTEMS or (part[0] == "." and part[:2] != "..") for part in below.parts)


def safe_part(part: str) -> str:
    """A folder's name as a word of an id; names that are changed for this get a hash of the true name."""
    safe = cleaned(part)
    return safe if safe == part else f"{safe}-{_hash(part)}"


def cleaned(part: str) -> str:
    """A name with everything that no id may hold replaced; several names may become the same."""
    return re.sub(r"[^A-Za-z0-9_.+:@=,-]|^[^A-Za-z0-9_]|\.(?=\.)", "_", part)


def _joined(parts: Iterable[str]) -> str:
    """Parts as an id; of a longer one the end, with a hash of the whole."""
    whole = "/".join(parts)
    return whole if len(whole) <= MAX_ID else f"{whole[-MAX_ID:].lstrip('/')}-{_hash(whole)}"


def _hash(text: str) -> str:
    return sha256(os.fsencode(text)).hexdigest()[:10]


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sorting key that puts episode2 before episode10."""
    # Not isdigit, which also holds for superscripts, which int() cannot convert.
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text))


def read_text(path: Path) -> str | None:
    """The first line with text in a small file; None if there is no such file or line."""
    return next(iter(read_lines(path)), None)


def read_lines(path: Path) -> list[str]:
    """The lines with text in a small file; none if there is no such file.

    Raises EpisodeError if it is too large, or neither UTF-8 nor UTF-16 with a byte order mark.
    """
    check_regular(path)
    if not path.is_file():
        return []
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise EpisodeError(f"{path}: is larger than {MAX_TEXT_BYTES >> 20} MB; an instruction is one line")
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        lines = [line.strip() for line in content.decode(encoding).splitlines()]
    except UnicodeDecodeError:
        raise EpisodeError(f"{path}: is no text in UTF-8; save it so") from None
    return [line for line in lines if line and not line.startswith("confidence:")]


def read_array(path: Path, shape: tuple[int | None, ...], key: str | None = None) -> Tensor | None:
    """A .npy file, or the entry `key` of an .npz file, as float32; None if the key is absent.

    Raises EpisodeError if the file is missing, broken, too large, or not of this shape (None: any length).
    """
    check_regular(path)
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
        reason = str(error)[:80]
        raise EpisodeError(
            f"{path}: is not a readable array ({reason}); restore the file or drop the episode"
        ) from None


def _check_claim(archive: Any, key: str, path: Path) -> None:
    """Raise EpisodeError if an entry of an .npz claims to be too large: a few kilobytes can unpack to any
    size.
    """
    member = key if key in archive.zip.namelist() else f"{key}.npy"
    with archive.zip.open(member) as file:
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read[np.lib.format.read_magic(file)](file)
    if math.prod(shape) * max(8, dtype.itemsize) > MAX_ARRAY_BYTES:
        claim = f"its {key!r} claims {shape} numbers, more than {MAX_ARRAY_BYTES >> 20} MB"
        raise EpisodeError(f"{path}: {claim}; the file is damaged")


def _num_numbers(content: object, depth: int, counted: dict[tuple[int, int], int]) -> int:
    """The number of numbers in nested lists, each counted once: a list that repeats another is short in a
    file.

    Raises ValueError if they are nested deeper than `depth`, such as a list that holds itself.
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
    """Untrusted numbers as float32 of this shape (None: any length).

    Raises EpisodeError if they are no such numbers.
    """
    return torch.from_numpy(as_array(content, shape, name).astype(np.float32))


def as_array(content: object, shape: tuple[int | None, ...], name: str) -> np.ndarray:
    """The same as float64."""
    try:
        if _num_numbers(content, len(shape), {}) * 8 > MAX_ARRAY_BYTES:
            limit = f"more than {MAX_ARRAY_BYTES >> 20} MB of numbers"
            raise EpisodeError(f"{name}: holds {limit}, beyond what is read; the file is damaged")
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
        expected = f"{shape} is expected (None: any length)"
        raise EpisodeError(f"{name}: has the shape {array.shape}, {expected}; repair the file")
    return array


def same_length(name: str, lengths: dict[str, int]) -> int:
    """The length that all parts share.

    Raises EpisodeError, naming them, if the lengths differ or are 0.
    """
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        listed = ", ".join(f"{part} {length}" for part, length in lengths.items())
        raise EpisodeError(
            f"{name}: its parts differ in length or are empty ({listed or 'no views'}); "
            "restore what is missing, or drop the episode"
        )
    return next(iter(lengths.values()))
