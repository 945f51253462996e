"""Arrays from HDF5 files that may be a stranger's: no links out of the file, no absurd sizes."""

from pathlib import Path

import h5py
from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.episodes.readers.folders import MAX_ARRAY_BYTES, as_tensor


def read_dataset(path: Path, name: str, shape: tuple[int | None, ...]) -> Tensor | None:
    """One array as float32, None where the file does not have it; raises EpisodeError where the file is unreadable or odd."""
    if not path.is_file():
        raise EpisodeError(f"{path}: is missing; restore the file or drop the recording")
    try:
        with h5py.File(path, "r") as file:
            found = _inside(file, name, path)
            return None if found is None else as_tensor(found[()], shape, f"{path}: {name}")
    except EpisodeError:
        raise
    except Exception as error:  # h5py raises many kinds for a damaged file
        raise EpisodeError(
            f"{path}: is not a readable HDF5 file ({str(error)[:80]}); restore it or drop the recording"
        ) from None


def _inside(file: h5py.File, name: str, path: Path) -> h5py.Dataset | None:
    """Walks down by hard links only: soft and external ones could lead to any file of this machine."""
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
        raise EpisodeError(
            f"{path}: '{name}' lies in another file or is absurdly large; such files are not read"
        )
    return place
