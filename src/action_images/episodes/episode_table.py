"""The rows of meta/episodes: which rows can be episodes, and where each episode's files are."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.episode import EpisodeError, check_id
from action_images.episodes.tables import column_names, read_table
from action_images.episodes.video_places import Claim

MAX_EPISODE_FRAMES = 200_000
MAX_TABLE_BYTES = 256 << 20
"""Limit for the rows of the episode table without statistics; a million rows are a tenth of this."""

LeaveOut = Callable[[str, str], None]


class EpisodeTable:
    """The episodes of a LeRobotDataset v3 as its table lists them, in the order of their index.

    Raises EpisodeError if the table cannot be read, and for the first row that cannot be an episode. If
    `leave_out` is given, it is called with each such row and the reason. `impossible` then has the reasons by
    id, and the other rows are kept. A row without a place in one view's videos is then an episode too, and
    its other views can be read.
    """

    def __init__(self, root: Path, video_keys: list[str], leave_out: LeaveOut | None = None):
        self.root = root
        self._video_keys = video_keys
        self.impossible: dict[str, str] = {}
        table = _read(root)
        columns = [*layout.DATA_PLACE, *(_video_columns(video_keys) if leave_out is None else ())]
        self._check_columns(table, columns)
        self.table = self._possible(table, columns, leave_out)
        self._claims: dict[str, dict[tuple[int, int], list[Claim]]] = {}

    def row(self, index: int) -> dict[str, Any]:
        """One row by column, with integers as ints."""
        row = self.table.slice(index, 1).to_pylist()[0]
        return row | {"episode_index": int(row["episode_index"]), "length": int(row["length"])}

    def claims(self, key: str, chunk: int, file: int) -> list[Claim]:
        """The claims of all episodes on one video file."""
        return self._all_claims(key).get((chunk, file), [])

    def files(self, key: str) -> list[tuple[int, int]]:
        """The (chunk, file) numbers of all video files of a view."""
        return list(self._all_claims(key))

    def out_of_order(self, key: str) -> tuple[str, str] | None:
        """The first two episodes of which the later lies before the earlier in a view's videos."""
        files = list(self._all_claims(key).items())
        for _, claims in files:
            for before, after in pairwise(claims):
                if after.start < before.start:
                    return before.episode_id, after.episode_id
        for (place, claims), (next_place, next_claims) in pairwise(files):
            if next_place < place:
                return claims[-1].episode_id, next_claims[0].episode_id
        return None

    def _all_claims(self, key: str) -> dict[tuple[int, int], list[Claim]]:
        if key not in self._claims:
            self._claims[key] = self._claims_of(key)
        return self._claims[key]

    def _claims_of(self, key: str) -> dict[tuple[int, int], list[Claim]]:
        names = [f"videos/{key}/{part}" for part in ("chunk_index", "file_index", "from_timestamp")]
        if not set(names) <= set(self.table.column_names):
            return {}
        columns = (self.table[name].to_pylist() for name in ("episode_id", "length", *names))
        ends = f"videos/{key}/to_timestamp"
        known = self.table[ends].to_pylist() if ends in self.table.column_names else [None] * len(self.table)
        found: dict[tuple[int, int], list[Claim]] = {}
        for episode_id, length, chunk, file, start, end in zip(*columns, known, strict=True):
            if all(is_place(number) for number in (chunk, file, start)):
                claim = Claim(episode_id, float(start), int(length), float(end) if is_place(end) else None)
                found.setdefault((int(chunk), int(file)), []).append(claim)
        return found

    def _check_columns(self, table: pa.Table, names: list[str]) -> None:
        missing = [name for name in names if table.column_names.count(name) != 1]
        if missing:
            raise EpisodeError(
                f"{self.root}: meta/episodes lacks the columns {', '.join(missing)}, or has them "
                "twice; restore it"
            )

    def _possible(self, table: pa.Table, columns: list[str], leave_out: LeaveOut | None) -> pa.Table:
        """The rows that can be episodes; other rows are reported, or the first one is an error."""
        reasons = self._reasons(table, columns)
        for place, reason in enumerate(reasons):
            if reason is None:
                continue
            row = f"row {place} of meta/episodes"
            if leave_out is None:
                raise EpisodeError(f"{self.root}: {row}: {reason}")
            leave_out(row, reason)
            self.impossible[f"row_{place}"] = f"{row}: {reason}"
        return table.filter(pa.array([reason is None for reason in reasons], pa.bool_()))

    def _reasons(self, table: pa.Table, columns: list[str]) -> list[str | None]:
        reasons: list[str | None] = [None] * table.num_rows
        for name in columns:
            for place in np.flatnonzero(self._impossible_numbers(table, name)):
                value = str(table[name][place])[:40]
                told = f"{value} is impossible for '{name}' in meta/episodes; repair it"
                reasons[place] = reasons[place] or told
        seen: set[str] = set()
        names = zip(table["length"].to_pylist(), table["episode_id"].to_pylist(), strict=True)
        for place, (length, name) in enumerate(names):
            reasons[place] = reasons[place] or _against(length, name, seen)
            seen |= {name} if isinstance(name, str) else set()
        return reasons

    def _impossible_numbers(self, table: pa.Table, name: str) -> np.ndarray:
        """Marks rows with an invalid number; raises EpisodeError if the column holds no numbers at all."""
        values = table[name]
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            raise EpisodeError(
                f"{self.root}: the column '{name}' of meta/episodes holds no numbers; repair it"
            )
        array = values.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
        whole = name.endswith("from_timestamp") | (array == np.floor(array))
        return ~(np.isfinite(array) & (array >= 0) & (array <= 1e12) & whole)


