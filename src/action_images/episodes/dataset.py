"""Data sets on disk: opened lazily, written and appended by `DatasetWriter`."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.episode import Episode, EpisodeError, Frames, FramesSelected, View, check_id
from action_images.episodes.pictures import Pictures
from action_images.episodes.tables import read_table
from action_images.episodes.video import VideoFrames
from action_images.episodes.writer import DatasetWriter
from action_images.geometry import Camera, Pose, Trajectory

__all__ = ["Dataset", "DatasetWriter"]

MAX_EPISODE_FRAMES = 200_000
MOST_RATE_ERROR = 0.01
"""A video that runs faster or slower than its data set by a larger part is of another rate."""
MAX_OPEN_EPISODES = 4096
"""Opened episodes that are remembered: some numbers each, no pixels. Training comes back to them in no order."""
MAX_OPEN_WITH_PICTURES = 8
"""The same where pictures lie among the numbers, whose bytes an opened episode holds."""


class Dataset:
    """The episodes of a LeRobotDataset v3, ours or another's; videos are decoded when frames are asked for.

    Where the columns for cameras and tool poses (docs/data.md) are absent, so are the cameras and trajectories.
    Raises EpisodeError, naming the file and the cure, for anything that does not hold together. `leave_out`, where
    given, is told instead of each row of the episode table that can be no episode, and why; the others are opened.
    """

    def __init__(self, path: Path, leave_out: Callable[[str, str], None] | None = None):
        self.path = Path(path)
        self.info = layout.read_info(self.path)
        self.fps: float = self.info["fps"]
        self._views = layout.view_keys(self.info)
        self._episodes = self._possible(self._read_episodes(), leave_out)
        self.ids: list[str] = self._episodes["episode_id"].to_pylist()
        self._remember()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Episode:
        """The episode of this place; raises IndexError beyond the last, and EpisodeError where it is damaged."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} episodes, number {index} was asked for")
        return self._load(index % len(self))

    def numbered(self, number: int) -> Episode:
        """The episode of a number that a person gave; raises EpisodeError where there is none, counting from the end included."""
        if not 0 <= number < len(self):
            raise EpisodeError(
                f"{self.path}: has episodes 0 to {len(self) - 1}, number {number} was asked for"
            )
        return self[number]

    def __iter__(self) -> Iterator[Episode]:
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_load"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._remember()

    def _remember(self) -> None:
        pictures = any(self.info["features"][key]["dtype"] == "image" for key in self._views.values())
        self._load = lru_cache(maxsize=MAX_OPEN_WITH_PICTURES if pictures else MAX_OPEN_EPISODES)(self._read)

    def length(self, index: int) -> int:
        """How many frames an episode has, without opening it."""
        return int(self._episodes["length"][index].as_py())

    def draws_actions(self, index: int, views: Iterable[str]) -> bool:
        """Whether an episode has tool poses and these views are calibrated; True where its statistics do not tell without opening it."""
        features = self.info["features"]
        keys = [
            layout.STATE,
            *(
                f"{layout.CAMERAS}{view}.{part}"
                for view in views
                for part in ("intrinsics", "world_from_camera")
            ),
        ]
        if features.get(layout.STATE, {}).get("names") != layout.TOOL_NAMES or any(
            key not in features for key in keys
        ):
            return False
        counts = [
            self._episodes[name][index].as_py()
            for key in keys
            if (name := f"stats/{key}/count") in self._episodes.column_names
        ]
        return all(count != [0] for count in counts)

    def instruction(self, index: int) -> str | None:
        """What an episode's robot was asked, without opening it; None where nothing is said."""
        return _instruction(self._row(index))

    def column(self, index: int, feature: str) -> list[Any]:
        """A feature's values in all frames of an episode, as the file has them."""
        if feature not in self.info["features"]:
            raise EpisodeError(
                f"{self.path}: has no feature '{feature[:80]}'; it has {', '.join(self.info['features'])}"
            )
        row = self._row(index)
        return read_table(self._data_file(row), [feature], row["episode_index"])[feature].to_pylist()

    @property
    def view_names(self) -> tuple[str, ...]:
        """The views that every episode has."""
        return tuple(self._views)

    def view_shape(self, name: str) -> tuple[int, int]:
        """(height, width) that info.json says of a view."""
        feature = self.info["features"][self._views[name]]
        shape, names = list(feature["shape"]), feature.get("names")
        channels_first = (isinstance(names, list) and str(names[0]).startswith("channel")) or (
            shape[0] == 3 and shape[-1] != 3
        )
        height, width = shape[-2:] if channels_first else shape[:2]
        return height, width

    def _read_episodes(self) -> pa.Table:
        paths = sorted(self.path.glob("meta/episodes/*/*.parquet"))
        if not paths:
            raise EpisodeError(f"{self.path}: is an empty data set; import or record episodes first")
        tables = []
        for path in paths:
            table = read_table(path)
            tables.append(
                table.select(
                    [name for name in table.column_names if not name.startswith("stats/") or _counts(name)]
                )
            )
        try:
            table = pa.concat_tables(tables, promote_options="default")
        except pa.ArrowException as error:
            raise EpisodeError(
                f"{self.path}: the files of meta/episodes differ in their columns ({error}); repair them"
            ) from None
        _require(table, self.path, ["episode_index", "length", *self._place_columns()])
        table = table.sort_by("episode_index")
        if "episode_id" not in table.column_names:
            numbers = table["episode_index"].to_pylist()  # not yet known to be whole, or there
            ids = ["episode_unknown" if number is None else f"episode_{number:06.0f}" for number in numbers]
            table = table.append_column("episode_id", pa.array(ids))
        return table

    def _possible(self, table: pa.Table, leave_out: Callable[[str, str], None] | None) -> pa.Table:
        """The rows that can be episodes; the others are told of, or the first of them is an error."""
        reasons: list[str | None] = [None] * table.num_rows
        for name in ("episode_index", "length", *self._place_columns()):
            for place in np.flatnonzero(self._impossible(table, name)):
                reasons[place] = (
                    reasons[place]
                    or f"{str(table[name][place])[:40]} is impossible for '{name}' in meta/episodes; repair it"
                )
        seen: set[str] = set()
        for place, (length, name) in enumerate(
            zip(table["length"].to_pylist(), table["episode_id"].to_pylist(), strict=True)
        ):
            reasons[place] = reasons[place] or _against(length, name, seen)
            seen |= {name} if isinstance(name, str) else set()
        for place, reason in enumerate(reasons):
            if reason is None:
                continue
            row = f"row {place} of meta/episodes"
            if leave_out is None:
                raise EpisodeError(f"{self.path}: {row}: {reason}")
            leave_out(row, reason)
        return table.filter(pa.array([reason is None for reason in reasons], pa.bool_()))

    def _place_columns(self) -> list[str]:
        videos = [key for key in self._views.values() if self.info["features"][key]["dtype"] == "video"]
        parts = ("chunk_index", "file_index", "from_timestamp")
        return [
            "data/chunk_index",
            "data/file_index",
            *(f"videos/{key}/{part}" for key in videos for part in parts),
        ]

    def _impossible(self, table: pa.Table, name: str) -> np.ndarray:
        """Which rows have a number that cannot be; raises EpisodeError where the column holds none at all."""
        values = table[name]
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            raise EpisodeError(
                f"{self.path}: the column '{name}' of meta/episodes holds no numbers; repair it"
            )
        array = values.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
        whole = name.endswith("from_timestamp") | (array == np.floor(array))
        return ~(np.isfinite(array) & (array >= 0) & (array <= 1e12) & whole)

    def _read(self, index: int) -> Episode:
        row = self._row(index)
        rows = self._rows(row)
        views = tuple(self._view(name, row, rows) for name in self._views)
        return Episode(
            row["episode_id"], _instruction(row), self.fps, views, _trajectory(rows, row, self.info)
        )

    def parts(self, index: int) -> Iterator[tuple[str, Callable[[], View | Trajectory | None]]]:
        """Each view and the trajectory of an episode by name, to be read one by one: what is damaged does not hide the rest."""
        row = self._row(index)
        rows = self._rows(row)
        for name in self._views:
            yield name, partial(self._view, name, row, rows)
        yield "trajectory", partial(_trajectory, rows, row, self.info)

    def _row(self, index: int) -> dict[str, Any]:
        row = self._episodes.slice(index, 1).to_pylist()[0]
        return row | {"episode_index": int(row["episode_index"]), "length": int(row["length"])}

    def _rows(self, row: dict[str, Any]) -> pa.Table:
        pictures = {key for key in self._views.values() if self.info["features"][key]["dtype"] == "image"}
        wanted = [
            key
            for key in self.info["features"]
            if key.startswith(layout.CAMERAS) or key == layout.STATE or key in pictures
        ]
        path = self._data_file(row)
        rows = read_table(path, wanted, row["episode_index"])
        if rows.num_rows != row["length"]:
            raise EpisodeError(
                f"{row['episode_id']}: {path} holds {rows.num_rows} of its {row['length']} frames; restore the file"
            )
        return rows

    def _data_file(self, row: dict[str, Any]) -> Path:
        template = str(self.info.get("data_path", layout.DATA))
        return layout.fill(
            self.path,
            template,
            chunk_index=int(row["data/chunk_index"]),
            file_index=int(row["data/file_index"]),
        )

    def _view(self, name: str, row: dict[str, Any], rows: pa.Table) -> View:
        key = self._views[name]
        frames = (
            self._video(row, key)
            if self.info["features"][key]["dtype"] == "video"
            else _pictures(rows, key, row)
        )
        return View(name, frames, _camera(rows, name, frames, row))

    def _video(self, row: dict[str, Any], key: str) -> Frames:
        template = str(self.info.get("video_path", layout.VIDEOS))
        chunk, file = row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"]
        path = layout.fill(self.path, template, video_key=key, chunk_index=int(chunk), file_index=int(file))
        frames = VideoFrames(path)
        start = round(row[f"videos/{key}/from_timestamp"] * self.fps)
        if start == 0 and len(frames) == row["length"]:
            return frames
        if start + row["length"] > len(frames):
            needed = f"frames {start} to {start + row['length']}"
            raise EpisodeError(
                f"{row['episode_id']}: {path} has {len(frames)} frames, the episode needs {needed}; restore the file"
            )
        # Which frames are an episode's follows from a time: at another rate they would be those of other episodes.
        if frames.fps and abs(frames.fps - self.fps) > MOST_RATE_ERROR * self.fps:
            rates = f"runs at {frames.fps:g} frames/s, the data set at {self.fps:g}"
            raise EpisodeError(
                f"{row['episode_id']}: {path} {rates}, so where the episode begins in it is not known; encode it again"
            )
        return FramesSelected(frames, range(start, start + row["length"]))


