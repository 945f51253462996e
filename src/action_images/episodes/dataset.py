"""Data sets on disk: opened lazily, written and appended by `DatasetWriter`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.episode import Episode, EpisodeError, Frames, View
from action_images.episodes.episode_table import EpisodeTable, LeaveOut, is_place
from action_images.episodes.row_order import gaps, in_order, row_times
from action_images.episodes.row_values import Numbers, camera_of, path_of, stored_pictures, told_of
from action_images.episodes.tables import episodes_in, read_table
from action_images.episodes.video import VideoFrames
from action_images.episodes.video_places import Claim, pictures_of, told_of_file
from action_images.episodes.words import Part, parts_of, read_texts, task_columns, texts_told
from action_images.episodes.writer import DatasetWriter
from action_images.geometry import Trajectory

__all__ = ["Dataset", "DatasetWriter"]

MAX_OPEN_EPISODES = 4096
"""Opened episodes that are cached: each holds some numbers and no pixels; training returns to them."""
MAX_OPEN_WITH_PICTURES = 8
"""The same limit if the numbers include pictures, whose bytes an opened episode holds."""
VIDEO_PLACE = ("chunk_index", "file_index", "from_timestamp")
"""Columns of meta/episodes with the place of each view's video: the file, and the start in it (s)."""
ROW_COLUMNS = ("frame_index", "timestamp")
"""Columns with the place of a row in time, if a file has them."""


