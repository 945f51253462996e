"""Trajectories as files of 7- or 8-vectors: npy, csv or json."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_images.episodes.columns_file import Columns, load_columns, plain_name
from action_images.episodes.contradictions import (
    in_gripper,
    in_gripper_name,
    in_names,
    in_poses,
    in_sides,
    is_beyond,
)
from action_images.episodes.dropouts import missing_places
from action_images.episodes.episode import EpisodeError
from action_images.episodes.notation import ToolNotation
from action_images.episodes.table_contradictions import (
    ROW_NUMBERS,
    TIME,
    told_row_numbers,
    told_turns,
    told_words,
)
from action_images.errors import ActionImagesError
from action_images.files.atomic import whole_file
from action_images.files.strict_json import parsed
from action_images.geometry import Trajectory

COLUMNS = {
    7: ["x", "y", "z", "euler_x", "euler_y", "euler_z", "opening"],
    8: ["x", "y", "z", "qx", "qy", "qz", "qw", "opening"],
}
"""The numbers of a row: metres, radians (extrinsic xyz) or a quaternion, and the opening from 0 (closed) to
1 (open)."""
MARKS = ("valid", "confidence")
"""Columns that are 0 in rows whose pose is not reliable."""
TRUTHS = {"true": "1", "false": "0"}
MOST_NAMED = 8
UNREADABLE = (ValueError, TypeError, RecursionError, EOFError)
"""Exceptions of readers for a file of another kind."""
MAX_BYTES = 1_000_000_000
"""A larger file is not a trajectory."""


def load_trajectory(path: Path | str, columns: Path | None = None) -> Trajectory:
    """A trajectory (frame) of float32 from a .npy, .csv or .json file.

    A .npy is (rows, 7 or 8), a .csv has a header of `COLUMNS`, a .json is lists of rows. `columns` is a json
    file that declares other columns and another notation (docs/data.md). Pickles are refused. Raises
    EpisodeError, naming file and row, for missing values, invalid poses and contradictions of the notation,
    and for rows whose pose is not reliable (`load_with_unreliable`).
    """
    trajectory, unreliable = load_with_unreliable(path, columns)
    if unreliable:
        rows = ", ".join(map(str, unreliable[:MOST_NAMED])) + (" ..." if len(unreliable) > MOST_NAMED else "")
        count = f"{len(unreliable)} of {trajectory.num_frames} rows (from 0: {rows})"
        cure = "cut the recording there, give measured poses, or remove these columns if the poses are right"
        told = f"{count} have {' or '.join(MARKS)} 0"
        raise EpisodeError(f"{path}: {told}, so their poses are not reliable; {cure}")
    return trajectory


def load_with_unreliable(path: Path | str, columns: Path | None = None) -> tuple[Trajectory, list[int]]:
    """A trajectory file, and its rows whose poses are not reliable: they have `valid` or `confidence` 0.

    `read`, `label`, `generate` and `imagine` write such rows: poses that are interpolated or too imprecise.
    """
    path = Path(path)
    try:
        header, table = _readable_table(path)
        reliable = torch.tensor(_reliable_rows(header, table), dtype=torch.bool)
        _refuse_contradictions(path, header, table, has_turns=columns is None)
        if columns is None:
            trajectory = _ours(path, header, table, reliable)
        else:
            trajectory = _declared(path, header, table, reliable, load_columns(columns))
    except EpisodeError:
        raise
    except UNREADABLE as error:
        raise EpisodeError(f"{path}: not a table of numbers ({error})") from error
    return trajectory, (~reliable).nonzero().flatten().tolist()


def without_poses(trajectory: Trajectory, rows: Sequence[int]) -> Trajectory:
    """The trajectory with NaN as the position in some rows: no spot is drawn there."""
    pose = trajectory.world_from_tool
    translation = pose.translation.clone()
    translation[list(rows)] = torch.nan
    return replace(trajectory, world_from_tool=replace(pose, translation=translation))


def _reliable_rows(header: list[str] | None, table: Any) -> list[bool]:
    """Marks the rows whose pose is reliable, by the columns `MARKS`."""
    header = header or []
    marks = [place for place, name in enumerate(header) if plain_name(name) in MARKS]
    return [not marks or _is_reliable(number, row, marks, len(header)) for number, row in enumerate(table)]


def _is_reliable(number: int, row: Any, marks: list[int], width: int) -> bool:
    """Whether none of a row's marks is 0; true and false are 1 and 0."""
    if isinstance(row, list):
        row = [TRUTHS.get(cell.strip().lower(), cell) if isinstance(cell, str) else cell for cell in row]
    return 0 not in _numbers(number, row, marks, width)


