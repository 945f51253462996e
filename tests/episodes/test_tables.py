"""Damaged parquet files are refused in one sentence."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from action_images.episodes.episode import EpisodeError
from action_images.episodes.tables import read_table


def write(path: Path, **columns: list[int]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_table_without_the_episodes_column_is_refused(tmp_path):
    with pytest.raises(EpisodeError, match=r"rows\.parquet.*no column 'episode_index'.*restore it"):
        read_table(write(tmp_path / "rows.parquet", state=[1, 2]), ["state"], 0)


def test_a_column_name_that_is_no_text_is_refused(tmp_path):
    path = write(tmp_path / "rows.parquet", episode_index=[0, 0], state=[1, 2])
    path.write_bytes(path.read_bytes().replace(b"state", b"\xd2tate"))
    with pytest.raises(EpisodeError, match=r"rows\.parquet.*restore it"):
        read_table(path, ["state"], 0)


def test_the_rows_of_one_episode_come_alone(tmp_path):
    path = write(tmp_path / "rows.parquet", episode_index=[0, 1, 1], state=[1, 2, 3])
    assert read_table(path, ["state"], 1)["state"].to_pylist() == [2, 3]