class Dataset:
    """The episodes of a LeRobotDataset v3, ours or another's; videos are decoded when frames are requested.

    Without the columns for cameras and tool poses (docs/data.md), cameras and trajectories are None. Raises
    EpisodeError, naming the file and the remedy, for inconsistent data. If `leave_out` is given, it is called
    with each row of the episode table that cannot be an episode, and the reason. The other rows are then
    opened. With `told`, episodes also have the arm's commands. If `wanted` names views, unusable names of
    other views are ignored.
    """

    def __init__(
        self,
        path: Path,
        leave_out: LeaveOut | None = None,
        *,
        told: bool = False,
        wanted: Sequence[str] = (),
    ):
        self.path, self.with_told = Path(path), told
        self.info = layout.read_info(self.path)
        self.fps: float = self.info["fps"]
        self._views = layout.view_keys(self.info, wanted)
        videos = [key for key in self._views.values() if self.info["features"][key]["dtype"] == "video"]
        self._table = EpisodeTable(self.path, videos, leave_out)
        self.ids: list[str] = self._table.table["episode_id"].to_pylist()
        self._task_columns: dict[tuple[float, float], dict[int, np.ndarray]] = {}
        self._told_apart: set[str] = set()
        self._remember()

    @property
    def impossible(self) -> dict[str, str]:
        """Reasons why rows of the episode table were left out, by a name for each row."""
        return self._table.impossible

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Episode:
        """The episode at this index.

        Raises IndexError beyond the last, and EpisodeError if it is damaged.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} episodes, number {index} was asked for")
        return self._load(index % len(self))

    def numbered(self, number: int) -> Episode:
        """The episode of a number that a person gave.

        Raises EpisodeError if there is none; negative numbers are refused.
        """
        if not 0 <= number < len(self):
            raise EpisodeError(
                f"{self.path}: has episodes 0 to {len(self) - 1}, number {number} was asked for"
            )
        return self[number]

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        anew = ("_load", "_task_columns")
        return {name: value for name, value in self.__dict__.items() if name not in anew}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._task_columns = {}
        self._remember()

    def _remember(self) -> None:
        pictures = any(self.info["features"][key]["dtype"] == "image" for key in self._views.values())
        self._load = lru_cache(maxsize=MAX_OPEN_WITH_PICTURES if pictures else MAX_OPEN_EPISODES)(self._read)

    def length(self, index: int) -> int:
        """Number of frames of an episode, without opening it."""
        return int(self._table.table["length"][index].as_py())

    def draws_actions(self, index: int, views: Iterable[str]) -> bool:
        """Whether an episode has tool poses and these views are calibrated, by its statistics.

        True if the statistics do not tell.
        """
        keys = [layout.STATE]
        for view in views:
            keys += [f"{layout.CAMERAS}{view}.intrinsics", f"{layout.CAMERAS}{view}.world_from_camera"]
        return layout.is_tool_pose(self.info["features"].get(layout.STATE, {})) and self._known(index, keys)

    def commands_poses(self, index: int) -> bool:
        """Whether an episode has commanded poses, by its statistics; True if they do not tell."""
        is_pose = layout.is_tool_pose(self.info["features"].get(layout.ACTION, {}))
        return is_pose and self._known(index, [layout.ACTION])

    def _known(self, index: int, keys: Sequence[str]) -> bool:
        """Whether an episode has numbers in each of these features; True if the statistics do not tell."""
        table = self._table.table
        if any(key not in self.info["features"] for key in keys):
            return False
        counts = [f"stats/{key}/count" for key in keys]
        columns = [name for name in counts if name in table.column_names]
        return all(table[name][index].as_py() != [0] for name in columns)

    def instruction(self, index: int) -> str | None:
        """An episode's first instruction, without opening its videos; None if there is none."""
        try:
            return self.words(index)[0].text
        except EpisodeError:  # opening the episode reports the error
            return next(iter(texts_told(self._table.row(index).get("tasks"))), None)

    def words(self, index: int) -> list[Part]:
        """An episode's instructions frame by frame, by `task_index`.

        Raises EpisodeError if they cannot be read, or if frames have a task without a text.
        """
        row = self._table.row(index)
        place = row["data/chunk_index"], row["data/file_index"]
        if place not in self._task_columns:
            self._task_columns[place] = task_columns(self._data_file(row))
        tasks = self._task_columns[place].get(row["episode_index"], np.empty(0, int))
        parts = parts_of(row["episode_id"], tasks.tolist(), self._texts(), row.get("tasks"))
        return [Part(0, row["length"], parts[0].text)] if len(parts) == 1 else parts

    def told(self, index: int) -> list[str]:
        """The instructions in meta/episodes: a copy of the words, which may be stale."""
        return texts_told(self._table.row(index).get("tasks"))

    def column(self, index: int, feature: str) -> list[Any]:
        """A feature's values in all frames of an episode, in the order of the frames."""
        if feature not in self.info["features"]:
            has = ", ".join(self.info["features"])
            raise EpisodeError(f"{self.path}: has no feature '{feature[:80]}'; it has {has}")
        return self._rows(self._table.row(index), [feature], with_gaps=True)[feature].to_pylist()

    def gaps(self, index: int) -> dict[int, int]:
        """The rows of an episode before which others are left out, and how many frames these are.

        Raises EpisodeError as opening it does.
        """
        row = self._table.row(index)
        return gaps(self._rows(row, [], with_gaps=True), self.fps, row["episode_id"])

    @property
    def view_names(self) -> tuple[str, ...]:
        """The views that every episode has."""
        return tuple(self._views)

    def view_shape(self, name: str) -> tuple[int, int]:
        """(height, width) of a view in info.json."""
        feature = self.info["features"][self._views[name]]
        shape = list(feature["shape"])
        height, width = shape[1:] if layout.channel_axis(feature) == 0 else shape[:2]
        return height, width

    def _texts(self) -> dict[int, str] | None:
        if not hasattr(self, "_read_texts"):
            self._read_texts = read_texts(self.path)
        return self._read_texts

    def _read(self, index: int) -> Episode:
        row = self._table.row(index)
        return self.selected(index, tuple(self._views), self._one_task(index, row))

    def _one_task(self, index: int, row: dict[str, Any]) -> str | None:
        """An episode's instruction; raises EpisodeError if it changes within the episode."""
        words = self.words(index)
        if len(words) > 1:
            raise EpisodeError(
                f"{row['episode_id']}: its task changes at frame {words[1].start} (from {words[0].text!r} to "
                f"{words[1].text!r}); 'action-images import' cuts it there"
            )
        return words[0].text

    def selected(
        self, index: int, views: Sequence[str], instruction: str | None, *, with_gaps: bool = False
    ) -> Episode:
        """An episode with some of its views, in the data set's order, and with this instruction.

        Not cached. `with_gaps`: rows may be left out (`gaps`), for a caller who cuts there.
        """
        row = self._table.row(index)
        rows = self._rows(row, self._wanted(views), with_gaps=with_gaps)
        opened = partial(self._view, row=row, rows=rows, with_gaps=with_gaps)
        taken = tuple(opened(name) for name in self._views if name in views)
        path, told = self._paths(rows, row)
        return Episode(row["episode_id"], instruction, self.fps, taken, path, told=told)

    def numbers(self, index: int, sizes: Mapping[str, tuple[int, int]]) -> Numbers:
        """Everything in an episode but its pictures: no video is opened.

        `sizes` are the (height, width) of the views whose cameras are wanted, as their videos have them.
        """
        row = self._table.row(index)
        rows = self._rows(row, self._wanted(()))
        cameras = {name: camera_of(rows, name, size, row) for name, size in sizes.items()}
        words = self._one_task(index, row)
        path, told = self._paths(rows, row)
        return Numbers(row["episode_id"], words, cameras, path, told)

    def _paths(self, rows: pa.Table, row: dict[str, Any]) -> tuple[Trajectory | None, Trajectory | None]:
        """The tool's path, and the commanded one if it was asked for."""
        path = path_of(rows, row, self.info)
        told = None if path is None or not self.with_told else told_of(rows, row, self.info, path)
        return path, told

    def place_of_pixels(self, index: int, views: Sequence[str]) -> dict[str, Any]:
        """The entries of meta/episodes that locate the pictures of these views."""
        keys = [self._views[view] for view in views]
        row = self._table.row(index)
        names = [*layout.DATA_PLACE, *(f"videos/{key}/{part}" for key, part in product(keys, VIDEO_PLACE))]
        return {name: row.get(name) for name in ("episode_id", "length", *names)}

    def files_of_pixels(self, index: int, views: Sequence[str]) -> list[Path]:
        """The files with the pictures of these views, and the file that assigns them to the episode."""
        row = self._table.row(index)
        files = [self._data_file(row)]
        for key in (self._views[view] for view in views):
            if self.info["features"][key]["dtype"] == "video":
                chunk, file = (int(row[f"videos/{key}/{part}"]) for part in VIDEO_PLACE[:2])
                files.append(self._video_file(key, chunk, file))
        return files

    def content(
        self, places: Sequence[int], views: Sequence[str]
    ) -> tuple[dict[str, Any], list[Path], list[Path]]:
        """What identifies some episodes: entries of the tables, the tables' files, and the videos' files."""
        keys = [self._views[view] for view in views]
        videos = [key for key in keys if self.info["features"][key]["dtype"] == "video"]
        columns = [f"videos/{key}/{part}" for key, part in product(videos, VIDEO_PLACE)]
        names = ["episode_id", "tasks", *layout.DATA_PLACE, *columns]
        known = [name for name in names if name in self._table.table.column_names]
        rows = self._table.table.select(known).take(pa.array(places, pa.int64())).to_pylist()
        features = {key: self.info["features"][key] for key in (*self._wanted(()), *keys)}
        told = {
            key: [feature.get("dtype"), feature.get("shape"), feature.get("names")]
            for key, feature in features.items()
        }
        entries = {"rows": rows, "fps": self.fps, "features": told, "texts": self._texts()}
        tables = {self._data_file(row) for row in rows}
        files: set[Path] = set()
        for key in videos:
            chunk, file = (f"videos/{key}/{part}" for part in VIDEO_PLACE[:2])
            files |= {self._video_file(key, int(row[chunk]), int(row[file])) for row in rows}
        return entries, sorted(tables), sorted(files)

    def parts(self, index: int) -> Iterator[tuple[str, Callable[[], View | Trajectory | None]]]:
        """Each view and the trajectory of an episode by name, to read one by one.

        A damaged part does not hide the rest.
        """
        row = self._table.row(index)
        rows = self._rows(row)
        for name in self._views:
            yield name, partial(self._view, name, row, rows)
        yield "trajectory", partial(path_of, rows, row, self.info)

    def _rows(
        self, row: dict[str, Any], wanted: list[str] | None = None, *, with_gaps: bool = False
    ) -> pa.Table:
        """The rows of an episode in frame order, with all columns of an episode or only the wanted ones."""
        path = self._data_file(row)
        wanted = self._wanted() if wanted is None else wanted
        extra = [name for name in ROW_COLUMNS if name not in wanted]
        rows = read_table(path, wanted, row["episode_index"], optional=extra)
        if rows.num_rows != row["length"]:
            raise EpisodeError(self._other_rows(row, path, rows.num_rows))
        return in_order(rows, row["episode_id"], path, with_gaps=with_gaps)

    def _wanted(self, views: Iterable[str] | None = None) -> list[str]:
        """The columns of an episode, with the pictures of these views (None: all)."""
        keys = [key for name, key in self._views.items() if views is None or name in views]
        numbers = (layout.STATE, layout.ACTION) if self.with_told else (layout.STATE,)
        pictures = {key for key in keys if self.info["features"][key]["dtype"] == "image"}
        return [
            key
            for key in self.info["features"]
            if key.startswith(layout.CAMERAS) or key in numbers or key in pictures
        ]

    def _other_rows(self, row: dict[str, Any], path: Path, count: int) -> str:
        """The message for a data file without an episode's rows: some are missing, or they lie elsewhere."""
        name, number = row["episode_id"], row["episode_index"]
        if count:
            return f"{name}: {path} holds {count} of its {row['length']} frames; restore the file"
        elsewhere = [other for other in sorted(self.path.glob("data/*/*.parquet")) if _holds(other, number)]
        if elsewhere:
            there = elsewhere[0].relative_to(self.path)
            told = f"meta/episodes says that its rows are in {path}, they are in {there}"
            cure = "the file indexes are stale; correct data/chunk_index and data/file_index there"
            return f"{name}: {told}: {cure}"
        return f"{name}: {path} holds 0 of its {row['length']} frames; restore the file"

    def _data_file(self, row: dict[str, Any]) -> Path:
        template = str(self.info.get("data_path", layout.DATA))
        chunk, file = int(row["data/chunk_index"]), int(row["data/file_index"])
        return layout.fill(self.path, template, chunk_index=chunk, file_index=file)

    def _view(self, name: str, row: dict[str, Any], rows: pa.Table, *, with_gaps: bool = False) -> View:
        key = self._views[name]
        is_video = self.info["features"][key]["dtype"] == "video"
        times = row_times(rows, self.fps, row["episode_id"], with_gaps=with_gaps)
        frames = self._video(name, row, times) if is_video else stored_pictures(rows, key, row)
        return View(name, frames, camera_of(rows, name, frames.size, row))

    def told_of_file(self, index: int, view: str, left_out: int = 0) -> str | None:
        """A remark on the file of a view's pictures, of whose episode `left_out` frames have no row.

        Raises EpisodeError as opening the view does.
        """
        if self.info["features"][self._views[view]]["dtype"] != "video":
            return None
        video, claims, which = self._file(view, self._table.row(index))
        return told_of_file(video, claims, which, self.fps, left_out=left_out)

    def out_of_order(self, view: str) -> tuple[str, str] | None:
        """The first two episodes of which the later lies before the earlier in a view's videos."""
        return self._table.out_of_order(self._views[view])

    def _video(self, name: str, row: dict[str, Any], times: np.ndarray) -> Frames:
        video, claims, which = self._file(name, row)
        return pictures_of(video, claims, which, times, self.fps)

    def _file(self, name: str, row: dict[str, Any]) -> tuple[VideoFrames, list[Claim], int]:
        """A view's file, the claims of all episodes on it, and the index of this episode's claim."""
        key = self._views[name]
        place = [row.get(f"videos/{key}/{part}") for part in VIDEO_PLACE]
        known = [number for number in place if number is not None and is_place(number)]
        if len(known) < len(place):
            raise EpisodeError(
                f"{row['episode_id']}: meta/episodes names no video of view '{name}'; import without "
                "that view (--views), or drop the episode"
            )
        chunk, file = int(known[0]), int(known[1])
        self._check_apart(key)
        path = self._video_file(key, chunk, file)
        claims = self._table.claims(key, chunk, file)
        which = next(place for place, claim in enumerate(claims) if claim.episode_id == row["episode_id"])
        return VideoFrames(path), claims, which

    def _check_apart(self, key: str) -> None:
        """Raise EpisodeError if info.json gives one path to two of a view's video files."""
        if key in self._told_apart:
            return
        template = str(self.info.get("video_path", layout.VIDEOS))
        places: dict[Path, tuple[int, int]] = {}
        for chunk, file in self._table.files(key):
            path = layout.filled(self.path, template, video_key=key, chunk_index=chunk, file_index=file)
            other = places.setdefault(path, (chunk, file))
            if other != (chunk, file):
                both = f"file {other[1]} of chunk {other[0]} and file {file} of chunk {chunk}"
                cure = "put {chunk_index} and {file_index} into it, and each file in its place"
                raise EpisodeError(
                    f"{self.path / layout.INFO}: by video_path, {both} of '{key}' are both {path}; {cure}"
                )
        self._told_apart.add(key)

    def _video_file(self, key: str, chunk: int, file: int) -> Path:
        template = str(self.info.get("video_path", layout.VIDEOS))
        return layout.fill(self.path, template, video_key=key, chunk_index=chunk, file_index=file)


def _holds(path: Path, episode_index: int) -> bool:
    try:
        return episode_index in episodes_in(path)
    except EpisodeError:
        return False