def _ours(path: Path, header: list[str] | None, table: Any, reliable: torch.Tensor) -> Trajectory:
    """A trajectory from the columns of `COLUMNS`."""
    rows = torch.from_numpy(np.array(_pick(header, table), dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] not in COLUMNS or not len(rows):
        needs = f"needs at least one row of 7 or 8 numbers ({', '.join(COLUMNS[8])})"
        raise EpisodeError(f"{path}: {needs}, got shape {list(rows.shape)}")
    if header is None and rows.shape[1] == 7 and _are_quaternions(rows[:, 3:]):
        told = "the last four of its 7 numbers are of unit length in every row, as a quaternion's are"
        cure = "add the gripper's opening as an eighth column, or name the columns in a csv"
        raise EpisodeError(f"{path}: {told}; {cure}")
    rotation = "euler_xyz" if rows.shape[1] == 7 else "quaternion_xyzw"
    notation = ToolNotation(rotation, closed=0.0, open=1.0)
    span = float(rows[:, -1].min()), float(rows[:, -1].max())
    if rows.isfinite().all() and is_beyond(*span, notation):
        _refuse(path, in_gripper(*span, notation))
    try:
        trajectory = Trajectory.from_vector(rows).to(torch.float32)
    except ValueError as error:
        raise EpisodeError(f"{path}: {error}") from error
    if reliable.any():
        _refuse(path, in_poses(rows[reliable, :-1], notation, said_absolute=True))
    missing = missing_places(trajectory.world_from_tool[reliable])
    if missing is not None:
        raise EpisodeError(f"{path}: {missing}")
    return trajectory


def _are_quaternions(numbers: torch.Tensor) -> bool:
    return len(numbers) > 2 and bool(((numbers.norm(dim=-1) - 1).abs() < 1e-3).all())


def _declared(
    path: Path, header: list[str] | None, table: Any, reliable: torch.Tensor, declared: Columns
) -> Trajectory:
    """A trajectory from the columns and notation that a json file declares."""
    chosen, names = _chosen(header, table, declared)
    rows = torch.from_numpy(np.array(chosen, dtype=np.float64))
    notation = declared.notation
    if not len(rows):
        raise EpisodeError(f"{path}: needs at least one row")
    numbers, readings = rows[:, :-1].float(), rows[:, -1].float()
    if not declared.ignore_names:
        _refuse(path, in_names(names[:-1], notation, is_declared=declared.said_rotation))
        _refuse(path, in_gripper_name(names[-1], notation))
        _refuse(path, in_sides(names))
    try:
        trajectory = notation.trajectory(numbers, readings)
    except ValueError as error:
        contradiction = next(in_gripper(float(readings.min()), float(readings.max()), notation), error)
        raise EpisodeError(f"{path}: {contradiction}") from error
    if reliable.any():
        _refuse(path, in_poses(numbers[reliable], notation, said_absolute=declared.said_absolute))
    _refuse(path, in_gripper(float(readings.min()), float(readings.max()), notation))
    return trajectory


def _refuse(path: Path, contradictions: Iterator[str]) -> None:
    for contradiction in contradictions:
        raise EpisodeError(f"{path}: {contradiction}; --columns declares a notation")


def _chosen(header: list[str] | None, table: Any, declared: Columns) -> tuple[list[list[float]], list[str]]:
    """The rows of the declared columns, by number or by name, and the columns' names."""
    width = len(header) if header is not None else len(table[0]) if len(table) else 0
    named = header if header is not None else [f"column {number}" for number in range(width)]
    places = declared.places(named)
    rows = [_numbers(number, list(row), places, width) for number, row in enumerate(table)]
    return rows, [named[place] for place in places]


def save_trajectory(
    path: Path | str,
    trajectory: Trajectory,
    extra: dict[str, torch.Tensor] | None = None,
    *,
    columns: Path | None = None,
) -> None:
    """Write a trajectory (frame) in the format that the file's ending names.

    Rows are 8-vectors, or as the json file `columns` declares, as in `load_trajectory`. `extra` columns,
    (frame) each, are written to csv and json and refused for npy, which has no names for them.
    """
    path = Path(path)
    if columns is None:
        names, numbers = COLUMNS[8], trajectory.to_vector(8)
    else:
        declared = load_columns(columns)
        names, numbers = declared.written(trajectory)
    rows, extra = numbers.double().cpu().numpy(), extra or {}
    _check_ending(path, has_more=bool(extra))
    names, rows = (
        [*names, *extra],
        np.column_stack([rows, *(column.double().cpu().numpy() for column in extra.values())]),
    )
    with whole_file(path) as temporary:
        if path.suffix == ".npy":
            np.save(temporary, rows)
        elif path.suffix == ".csv":
            np.savetxt(temporary, rows, delimiter=",", header=",".join(names), comments="", fmt="%.9g")
        else:
            temporary.write_text(json.dumps({"columns": names, "rows": _finite(rows)}, allow_nan=False))


def check_can_be_saved(path: Path | str, columns: Path | None = None, *, has_more: bool = False) -> None:
    """Raise EpisodeError if `save_trajectory` would refuse the ending or the columns.

    `has_more`: there are columns beside the pose and the gripper.
    """
    _check_ending(Path(path), has_more=has_more)
    if columns is not None:
        load_columns(columns).header()


def _check_ending(path: Path, *, has_more: bool) -> None:
    if path.suffix not in (".npy", ".csv", ".json") or (has_more and path.suffix == ".npy"):
        kept = ".csv or .json" if has_more else ".npy, .csv or .json"
        raise EpisodeError(f"{path}: this trajectory is written as {kept}")


def _finite(rows: np.ndarray) -> list[list[float | None]]:
    """Rows with null for NaN, which json lacks: such a pose is not known."""
    numbers = rows.astype(object)
    numbers[~np.isfinite(rows)] = None
    return numbers.tolist()


def column_names(path: Path) -> list[str]:
    """The names of a table's columns, as they are compared; none if the file has no names."""
    header, _ = _readable_table(path)
    return [plain_name(name) for name in header or ()]


def read_column(path: Path, name: str) -> np.ndarray | None:
    """A table's column (row) of float64 by its name; None if there is no such column.

    Raises EpisodeError if it is there twice, or is not a number in every row.
    """
    header, rows = _readable_table(path)
    named = [plain_name(one) for one in header or ()]
    if name not in named:
        return None
    if named.count(name) > 1:
        raise EpisodeError(f"{path}: the header names the column {name} twice; rename one")
    try:
        column = [_numbers(number, row, [named.index(name)], len(named)) for number, row in enumerate(rows)]
    except ActionImagesError as error:
        raise EpisodeError(f"{path}: the column '{name}' needs a number in every row ({error})") from None
    return np.array(column, np.float64).reshape(-1)


def _readable_table(path: Path) -> tuple[list[str] | None, Any]:
    """The content of `_table`; raises EpisodeError, naming the file, if it is of another kind."""
    try:
        return _table(path)
    except EpisodeError:
        raise
    except UNREADABLE as error:
        raise EpisodeError(f"{path}: not a table of numbers ({error})") from error


def _table(path: Path) -> tuple[list[str] | None, Any]:
    """The column names of a file, if it has any, and its rows."""
    if not path.is_file():
        raise EpisodeError(f"{path}: there is no such trajectory file")
    if path.stat().st_size > MAX_BYTES:
        size = f"{path.stat().st_size} bytes is too large for a trajectory file (limit {MAX_BYTES})"
        raise EpisodeError(f"{path}: {size}")
    readers = {".npy": _load_npy, ".csv": _load_csv, ".json": _load_json}
    if path.suffix not in readers:
        raise EpisodeError(f"{path}: a trajectory file ends in .npy, .csv or .json")
    return readers[path.suffix](path)


def _load_npy(path: Path) -> tuple[None, Any]:
    return None, np.load(path, allow_pickle=False, mmap_mode="r")


def _load_csv(path: Path) -> tuple[list[str], Any]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            header, *rows = [row for row in reader if row] or [[]]  # blank lines are no frames
        except csv.Error as error:
            raise ActionImagesError(f"line {reader.line_num}: {error}") from None
    other = next((mark for mark in (";", "\t") if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        cure = "save it with commas between the columns, and with points in the numbers"
        raise ActionImagesError(f"the header has {other!r} between its columns, {header[0][:200]}; {cure}")
    if header and header[0].startswith("#"):  # numpy.savetxt marks a header as a comment
        header = [header[0].removeprefix("#"), *header[1:]]
    return header, rows


def _load_json(path: Path) -> tuple[list[str] | None, Any]:
    content = parsed(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        if not {"columns", "rows"} <= content.keys():
            raise ActionImagesError(
                "a json trajectory is a list of rows, or an object with 'columns' and 'rows'"
            )
        unknown = sorted(content.keys() - {"columns", "rows"})
        if unknown:
            raise ActionImagesError(
                f"has the field '{unknown[0]}', which is not known; a json trajectory has 'columns' and "
                "'rows' alone, in metres and in the notation of their names; --columns declares others"
            )
        named = content["columns"]
        if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
            raise ActionImagesError("'columns' lists the columns' names")
        return named, content["rows"]
    width = len(content[0]) if content else 0
    return None, [_numbers(number, row, range(width), width) for number, row in enumerate(content)]


def _pick(header: list[str] | None, rows: Any) -> Any:
    """The trajectory's columns of a table; other columns are ignored."""
    if header is None:
        return rows
    named = [plain_name(name) for name in header]
    for names in COLUMNS.values():
        if set(names) <= set(named):
            twice = [name for name in names if named.count(name) > 1]
            if twice:
                raise ActionImagesError(f"the header names the column {twice[0]} twice; rename one")
            columns = [named.index(name) for name in names]
            return [_numbers(number, row, columns, len(header)) for number, row in enumerate(rows)]
    euler = f"(or {','.join(COLUMNS[7][3:6])} in place of the quaternion)"
    found = ",".join(header)[:200] or "nothing"
    raise ActionImagesError(
        f"the header must name the columns {','.join(COLUMNS[8])} {euler}; it has {found}"
    )


def _refuse_contradictions(path: Path, header: list[str] | None, rows: Any, *, has_turns: bool) -> None:
    """Raise EpisodeError if columns of one table contradict each other; `has_turns`: it is in our notation.

    Rows with a `time` are compared with pictures by that, and not by their numbers.
    """
    named = [plain_name(name) for name in header or ()]
    for name in ROW_NUMBERS if TIME not in named else ():
        numbers = _columns(named, rows, [name])
        told = None if numbers is None else told_row_numbers(name, numbers[:, 0])
        if told is not None:
            raise EpisodeError(f"{path}: {told}")
    whole = [row for row in rows if isinstance(row, list) and len(row) == len(named)] if named else []
    cells = {
        name: list(map(str, column)) for name, column in zip(named, zip(*whole, strict=True), strict=False)
    }
    for told in told_words(cells, is_ours=has_turns):
        raise EpisodeError(f"{path}: {told}")
    if not has_turns:
        return
    euler, quaternions = (_columns(named, rows, COLUMNS[count][3:-1]) for count in (7, 8))
    told = None if euler is None or quaternions is None else told_turns(euler, quaternions)
    if told is not None:
        raise EpisodeError(f"{path}: {told}")


def _columns(named: list[str], rows: Any, names: Sequence[str]) -> np.ndarray | None:
    """Columns by their names, (row, column); None unless each is there once, with a number in every row."""
    if any(named.count(name) != 1 for name in names):
        return None
    places = [named.index(name) for name in names]
    with suppress(ActionImagesError):
        numbers = [_numbers(number, row, places, len(named)) for number, row in enumerate(rows)]
        return np.array(numbers, np.float64).reshape(-1, len(names))
    return None


def _numbers(number: int, row: Any, columns: Sequence[int], width: int) -> list[float]:
    """Some columns of a row; raises ActionImagesError, naming the row (from 0), if they are no numbers."""
    if not isinstance(row, list) or len(row) != width:
        found = len(row) if isinstance(row, list) else "no"
        raise ActionImagesError(
            f"row [{number}] needs the {width} columns that the table has, it has {found}"
        )
    try:
        return [float(row[column]) for column in columns]
    except (ValueError, TypeError, OverflowError) as error:
        raise ActionImagesError(f"row [{number}]: {error}") from None
