"""Parquet files: read with limits, written completely or not at all."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from action_images.episodes.names import EpisodeError
from action_images.episodes.strangers import check_regular
from action_images.errors import ActionImagesError
from action_images.files import checksum
from action_images.files.atomic import whole_file

MAX_TABLE_BYTES = 4 << 30
ROWS_PER_GROUP = 512
"""Rows that are unpacked together: opening one episode out of thousands reads only its group or two."""


def content_of(folder: Path) -> str:
    """A hash of a data set's content, from its episode table, which has statistics of all pixels."""
    tables = sorted(folder.glob("meta/episodes/*/*.parquet"))
    return sha256("".join(checksum.checksum(path) for path in tables).encode()).hexdigest()


def read_table(
    path: Path,
    columns: list[str] | None = None,
    episode_index: int | None = None,
    *,
    optional: Sequence[str] = (),
    max_bytes: int = MAX_TABLE_BYTES,
) -> pa.Table:
    """A parquet file, or some columns of one episode of it; `optional` columns are read if it has them.

    Raises EpisodeError if the file is missing, broken, absurdly large, or lacks one of `columns`.
    """
    with _readable(path), pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        missing = sorted(set(columns or ()) - set(names))
        if missing:
            raise EpisodeError(f"{path}: lacks the columns {', '.join(missing)}; restore the file")
        wanted = None if columns is None else [*columns, *(name for name in optional if name in names)]
        if episode_index is None:
            return _read(path, file, wanted, None, max_bytes)
        groups = [
            group
            for group, held in enumerate(_episodes_of(path))
            if held and held[0] <= episode_index <= held[1]
        ]
        kept = None if wanted is None else [*wanted, "episode_index"]
        table = _read(path, file, kept, groups, max_bytes)
        return table.filter(pa.array(table["episode_index"].to_numpy() == episode_index))


def column_names(path: Path) -> list[str]:
    """The columns of a parquet file; raises EpisodeError if it is missing or broken."""
    with _readable(path), pq.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


def episodes_in(path: Path) -> list[int]:
    """The episodes that have rows in a data file, ascending.

    Raises EpisodeError if it is missing or broken.
    """
    return sorted(set(read_table(path, ["episode_index"])["episode_index"].to_pylist()))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn any error of Arrow about a damaged file into one with a remedy."""
    check_regular(path)
    try:
        yield
    except FileNotFoundError:
        raise EpisodeError(f"{path}: is missing; restore the file") from None
    except EpisodeError:
        raise
    # Damaged metadata also reaches Python as names that are no text or occur twice, and as numbers that do
    # not fit.
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EpisodeError(f"{path}: is not a readable parquet file ({reason[:120]}); restore it") from None


def _read(
    path: Path,
    file: pq.ParquetFile,
    columns: list[str] | None,
    groups: list[int] | None,
    max_bytes: int = MAX_TABLE_BYTES,
) -> pa.Table:
    """Row groups (None: all), read in pieces: the size that a file claims may be false.

    Only the unpacked size is certain.
    """
    batches, num_bytes = [], 0
    for batch in file.iter_batches(row_groups=groups, columns=columns, use_threads=False):
        num_bytes += batch.nbytes
        if num_bytes > max_bytes:
            limit = f"more than {max_bytes >> 20} MB, beyond what is read"
            raise EpisodeError(f"{path}: unpacks to {limit}; the file is damaged")
        batches.append(batch)
    if batches:
        return pa.Table.from_batches(batches)
    table = file.schema_arrow.empty_table()
    return table if columns is None else table.select(columns)


def _episodes_of(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """The lowest and highest episode index in each row group; None if a group is empty."""
    state = path.stat()
    return _episodes_of_version(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _episodes_of_version(path: str, mtime_ns: int, num_bytes: int) -> tuple[tuple[int, int] | None, ...]:  # noqa: ARG001 the file's version
    # Read the column itself, not its statistics: Arrow ends the process if Python asks for damaged metadata
    # of a column chunk, but raises if it reads the column.
    with pq.ParquetFile(path) as file:
        if "episode_index" not in file.schema_arrow.names:
            raise ActionImagesError("it has no column 'episode_index'")
        read = partial(_read, Path(path), file, ["episode_index"])
        columns = (read([group])["episode_index"].to_numpy() for group in range(file.num_row_groups))
        return tuple(
            (column.min().item(), column.max().item()) if len(column) else None for column in columns
        )


def plain_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of numbers as such, if each is stored as a list of one or as a decimal."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        cells = column.to_pylist()
        if all(cell is not None and len(cell) == 1 for cell in cells):
            column = pa.chunked_array([pa.array([cell[0] for cell in cells], kind.value_type)])
    return column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column


def write_table(path: Path, table: pa.Table, index: str | None = None) -> None:
    """Write a parquet file in one step; `index` names the column that pandas uses as row names."""
    if index is not None:
        table = table.replace_schema_metadata({"pandas": json.dumps(_pandas(table, index))})
    with whole_file(path, has_suffix=False) as temporary:
        pq.write_table(table, temporary, compression="snappy", row_group_size=ROWS_PER_GROUP)


def _pandas(table: pa.Table, index: str) -> dict:
    """The metadata by which pandas restores a table's index."""
    kinds = {
        name: ("unicode", "object") if pa.types.is_string(kind) else ("int64", "int64")
        for name, kind in zip(table.column_names, table.schema.types, strict=True)
    }
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_type, "metadata": None}
        for name, (kind, numpy_type) in kinds.items()
    ]
    return {"index_columns": [index], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
