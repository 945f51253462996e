"""Short hashes of files and rows: a later import sees by them that an episode's source has changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from action_images.episodes.tables import plain_numbers, read_table
from action_images.files.checksum import checksum, checksum_of_ends

DIGITS = 12
"""Hexadecimal digits of a hash."""
NUMBERS = (".csv", ".json", ".npy", ".npz", ".pkl", ".h5", ".txt")
"""Endings of files that are compared whole; of others (videos) the size and both ends are."""


UNREADABLE = (ValueError, TypeError, KeyError, OverflowError, pa.ArrowException)
"""Exceptions for damaged tables."""


def of_text(text: str) -> str:
    """The hash of a text."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]


def of_parts(parts: Mapping[str, Iterable[Path]]) -> dict[str, str]:
    """The hash of each part of an episode: of its files, or folders of pictures, by name and content.

    A missing file counts as such. Pictures in a folder are compared by name and size, videos by size and
    ends.
    """
    return {part: _of_files(paths) for part, paths in parts.items()}


def _of_files(paths: Iterable[Path]) -> str:
    return of_text("\n".join(f"{path.name} {of_path(path)}" for path in paths))


def of_path(path: Path) -> str:
    """What tells a file, or a folder of pictures, from another."""
    # Reading the episode refuses what is unreadable, a pipe or a device.
    try:
        if path.is_dir():
            inside = sorted(path.iterdir())
            return of_text("\n".join(f"{one.name} {one.stat().st_size}" for one in inside))
        if not path.is_file():
            return "missing"
        if path.suffix.lower() in NUMBERS:
            return checksum(path)
        return f"{path.stat().st_size} {checksum_of_ends(path)}"
    except OSError as error:
        return f"unreadable {error.errno}"


def of_rows(path: Path, columns: Sequence[str]) -> dict[int, str]:
    """The hash of each episode's rows in a data file, by `episode_index`: of these columns, in frame order.

    Empty if the file cannot be read; reading its episodes refuses them.
    """
    try:
        return _of_episodes(read_table(path, ["episode_index"], optional=sorted(columns)))
    except UNREADABLE:
        return {}


def _of_episodes(table: pa.Table) -> dict[int, str]:
    episodes, frames = _numbers(table, "episode_index"), _numbers(table, "frame_index")
    order = np.lexsort((frames, episodes))
    table, episodes = table.take(pa.array(order)), episodes[order]
    starts = np.flatnonzero(np.diff(episodes, prepend=episodes[:1] - 1))
    stops = [*starts[1:].tolist(), len(episodes)]
    return {
        int(episodes[start]): _of_table(table.slice(start, stop - start))
        for start, stop in zip(starts.tolist(), stops, strict=True)
    }


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """A column of numbers as float64, or the rows' own order if there is none."""
    if name not in table.column_names:
        return np.arange(table.num_rows, dtype=np.float64)
    return plain_numbers(table[name]).cast(pa.float64(), safe=False).to_numpy()


def _of_table(rows: pa.Table) -> str:
    told = sha256()
    for name in sorted(set(rows.column_names) - {"episode_index"}):
        told.update(name.encode() + b"\0")
        for part in _contents(rows[name].combine_chunks()):
            told.update(part)
    return told.hexdigest()[:DIGITS]


def _contents(column: pa.Array) -> Iterator[bytes]:
    """The numbers of a column as float64 bytes, whatever their type and nesting; other cells as text.

    Of pictures, which are stored as content and file name, the contents count.
    """
    kind = column.type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        for cell in column.field("bytes"):
            yield sha256(cell.as_py() or b"").digest()
        return
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        column, kind = column.flatten(), kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        yield column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).tobytes()
    else:
        yield repr(column.to_pylist()).encode()
