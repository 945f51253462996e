"""Adding episodes to a data set on disk, each completely or not at all."""

import json
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from action_images.episodes import lerobot_layout as layout
from action_images.episodes import statistics
from action_images.episodes.encoded_episode import Encoded, check_fits, encode_episode
from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.set_card import card_of
from action_images.episodes.tables import read_table, write_table
from action_images.episodes.video import CODECS, Codec
from action_images.files.atomic import commit_file, remove_leftovers, write_json, write_text
from action_images.files.lock import take_lock

ROWS_PER_FILE = 8192
EPISODES_PER_FILE = 500
STAGING = ".action-images-staging"
"""The folder of episodes that are not yet stored; a killed writer leaves it, the next one removes it."""


class DatasetWriter:
    """Writes and appends to one data set: a LeRobotDataset v3 with columns for cameras and tool poses
    (docs/data.md).

    An episode exists once the episode table that names it has been renamed into place. A writer that is
    killed, or a write that fails, leaves the data set as it was after the last complete episode. Every file
    depends only on the episodes and their order: however often the writer was stopped in between, the same
    episodes give the same bytes. The views and sizes are those of the first episode.
    """

    def __init__(self, path: Path, fps: float, crf: int = 18, codec: Codec = "h264"):
        self.path, self.fps, self.crf = Path(path), fps, crf
        self.codec: Codec = codec
        (self.path / "meta").mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        self.ids: set[str] = set()
        self.sizes: dict[str, tuple[int, int]] | None = None
        self.num_frames = 0
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._rows: list[pa.Table] = []
        self._file_starts = {"episodes": 0, "data": 0}
        self._infos: dict[str, Any] = {}
        try:
            self._resume() if (self.path / layout.INFO).exists() else self._see_that_it_is_new()
        except BaseException:
            self._lock.release()
            raise
        self._staging = self.path / STAGING
        self._clean()
        self._staging.mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, episode: Episode) -> None:
        """Store an episode; raises EpisodeError, with the data set unchanged, if it cannot be stored.

        It must be valid (`Episode.check`), new, and have the data set's views, sizes and frame rate.
        """
        with self.staging() as folder:
            self.commit(encode_episode(episode, Path(folder), self.crf, self.codec))

    def staging(self) -> tempfile.TemporaryDirectory:
        """A folder on the data set's disk for `encode_episode`, in this process or another."""
        return tempfile.TemporaryDirectory(dir=self._staging)

    def commit(self, encoded: Encoded) -> None:
        """Store an episode that is already encoded; moves its video files away."""
        if encoded.id in self.ids:
            raise EpisodeError(f"{encoded.id}: is in {self.path} already; give each episode an id of its own")
        sizes = self.sizes or encoded.sizes
        check_fits(encoded, sizes, self.fps)
        number = len(self.ids)
        if number == 0:
            # Without it the first episode could not be read, and its files would look foreign.
            self._write_info(sizes)
        for view, video in encoded.videos.items():
            target = self.path / layout.numbered(layout.VIDEOS, number, video_key=layout.IMAGES + view)
            target.parent.mkdir(parents=True, exist_ok=True)
            commit_file(video, target)
        # Tasks and rows without an episode do no harm; the episode table comes last and makes them valid.
        # Until then this writer stays as it was: if the disk is full, the next episode is stored as if this
        # one had not been tried.
        tasks = self._with_task(encoded.instruction)
        rows, data_file = self._with_rows(encoded, number, tasks[encoded.instruction or ""])
        episodes, first_episode = self._with_episode(encoded, number, data_file)
        self.sizes, self._tasks, self._rows, self._episodes = sizes, tasks, rows, episodes
        self._file_starts = {"episodes": first_episode, "data": data_file}
        self.ids.add(encoded.id)
        self.num_frames += encoded.num_frames
        self._write_info(sizes)

    def close(self) -> None:
        """Write the statistics over all episodes and release the data set."""
        if not self._lock.is_locked:
            return
        if self.ids:
            self._write_statistics()
            if not (self.path / layout.CARD).exists():  # keep a card that somebody wrote
                write_text(self.path / layout.CARD, card_of(layout.read_info(self.path)))
        shutil.rmtree(self._staging, ignore_errors=True)
        self._lock.release()

    def _locked(self):
        lock = take_lock(self.path / "meta")
        if lock is None:
            raise EpisodeError(
                f"{self.path}: another process is writing to this data set; wait for it to end"
            )
        return lock

    def _clean(self) -> None:
        """Remove what a killed writer left behind."""
        shutil.rmtree(self._staging, ignore_errors=True)
        remove_leftovers(self.path)
        for pattern in ("meta", "meta/*", "meta/episodes/*", "data/*"):
            for folder in self.path.glob(pattern):
                remove_leftovers(folder)

    def _see_that_it_is_new(self) -> None:
        for folder in ("meta/episodes", "data", "videos"):
            found = next((path for path in (self.path / folder).rglob("*") if path.is_file()), None)
            if found is not None:
                cure = "restore that file, or write to another folder"
                raise EpisodeError(f"{self.path}: has {found} but no {layout.INFO}; {cure}")

    def _resume(self) -> None:
        info = layout.read_info(self.path)
        self.sizes = {
            view: tuple(info["features"][key]["shape"][:2]) for view, key in layout.view_keys(info).items()
        }
        ours = json.loads(json.dumps(layout.features(self.sizes, info["fps"])))
        if _columns(info["features"]) != _columns(ours):
            told = "was not written by action-images, so it is not appended to"
            raise EpisodeError(f"{self.path}: {told}; import it into a new data set")
        tables = [read_table(path) for path in sorted(self.path.glob("meta/episodes/*/*.parquet"))]
        if not tables and info.get("total_episodes"):
            told = f"{layout.INFO} tells of {info['total_episodes']} episodes, meta/episodes has none"
            raise EpisodeError(f"{self.path}: {told}; restore that folder")
        if any("episode_id" not in table.column_names or table["episode_id"].null_count for table in tables):
            told = "other programs have changed or added episodes since, so it is not appended to"
            raise EpisodeError(f"{self.path}: {told}; import it into a new data set")
        if not tables:  # the earlier writer stored nothing and blocks nobody
            self.sizes = None
            return
        videos = [info["features"][key].get("info", {}) for key in layout.view_keys(info).values()]
        codec = next((video["video.codec"] for video in videos if "video.codec" in video), self.codec)
        if codec != self.codec:
            cure = f"go on with --codec {codec}" if codec in CODECS else "write another data set"
            raise EpisodeError(f"{self.path}: its videos are {codec}, not {self.codec}; {cure}")
        if abs(info["fps"] - self.fps) > 1e-6:
            rates = f"{info['fps']:g} frames/s, not {self.fps:g}"
            raise EpisodeError(f"{self.path}: runs at {rates}; write another data set")
        self.ids = set().union(*(table["episode_id"].to_pylist() for table in tables))
        self._tasks = {
            row["task"]: row["task_index"] for row in read_table(self.path / layout.TASKS).to_pylist()
        }
        self._infos = {key: feature["info"] for key, feature in info["features"].items() if "info" in feature}
        self._episodes = tables[-1].to_pylist()
        self._file_starts["episodes"] = len(self.ids) - len(self._episodes)
        last = self._episodes[-1]
        self.num_frames = last["dataset_to_index"]
        self._reopen_rows(last)
        self._write_info(self.sizes)  # an earlier writer may have been killed before writing this

    def _reopen_rows(self, last: dict[str, Any]) -> None:
        chunk, file = last["data/chunk_index"], last["data/file_index"]
        rows = read_table(layout.fill(self.path, layout.DATA, chunk_index=chunk, file_index=file))
        known = rows.slice(
            0, self.num_frames - rows["index"][0].as_py()
        )  # rows beyond this were never committed
        self._file_starts["data"] = chunk * layout.FILES_PER_CHUNK + file
        self._rows = [known]

    def _with_task(self, instruction: str | None) -> dict[str, int]:
        """The tasks with an instruction added, after writing them.

        LeRobot needs a task for each frame: an episode without an instruction gets the empty one.
        """
        task = instruction or ""
        if task in self._tasks:
            return self._tasks
        tasks = self._tasks | {task: len(self._tasks)}
        table = pa.table({"task": list(tasks), "task_index": pa.array(tasks.values(), pa.int64())})
        write_table(self.path / layout.TASKS, table, index="task")
        return tasks

    def _with_rows(self, encoded: Encoded, number: int, task_index: int) -> tuple[list[pa.Table], int]:
        """Write the last data file's rows with the episode's frames, or these alone as the next file.

        Returns the tables and the file's number.
        """
        full = sum(table.num_rows for table in self._rows) >= ROWS_PER_FILE
        before, file = (
            ([], self._file_starts["data"] + 1) if full else (self._rows, self._file_starts["data"])
        )
        count = np.arange(encoded.num_frames)
        arrays = {key: _fixed(values) for key, values in encoded.columns.items()}
        arrays["timestamp"] = pa.array((count / self.fps).astype(np.float32))
        whole = {
            "frame_index": count,
            "episode_index": number,
            "index": self.num_frames + count,
            "task_index": task_index,
        }
        for key, values in whole.items():
            arrays[key] = pa.array(np.broadcast_to(values, count.shape).astype(np.int64))
        rows = [*before, pa.table(arrays)]
        # Use one schema and one chunk, so that new rows and rows read back give the same bytes.
        table = pa.concat_tables([part.cast(rows[-1].schema) for part in rows]).combine_chunks()
        write_table(self.path / layout.numbered(layout.DATA, file), table)
        return rows, file

    def _with_episode(
        self, encoded: Encoded, number: int, data_file: int
    ) -> tuple[list[dict[str, Any]], int]:
        """Write the last episode table's rows with this one, or it alone as the next table.

        Returns the rows and the number of that table's first episode.
        """
        full = len(self._episodes) >= EPISODES_PER_FILE
        before, first = ([], number) if full else (self._episodes, self._file_starts["episodes"])
        file = first // EPISODES_PER_FILE
        row = {
            "episode_index": number,
            "episode_id": encoded.id,
            "tasks": [] if encoded.instruction is None else [encoded.instruction],
        }
        row |= {"length": encoded.num_frames, "dataset_from_index": self.num_frames}
        row |= {"dataset_to_index": self.num_frames + encoded.num_frames, **_place("data", data_file)}
        for view in encoded.sizes:
            key = f"videos/{layout.IMAGES}{view}"
            row |= {
                **_place(key, number),
                f"{key}/from_timestamp": 0.0,
                f"{key}/to_timestamp": encoded.num_frames / self.fps,
            }
        row |= _place("meta/episodes", file)
        for key, values in encoded.statistics.items():
            row |= {f"stats/{key}/{name}": numbers for name, numbers in statistics.as_json(values).items()}
        episodes = [*before, row]
        tasks = pa.array([row["tasks"] for row in episodes], pa.list_(pa.string()))
        table = pa.Table.from_pylist(episodes)
        write_table(
            self.path / layout.numbered(layout.EPISODES, file),
            table.set_column(table.schema.get_field_index("tasks"), "tasks", tasks),
        )
        return episodes, first

    def _write_info(self, sizes: dict[str, tuple[int, int]]) -> None:
        count = len(self.ids)
        info = {
            "codebase_version": layout.VERSION,
            "robot_type": None,
            "total_episodes": count,
            "total_frames": self.num_frames,
        }
        info |= {"total_tasks": len(self._tasks), "chunks_size": layout.FILES_PER_CHUNK}
        info |= {"data_files_size_in_mb": 100, "video_files_size_in_mb": 200, "fps": layout.whole(self.fps)}
        info |= {"splits": {"train": f"0:{count}"}, "data_path": layout.DATA, "video_path": layout.VIDEOS}
        features = layout.features(sizes, self.fps, self.codec)
        for key, own in self._infos.items():  # keep values that somebody wrote
            features[key]["info"] = own
        write_json(self.path / layout.INFO, info | {"features": features}, indent=4)

    def _write_statistics(self) -> None:
        rows: list[dict[str, Any]] = []
        for path in sorted(self.path.glob("meta/episodes/*/*.parquet")):
            rows += read_table(path).to_pylist()
        write_json(self.path / layout.STATS, statistics.over_all(rows), indent=4)


def _columns(features: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The features of the columns without their `info`, which is free for any remarks."""
    return {key: _without_info(feature) for key, feature in features.items()}


def _without_info(feature: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in feature.items() if name != "info"}


def _fixed(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[-1])


def _place(key: str, number: int) -> dict[str, int]:
    chunk, file = divmod(number, layout.FILES_PER_CHUNK)
    return {f"{key}/chunk_index": chunk, f"{key}/file_index": file}