def _counts(name: str) -> bool:
    """Whether a column says how many numbers are known of the tool's poses or of a camera."""
    return name.endswith("/count") and name.startswith((f"stats/{layout.STATE}", f"stats/{layout.CAMERAS}"))


def _require(table: pa.Table, path: Path, names: list[str]) -> None:
    missing = [name for name in names if table.column_names.count(name) != 1]
    if missing:
        raise EpisodeError(
            f"{path}: meta/episodes lacks the columns {', '.join(missing)}, or has them twice; restore it"
        )


def _against(length: float, episode_id: object, seen: set[str]) -> str | None:
    """Why a row of the episode table can be no episode beside those seen already; None where it can."""
    if not 1 <= length <= MAX_EPISODE_FRAMES:
        return f"it claims {length:.0f} frames, there may be 1 to {MAX_EPISODE_FRAMES}; repair meta/episodes"
    if not isinstance(episode_id, str):
        return f"its episode_id is {str(episode_id)[:80]}, no text; repair meta/episodes"
    if episode_id in seen:
        return f"two episodes share the id {episode_id[:80]!r}; repair meta/episodes"
    try:
        check_id(episode_id)
    except EpisodeError as error:
        return str(error)
    return None


def _instruction(row: dict[str, Any]) -> str | None:
    tasks = row.get("tasks")
    return str(tasks[0]) if isinstance(tasks, list) and tasks and tasks[0] else None


