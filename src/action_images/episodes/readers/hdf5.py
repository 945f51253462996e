"""Arrays from untrusted HDF5 files: no links out of the file, no absurd sizes."""

import math
import zlib
from pathlib import Path

import h5py
import numpy as np
import torch
from h5py import h5z  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.episodes.readers.folders import MAX_ARRAY_BYTES, as_array
from action_images.episodes.strangers import check_regular

KNOWN_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
SLACK_BYTES = 64
"""Room for a checksum and for deflate's overhead on incompressible bytes, beyond a chunk's own size."""


def read_dataset(path: Path, name: str, shape: tuple[int | None, ...]) -> Tensor | None:
    """One array as float32; None if the file does not have it.

    Raises EpisodeError if the file is unreadable or irregular.
    """
    numbers = read_numbers(path, name, shape)
    return None if numbers is None else torch.from_numpy(numbers.astype(np.float32))


def read_numbers(path: Path, name: str, shape: tuple[int | None, ...]) -> np.ndarray | None:
    """One array as float64, which times in milliseconds need."""
    check_regular(path)
    if not path.is_file():
        raise EpisodeError(f"{path}: is missing; restore the file or drop the recording")
    try:
        with h5py.File(path, "r") as file:
            found = _inside(file, name, path)
            return None if found is None else as_array(found[()], shape, f"{path}: {name}")
    except EpisodeError:
        raise
    except Exception as error:  # h5py raises many kinds for a damaged file
        reason = str(error)[:80]
        raise EpisodeError(
            f"{path}: is not a readable HDF5 file ({reason}); restore it or drop the recording"
        ) from None


def _inside(file: h5py.File, name: str, path: Path) -> h5py.Dataset | None:
    """Follow hard links only: soft and external ones could lead to any file of this machine."""
    place: h5py.Group | h5py.Dataset | h5py.Datatype = file
    for part in name.split("/"):
        if not isinstance(place, h5py.Group) or part not in place:
            return None
        if not isinstance(place.get(part, getlink=True), h5py.HardLink):
            raise EpisodeError(f"{path}: '{name}' is a link to somewhere else; such files are not read")
        place = place[part]
    if not isinstance(place, h5py.Dataset) or place.dtype.kind not in "biuf":
        raise EpisodeError(f"{path}: '{name}' is no array of numbers; restore the file")
    if place.external or place.is_virtual or place.nbytes > MAX_ARRAY_BYTES:
        told = "lies in another file or is absurdly large"
        raise EpisodeError(f"{path}: '{name}' {told}; such files are not read")
    if place.chunks is not None:
        _check_chunks(place, name, path)
    return place


def _check_chunks(place: h5py.Dataset, name: str, path: Path) -> None:
    """Raise EpisodeError if a chunk unpacks to more than it may hold, since HDF5 itself would unpack all of
    it.
    """
    pipeline = place.id.get_create_plist()
    filters = [pipeline.get_filter(number)[0] for number in range(pipeline.get_nfilters())]
    if not set(filters) <= KNOWN_FILTERS or filters.count(h5z.FILTER_DEFLATE) > 1:
        raise EpisodeError(
            f"{path}: '{name}' is packed in a way that is not read; run 'h5repack -f GZIP=4' on it"
        )
    whole = math.prod(place.chunks or ()) * place.dtype.itemsize
    if whole > MAX_ARRAY_BYTES:
        raise EpisodeError(f"{path}: '{name}' has chunks of {whole >> 20} MB; such files are not read")
    for number in range(place.id.get_num_chunks()):
        info = place.id.get_chunk_info(number)
        told = info.size <= whole + SLACK_BYTES and info.filter_mask == 0
        if not told or not _fits(place, info.chunk_offset, whole, is_packed=h5z.FILTER_DEFLATE in filters):
            limit = f"unpack to more than the {whole} bytes that they may hold"
            raise EpisodeError(f"{path}: '{name}' has chunks that {limit}; the file is damaged")


def _fits(place: h5py.Dataset, offset: tuple[int, ...], whole: int, *, is_packed: bool) -> bool:
    _, stored = place.id.read_direct_chunk(offset)
    if not is_packed:
        return len(stored) <= whole + SLACK_BYTES
    return len(zlib.decompressobj().decompress(stored, whole + SLACK_BYTES)) < whole + SLACK_BYTES
