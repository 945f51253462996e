"""A copy of a data set of ours whose cameras stand in the columns that other LeRobot sets have."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from action_images.episodes import lerobot_layout as layout
from action_images.episodes import statistics
from action_images.episodes.names import EpisodeError
from action_images.episodes.notation import ROTATIONS
from action_images.episodes.strangers import check_folder
from action_images.episodes.tables import read_table, write_table
from action_images.episodes.writer import STAGING
from action_images.files.atomic import whole_folder, write_json
from action_images.files.lock import LOCK, alone_in

Style = Literal["matrices", "quaternions", "droid"]
CALIBRATION = "calibration.json"
NOT_DATA = (".staging", STAGING, LOCK)
"""What a writer keeps for itself."""
INTRINSICS, POSE = "intrinsics", "world_from_camera"
"""The ends of our own columns' names."""


@dataclass(frozen=True)
class Columns:
    """How a style names the columns of a view, and how it writes a camera's pose in the world.

    `rotation` is the word of `ROTATIONS` behind x y z; None: a 4 x 4 matrix.
    """

    intrinsics: str
    pose: str
    rotation: str | None
    names: tuple[str, ...] | None

    def features(self, view: str, infos: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The `features` of info.json for a view; `infos` are what our own columns say of theirs."""
        pose_shape = [4, 4] if self.names is None else [len(self.names)]
        shapes = {INTRINSICS: [3, 3], POSE: pose_shape}
        names = {INTRINSICS: None, POSE: None if self.names is None else list(self.names)}
        return {
            self.key(kind, view): {
                "dtype": "float32",
                "shape": shapes[kind],
                "names": names[kind],
                **({"info": infos[kind]} if infos.get(kind) else {}),
            }
            for kind in (INTRINSICS, POSE)
        }

    def key(self, kind: str, view: str) -> str:
        """The name of a view's column."""
        return (self.intrinsics if kind == INTRINSICS else self.pose) + view

    def numbers(self, kind: str, ours: np.ndarray) -> np.ndarray:
        """Our numbers (frame, 9 or 16) as the style writes them, (frame, *shape) float32."""
        if kind == INTRINSICS:
            return ours.reshape(-1, 3, 3)
        matrices = ours.reshape(-1, 4, 4)
        if self.rotation is None:
            return matrices
        turn = ROTATIONS[self.rotation].from_matrix(torch.from_numpy(matrices[:, :3, :3].astype(np.float64)))
        return np.concatenate([matrices[:, :3, 3], turn.numpy()], -1).astype(np.float32)

    def entry(self, view: str) -> dict[str, Any]:
        """What calibration.json says of a view, so that the copy can be imported again."""
        pose = {"feature": self.key(POSE, view)}
        if self.rotation is not None:
            pose["rotation"] = self.rotation
        return {"intrinsics": {"feature": self.key(INTRINSICS, view)}, "world_from_camera": pose}


STYLES: dict[Style, Columns] = {
    "matrices": Columns("observation.intrinsic.", "observation.extrinsic.", None, None),
    "quaternions": Columns(
        "observation.intrinsics.",
        "observation.extrinsics.",
        "quaternion_xyzw",
        ("x", "y", "z", "qx", "qy", "qz", "qw"),
    ),
    "droid": Columns(
        "camera_intrinsics.", "camera_extrinsics.", "euler_xyz", ("x", "y", "z", "roll", "pitch", "yaw")
    ),
}
"""Columns that are seen in public sets; docs/lerobot.md shows each."""


def copy_with_columns(source: Path, out: Path, style: Style, tell: Callable[[int, int], None]) -> list[str]:
    """Write a copy to `out`, whole or not at all; returns the names of its calibrated views.

    All but the cameras' columns, their statistics and info.json stays byte for byte. Beside it a
    calibration.json declares the columns, so that `import` reads the same cameras. `tell` is told
    (done, total) of the tables. Raises EpisodeError where `source` has no camera columns of ours, where `out`
    exists, and where a view is calibrated in some episodes alone, which such columns cannot say;
    ActionImagesError where another process writes to `source`.
    """
    info, columns = layout.read_info(source), STYLES[style]
    views = [view for view in layout.view_keys(info) if _ours(INTRINSICS, view) in info["features"]]
    if not views:
        cure = "import it with its calibration first"
        raise EpisodeError(f"{source}: has no camera columns of ours ({layout.CAMERAS}...); {cure}")
    if out.exists():
        raise EpisodeError(f"{out}: is there already; name another folder")
    check_folder(source, source)
    calibrated = _calibrated(source, views)
    with alone_in(source / "meta"), whole_folder(out) as unfinished:
        shutil.copytree(source, unfinished, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_DATA))
        described = _write_rows(unfinished, views, columns, tell)
        _write_episodes(unfinished, views, described)
        _write_info(unfinished, info, views, columns)
        _write_statistics(unfinished)
        tool = {"feature": layout.STATE, "columns": list(range(8)), "closed": 0.0, "open": 1.0}
        entries = {view: columns.entry(view) for view in calibrated}
        write_json(unfinished / CALIBRATION, {"views": entries, "tool": tool})
    return calibrated


