"""Whether the rows of a LeRobotDataset belong to the episodes that they name, by their running number."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.strangers import check_inside
from action_images.episodes.tables import plain_numbers, read_table

COLUMNS = ("episode_index", "index")


def told_order(dataset: Dataset) -> str | None:
    """A remark on the first episode whose rows lie before those of the episode before; None if all follow.

    `index` numbers all rows of a set, so it grows with the number of the episode. Tables that cannot be read
    are refused with their episodes.
    """
    for path in sorted(dataset.path.glob("data/*/*.parquet")):
        with suppress(EpisodeError, ValueError):
            check_inside(dataset.path, path)
            found = _out_of_order(path)
            if found is not None:
                lies = f"by 'index' the rows of episode {found} lie before those of the episode before it"
                return f"{lies} ({path.name}); were rows of two episodes exchanged?"
    return None


def _out_of_order(path: Path) -> int | None:
    """The number of the first episode in a data file whose rows have smaller indices than the one before."""
    table = read_table(path, optional=COLUMNS, columns=[])
    if set(COLUMNS) - set(table.column_names):
        return None
    columns = [plain_numbers(table[name]) for name in COLUMNS]
    if any(column.null_count or not pa.types.is_integer(column.type) for column in columns):
        return None
    episodes, rows = (column.to_numpy() for column in columns)
    order = np.lexsort((rows, episodes))
    episodes, rows = episodes[order], rows[order]
    starts = np.flatnonzero(np.diff(episodes, prepend=episodes[:1] - 1))
    back = np.flatnonzero(np.diff(rows[starts]) < 0)
    return int(episodes[starts[back[0] + 1]]) if len(back) else None