def is_place(number: object) -> bool:
    """Whether a cell can be an index or a time."""
    return isinstance(number, (int, float)) and bool(np.isfinite(number)) and 0 <= number <= 1e12


def _video_columns(video_keys: list[str]) -> list[str]:
    parts = ("chunk_index", "file_index", "from_timestamp")
    names: list[str] = []
    for key in video_keys:
        names += [f"videos/{key}/{part}" for part in parts]
    return names


def _read(root: Path) -> pa.Table:
    """All files of meta/episodes, without unused statistics, sorted by episode_index."""
    paths = sorted(root.glob("meta/episodes/*/*.parquet"))
    if not paths:
        raise EpisodeError(_nothing_there(root))
    tables = []
    for path in paths:
        layout.check_inside(root, path)
        names = [name for name in column_names(path) if not name.startswith("stats/") or _counts(name)]
        tables.append(read_table(path, names, max_bytes=MAX_TABLE_BYTES))
    try:
        table = pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        reason = f"the files of meta/episodes differ in their columns ({error})"
        raise EpisodeError(f"{root}: {reason}; repair them") from None
    if "episode_index" not in table.column_names or "length" not in table.column_names:
        raise EpisodeError(f"{root}: meta/episodes lacks the columns episode_index, length; restore it")
    table = table.sort_by("episode_index")
    return _with_ids(table)


def _nothing_there(root: Path) -> str:
    if (root / "meta/episodes.jsonl").is_file():
        told = "has meta/episodes.jsonl, as LeRobot v2 writes it"
        return f"{root}: {told}; convert it with LeRobot's own converter"
    return f"{root}: is an empty data set; import or record episodes first"


def _with_ids(table: pa.Table) -> pa.Table:
    """The table with an id for each row: LeRobot's tools know no ids, and keep or drop ours.

    A row without an id gets its number. In merged sets whose episodes have the same ids, later ones are
    called `<id>/merged2` and so on; duplicates of a row keep one name.
    """
    numbers = table["episode_index"].to_pylist()  # not yet checked to be integers, or present
    given = table["episode_id"].to_pylist() if "episode_id" in table.column_names else [None] * len(numbers)
    ids = [_numbered(number) if name is None else name for name, number in zip(given, numbers, strict=True)]
    if not all(isinstance(name, str) for name in ids):
        return table
    ids = _distinct(ids) if _are_apart(table) else ids
    if "episode_id" in table.column_names:
        table = table.drop_columns(["episode_id"])
    return table.append_column("episode_id", pa.array(ids))


def _are_apart(table: pa.Table) -> bool:
    """Whether all rows have distinct numbers and distinct rows in the data."""
    names = [name for name in ("episode_index", "dataset_from_index") if name in table.column_names]
    columns = [table[name].to_pylist() for name in names]
    return all(len(set(column)) == len(column) for column in columns)


def _numbered(number: float | None) -> str:
    return "episode_unknown" if number is None else f"episode_{number:06.0f}"


def _distinct(ids: list[str]) -> list[str]:
    """The names, with repeated ones made distinct."""
    used, found = set(ids), set()
    distinct = []
    for name in ids:
        own, count = name, 1
        while own in found or (count > 1 and own in used):
            count += 1
            own = f"{name}/merged{count}"
        found.add(own)
        distinct.append(own)
    return distinct


def _counts(name: str) -> bool:
    """Whether a column counts the known numbers of the tool's poses or of a camera."""
    return name.endswith("/count") and name.startswith((f"stats/{layout.STATE}", f"stats/{layout.CAMERAS}"))


def _against(length: float, episode_id: object, seen: set[str]) -> str | None:
    """The reason why a row cannot be an episode beside those already seen; None if it can."""
    if not 1 <= length <= MAX_EPISODE_FRAMES:
        claim = f"it claims {length:.0f} frames, there may be 1 to {MAX_EPISODE_FRAMES}"
        return f"{claim}; repair meta/episodes"
    if not isinstance(episode_id, str):
        return f"its episode_id is {str(episode_id)[:80]}, no text; repair meta/episodes"
    if episode_id in seen:
        return f"two episodes share the id {episode_id[:80]!r}; repair meta/episodes"
    try:
        check_id(episode_id)
    except EpisodeError as error:
        return str(error)
    return None
