"""Trajectories as files of 7- or 8-vectors: npy, csv or json."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from action_images.episodes.episode import EpisodeError
from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory

COLUMNS = {
    7: ["x", "y", "z", "euler_x", "euler_y", "euler_z", "opening"],
    8: ["x", "y", "z", "qx", "qy", "qz", "qw", "opening"],
}
"""What the numbers of a row are: metres, radians (extrinsic xyz) or a quaternion, and 0 closed to 1 open."""
MAX_BYTES = 1_000_000_000
"""A larger file is not a trajectory."""


def load_trajectory(path: Path) -> Trajectory:
    """A trajectory (frame) of float32 from a (rows, 7 or 8) .npy, a .csv with a header of `COLUMNS`, or a .json of lists of rows.

    Raises EpisodeError naming the file and the row for whatever is missing or no valid pose; pickles are refused.
    """
    if not path.is_file():
        raise EpisodeError(f"{path}: there is no such trajectory file")
    if path.stat().st_size > MAX_BYTES:
        raise EpisodeError(
            f"{path}: {path.stat().st_size} bytes is too large for a trajectory file (limit {MAX_BYTES})"
        )
    readers = {".npy": _load_npy, ".csv": _load_csv, ".json": _load_json}
    if path.suffix not in readers:
        raise EpisodeError(f"{path}: a trajectory file ends in .npy, .csv or .json")
    try:
        rows = torch.from_numpy(np.array(readers[path.suffix](path), dtype=np.float64))
    except (ValueError, TypeError, RecursionError, EOFError) as error:
        raise EpisodeError(f"{path}: not a table of numbers ({error})") from error
    if rows.ndim != 2 or rows.shape[1] not in COLUMNS or not len(rows):
        raise EpisodeError(
            f"{path}: needs at least one row of 7 or 8 numbers ({', '.join(COLUMNS[8])}), got shape {list(rows.shape)}"
        )
    try:
        return Trajectory.from_vector(rows).to(torch.float32)
    except ValueError as error:
        raise EpisodeError(f"{path}: {error}") from error


def save_trajectory(path: Path, trajectory: Trajectory, extra: dict[str, torch.Tensor] | None = None) -> None:
    """Write a trajectory (frame) as 8-vectors in the format that the file's ending names.

    `extra` columns, (frame) each, are kept by csv and json and refused by npy, which has no names for them.
    """
    rows = trajectory.to_vector(8).double().cpu().numpy()
    names, extra = COLUMNS[8], extra or {}
    if path.suffix not in (".npy", ".csv", ".json") or (extra and path.suffix == ".npy"):
        kept = ".csv or .json" if extra else ".npy, .csv or .json"
        raise EpisodeError(f"{path}: this trajectory is written as {kept}")
    names, rows = (
        [*names, *extra],
        np.column_stack([rows, *(column.double().cpu().numpy() for column in extra.values())]),
    )
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        if path.suffix == ".npy":
            np.save(file, rows)
        elif path.suffix == ".csv":
            np.savetxt(file, rows, delimiter=",", header=",".join(names), comments="", fmt="%.9g")
        else:
            # json has no NaN; a pose that is not known is null.
            finite = [[number if np.isfinite(number) else None for number in row] for row in rows.tolist()]
            file.write(json.dumps({"columns": names, "rows": finite}, allow_nan=False).encode())
    part.replace(path)


def _load_npy(path: Path) -> Any:
    return np.load(path, allow_pickle=False, mmap_mode="r")


def _load_csv(path: Path) -> Any:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            header, *rows = [row for row in reader if row] or [[]]  # blank lines are nobody's frames
        except csv.Error as error:
            raise ActionImagesError(f"line {reader.line_num}: {error}") from None
    return _pick(header, rows)


def _load_json(path: Path) -> Any:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        if not {"columns", "rows"} <= content.keys():
            raise ActionImagesError(
                "a json trajectory is a list of rows, or an object with 'columns' and 'rows'"
            )
        return _pick(content["columns"], content["rows"])
    return [
        _numbers(number, row, range(len(content[0])), len(content[0])) for number, row in enumerate(content)
    ]


def _pick(header: list[str], rows: list[list[Any]]) -> Any:
    """The columns of a trajectory among those of a table; others are somebody's notes."""
    for names in COLUMNS.values():
        if set(names) <= set(header):
            columns = [header.index(name) for name in names]
            return [_numbers(number, row, columns, len(header)) for number, row in enumerate(rows)]
    raise ActionImagesError(
        f"the header must name the columns {','.join(COLUMNS[8])} (or {','.join(COLUMNS[7][3:6])} in place of the quaternion)"
    )


def _numbers(number: int, row: Any, columns: Sequence[int], width: int) -> list[float]:
    """Some columns of a row; raises ValueError, naming the row (the first is 0), where it is not of this width or holds no numbers."""
    if not isinstance(row, list) or len(row) != width:
        found = len(row) if isinstance(row, list) else "no"
        raise ActionImagesError(
            f"row [{number}] needs the {width} columns that the table has, it has {found}"
        )
    try:
        return [float(row[column]) for column in columns]
    except (ValueError, TypeError, OverflowError) as error:
        raise ActionImagesError(f"row [{number}]: {error}") from None
