"""Decoded frames on disk at one size: memory-mapped files with a record of their sources."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from typing_extensions import Self

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError, check_indices
from action_images.files.atomic import whole_file, write_json
from action_images.files.checksum import checksum
from action_images.geometry.fitting import fit_frames

VERSION = 1
"""The version of these files; files of other versions are made again."""
FRAMES_AT_ONCE = 64
"""The number of frames that are decoded together."""


@dataclass(frozen=True)
class StoredFrames:
    """One view of an episode: `count` frames from number `first` on in a file of frames (frame h w 3)."""

    pixels: np.ndarray
    name: str
    first: int
    count: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.pixels.shape[1], self.pixels.shape[2]

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order."""
        check_indices(indices, self.count, self.name)
        rows = self.pixels[self.first + np.asarray(indices, dtype=np.int64)]
        return torch.from_numpy(rows).movedim(-1, -3)


@dataclass(frozen=True)
class FileState:
    """The state of a source file when it was read: bytes, time of its last change, SHA-256 or another sum."""

    num_bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, sum_of: Callable[[Path], str] = checksum) -> Self:
        """The current state of a file."""
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, sum_of(path))

    def is_of(self, path: Path) -> bool:
        """Whether the file has this size and time, without reading it."""
        found = path.stat()
        return (found.st_size, found.st_mtime_ns) == (self.num_bytes, self.mtime_ns)

    def still_holds(self, path: Path) -> bool:
        """Whether the file is unchanged. A file that was only copied or touched is read to check."""
        try:
            found = path.stat()
            if found.st_size != self.num_bytes:
                return False
            return found.st_mtime_ns == self.mtime_ns or checksum(path) == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class Part:
    """Consecutive episodes of a data set whose frames share a file.

    Frames are ordered by episode, then by view, then by time.
    """

    number: int
    episodes: range
    """Their places in the data set."""
    lengths: tuple[int, ...]
    """The number of frames of each episode."""
    views: tuple[str, ...]
    size: tuple[int, int]
    folder: Path

    @property
    def pixels_path(self) -> Path:
        """The file of frames, a NumPy array."""
        return self.folder / f"{self.number:05d}.npy"

    @property
    def made_from_path(self) -> Path:
        """The file with their sources; it is written last, so it marks a complete part."""
        return self.folder / f"{self.number:05d}.json"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(frame, height, width, 3) of the file."""
        return sum(self.lengths) * len(self.views), *self.size, 3

    @property
    def num_bytes(self) -> int:
        """The size of the file of frames, without its header."""
        return int(np.prod(self.shape))

    def first(self, place: int, view: str) -> int:
        """The number of the first frame of a view of the episode at a place of the data set."""
        number = self.episodes.index(place)
        before = sum(self.lengths[:number]) * len(self.views)
        return before + self.lengths[number] * self.views.index(view)

    def make(self, dataset: Dataset) -> None:
        """Decode all frames and write them, completely or not at all."""
        files: dict[str, FileState] = {}
        sizes: dict[str, tuple[int, int]] = {}
        self.made_from_path.unlink(missing_ok=True)
        with whole_file(self.pixels_path) as temporary:
            pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=self.shape)
            for place in self.episodes:
                episode = dataset[place]
                for path in dataset.files_of_pixels(place, self.views):
                    name = path.relative_to(dataset.path).as_posix()
                    files[name] = files.get(name) or FileState.of(path)
                for view in self.views:
                    frames, first = episode.view(view).frames, self.first(place, view)
                    sizes[view] = sizes.setdefault(view, frames.size)
                    if sizes[view] != frames.size:
                        raise EpisodeError(
                            f"{episode.id}: view '{view}' is {frames.size} px, in other episodes of "
                            f"{dataset.path} {sizes[view]}; train without a frames_cache"
                        )
                    for start in range(0, len(frames), FRAMES_AT_ONCE):
                        read = frames.read(range(start, min(start + FRAMES_AT_ONCE, len(frames))))
                        fitted = fit_frames(read, self.size).movedim(-3, -1).numpy()
                        pixels[first + start : first + start + len(fitted)] = fitted
            pixels.flush()
            del pixels
        made_from = MadeFrom(VERSION, self._rows(dataset), sizes, files)
        write_json(self.made_from_path, asdict(made_from), indent=None)

    def is_made(self, dataset: Dataset) -> bool:
        """Whether the frames exist, complete, and made from the current recordings."""
        try:
            made_from = MadeFrom.read(self.made_from_path)
            if self.pixels_path.stat().st_size <= self.num_bytes:
                return False
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return False
        if (made_from.version, made_from.rows) != (VERSION, self._rows(dataset)):
            return False
        return all(state.still_holds(dataset.path / name) for name, state in made_from.files.items())

    @cached_property
    def sizes(self) -> Mapping[str, tuple[int, int]]:
        """The recorded size (height, width) of each view."""
        return MadeFrom.read(self.made_from_path).sizes

    @cached_property
    def pixels(self) -> np.ndarray:
        """The memory-mapped file of frames; raises EpisodeError if it is not as written."""
        try:
            pixels = np.load(self.pixels_path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise EpisodeError(f"{self.pixels_path}: cannot be read ({error}); {CURE}") from None
        if pixels.dtype != np.uint8 or pixels.shape != self.shape:
            raise EpisodeError(
                f"{self.pixels_path}: holds {pixels.dtype} {pixels.shape}, not bytes {self.shape}; {CURE}"
            )
        return pixels

    def frames(self, place: int, view: str) -> StoredFrames:
        """One view of the episode at a place of the data set."""
        name = f"{self.pixels_path}, view '{view}'"
        length = self.lengths[self.episodes.index(place)]
        return StoredFrames(self.pixels, name, self.first(place, view), length)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in ("pixels", "sizes")}

    def _rows(self, dataset: Dataset) -> str:
        """A hash of the data set's table entries for the places of these episodes' frames."""
        told = [dataset.place_of_pixels(place, self.views) for place in self.episodes]
        return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


CURE = "delete the folder that it lies in, and the same command makes it again"


@dataclass(frozen=True)
class MadeFrom:
    """The sources of a part: `rows` of the episode table (a hash), and `files` of the data set by name.

    `sizes` are the (height, width) of its views in them.
    """

    version: int
    rows: str
    sizes: Mapping[str, tuple[int, int]]
    files: Mapping[str, FileState] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `make` wrote; raises ValueError, TypeError, KeyError or OSError for others."""
        told = json.loads(path.read_text())
        files = {name: FileState(**state) for name, state in told["files"].items()}
        sizes = {view: (int(height), int(width)) for view, (height, width) in told["sizes"].items()}
        return cls(int(told["version"]), str(told["rows"]), sizes, files)
