"""Parquet files: read with bounds, written whole or not at all."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from action_images.data.episode import EpisodeError
from action_images.data.video import commit_file

MAX_TABLE_BYTES = 4 << 30


def read_table(path: Path, columns: list[str] | None = None, episode_index: int | None = None) -> pa.Table:
    """A parquet file, or some columns of one episode of it; raises EpisodeError where it is missing, broken or absurdly large."""
    try:
        with pq.ParquetFile(path) as file:
            _check_size(path, file, columns)
            names = file.schema_arrow.names
            missing = sorted(set(columns or ()) - set(names))
            if missing:
                raise EpisodeError(f"{path}: lacks the columns {', '.join(missing)}; restore the file")
            if episode_index is None:
                return file.read(columns, use_threads=False)
            return _rows_of_episode(file, columns, episode_index)
    except FileNotFoundError:
        raise EpisodeError(f"{path}: is missing; restore the file") from None
    except EpisodeError:
        raise
    # Damaged metadata reaches Python as names that are no text and numbers that do not fit, not only as Arrow's own errors.
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EpisodeError(f"{path}: is not a readable parquet file ({reason[:120]}); restore it") from None


def _rows_of_episode(file: pq.ParquetFile, columns: list[str] | None, episode_index: int) -> pa.Table:
    """Reads the row groups alone whose statistics admit the episode."""
    place = file.schema_arrow.get_field_index("episode_index")
    if place < 0:
        raise ValueError("it has no column 'episode_index', or two")
    groups = [
        group for group in range(file.num_row_groups) if _may_hold(file.metadata.row_group(group).column(place).statistics, episode_index)
    ]
    wanted = None if columns is None else [*columns, "episode_index"]
    table = file.read_row_groups(groups, wanted, use_threads=False)
    return table.filter(pa.array(table["episode_index"].to_numpy() == episode_index))


def _may_hold(statistics, episode_index: int) -> bool:
    return statistics is None or not statistics.has_min_max or statistics.min <= episode_index <= statistics.max


def _check_size(path: Path, file: pq.ParquetFile, columns: list[str] | None) -> None:
    groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
    parts = (group.column(i) for group in groups for i in range(group.num_columns))
    total = sum(part.total_uncompressed_size for part in parts if columns is None or part.path_in_schema.split(".list")[0] in columns)
    if total > MAX_TABLE_BYTES:
        raise EpisodeError(f"{path}: unpacks to {total >> 20} MB, beyond what is read; the file is damaged")


def write_table(path: Path, table: pa.Table, index: str | None = None) -> None:
    """Write a parquet file in one step; `index` names the column that pandas takes for row names."""
    if index is not None:
        table = table.replace_schema_metadata({"pandas": json.dumps(_pandas(table, index))})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".parquet.part")
    pq.write_table(table, temporary, compression="snappy")
    commit_file(temporary, path)


def _pandas(table: pa.Table, index: str) -> dict:
    """What pandas stores beside a table to find its index again."""
    kinds = {
        name: ("unicode", "object") if pa.types.is_string(kind) else ("int64", "int64")
        for name, kind in zip(table.column_names, table.schema.types, strict=True)
    }
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy_type, "metadata": None}
        for name, (kind, numpy_type) in kinds.items()
    ]
    return {"index_columns": [index], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