def _ours(kind: str, view: str) -> str:
    return f"{layout.CAMERAS}{view}.{kind}"


def _tables(root: Path, place: str) -> list[Path]:
    return sorted(root.glob(f"{place}/*/*.parquet"))


def _calibrated(root: Path, views: list[str]) -> list[str]:
    """The views whose cameras are known in all frames; raises EpisodeError for one known in some alone."""
    known: set[str] = set()
    unknown: set[str] = set()
    for path in _tables(root, "data"):
        table = read_table(path, [_ours(INTRINSICS, view) for view in views])
        for view in views:
            is_unknown = np.isnan(_numbers(table, _ours(INTRINSICS, view))).any(-1)
            known |= set() if is_unknown.all() else {view}
            unknown |= {view} if is_unknown.any() else set()
    partly = sorted(known & unknown)
    if partly:
        cure = "import the episodes with and without it into sets of their own"
        raise EpisodeError(f"{root}: {', '.join(partly)} is calibrated in some episodes alone; {cure}")
    return [view for view in views if view in known]


def _numbers(table: pa.Table, key: str) -> np.ndarray:
    """(frame, numbers) of one of our columns."""
    column = table[key].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _write_rows(
    root: Path, views: list[str], columns: Columns, tell: Callable[[int, int], None]
) -> dict[int, dict[str, statistics.Statistics]]:
    """Change the tables of frames; returns each episode's statistics of the new columns."""
    described: dict[int, dict[str, statistics.Statistics]] = {}
    paths = _tables(root, "data")
    for done, path in enumerate(paths):
        tell(done, len(paths))
        table = read_table(path)
        episodes = table["episode_index"].to_numpy()
        for view, kind in _each(views):
            numbers = columns.numbers(kind, _numbers(table, _ours(kind, view)))
            place, name = table.column_names.index(_ours(kind, view)), columns.key(kind, view)
            table = table.set_column(place, name, _nested(numbers))
            for episode in np.unique(episodes).tolist():
                rows = numbers[episodes == episode].reshape(int((episodes == episode).sum()), -1)
                found = statistics.of_rows(rows)
                shaped = {
                    key: value if key == "count" else value.reshape(numbers.shape[1:])
                    for key, value in found.items()
                }
                described.setdefault(episode, {})[name] = shaped
        write_table(path, table)
    tell(len(paths), len(paths))
    return described


def _each(views: list[str]) -> Iterator[tuple[str, str]]:
    for view in views:
        yield view, INTRINSICS
        yield view, POSE


def _nested(numbers: np.ndarray) -> pa.Array:
    """(frame, numbers) or (frame, rows, numbers) as lists of a fixed length."""
    array = pa.array(numbers.reshape(-1))
    for length in reversed(numbers.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, length)
    return array


def _write_episodes(
    root: Path, views: list[str], described: dict[int, dict[str, statistics.Statistics]]
) -> None:
    """Change the statistics in the tables of episodes."""
    ours = tuple(f"stats/{_ours(kind, view)}/" for view, kind in _each(views))
    for path in _tables(root, "meta/episodes"):
        table = read_table(path)
        kept = table.select([name for name in table.column_names if not name.startswith(ours)])
        numbers = kept["episode_index"].to_pylist()
        names = dict.fromkeys(chain.from_iterable(described.get(number, {}) for number in numbers))
        for name in names:
            rows = [statistics.as_json(described[number][name]) for number in numbers]
            for key in rows[0]:
                kept = kept.append_column(f"stats/{name}/{key}", pa.array([row[key] for row in rows]))
        write_table(path, kept)


def _write_info(root: Path, info: dict[str, Any], views: list[str], columns: Columns) -> None:
    features: dict[str, Any] = {}
    for key, feature in info["features"].items():
        view = next((view for view, kind in _each(views) if key == _ours(kind, view)), None)
        if view is None:
            features[key] = feature
        elif key == _ours(INTRINSICS, view):
            infos = {kind: info["features"][_ours(kind, view)].get("info") for kind in (INTRINSICS, POSE)}
            features |= columns.features(view, infos)
    write_json(root / layout.INFO, {**info, "features": features}, indent=4)


def _write_statistics(root: Path) -> None:
    """Statistics over all episodes."""
    tables = map(read_table, _tables(root, "meta/episodes"))
    rows = list(chain.from_iterable(table.to_pylist() for table in tables))
    write_json(root / layout.STATS, statistics.over_all(rows), indent=4)