def _numbers(rows: pa.Table, key: str, width: int, row: dict[str, Any]) -> Tensor | None:
    """A column as (frame, width) float32; None where it is absent or not known in any frame."""
    if key not in rows.column_names:
        return None
    try:
        values = np.array(rows[key].to_pylist(), np.float32)
    except (ValueError, TypeError, OverflowError):
        values = np.empty(0)
    if values.shape != (rows.num_rows, width):
        raise EpisodeError(
            f"{row['episode_id']}: '{key}' should have {width} numbers in each frame; repair the data file"
        )
    return None if np.isnan(values).all() else torch.from_numpy(values)


def _camera(rows: pa.Table, name: str, frames: Frames, row: dict[str, Any]) -> Camera | None:
    intrinsics = _numbers(rows, f"{layout.CAMERAS}{name}.intrinsics", 9, row)
    matrix = _numbers(rows, f"{layout.CAMERAS}{name}.world_from_camera", 16, row)
    if intrinsics is None or matrix is None:
        return None
    # A camera that never moves is one camera, however often the file repeats it.
    if (intrinsics == intrinsics[0]).all() and (matrix == matrix[0]).all():
        intrinsics, matrix = intrinsics[0], matrix[0]
    intrinsics, matrix = intrinsics.unflatten(-1, (3, 3)), matrix.unflatten(-1, (4, 4))
    try:
        return Camera(intrinsics, Pose.from_matrix(matrix), frames.size).check(f"{name}.camera")
    except ValueError as error:
        raise EpisodeError(f"{row['episode_id']}: {error}") from None


def _trajectory(rows: pa.Table, row: dict[str, Any], info: dict[str, Any]) -> Trajectory | None:
    # Another's state may be joint angles: only columns that say they are a tool pose are taken for one.
    if info["features"].get(layout.STATE, {}).get("names") != layout.TOOL_NAMES:
        return None
    vector = _numbers(rows, layout.STATE, 8, row)
    try:
        return None if vector is None else Trajectory.from_vector(vector)
    except ValueError as error:
        raise EpisodeError(f"{row['episode_id']}: {error}") from None


def _pictures(rows: pa.Table, key: str, row: dict[str, Any]) -> Frames:
    cells = rows[key].to_pylist()
    cells = [cell.get("bytes") if isinstance(cell, dict) else cell for cell in cells]
    contents = tuple(cell for cell in cells if isinstance(cell, bytes))
    if len(contents) < len(cells):
        raise EpisodeError(
            f"{row['episode_id']}: the pictures of '{key}' are not stored in the data file; convert the data set to videos"
        )
    return Pictures(contents)
