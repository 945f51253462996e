"""Each frame's instruction in a LeRobotDataset, by `task_index` and meta/tasks.parquet."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.episode import EpisodeError
from action_images.episodes.strangers import check_inside
from action_images.episodes.tables import plain_numbers, read_table

PANDAS_INDEX = "__index_level_0__"
"""pandas' name of an index without one; LeRobot writes the texts as such an index."""

MOST_INDEX = 1e12
"""A larger index is damage."""
ANY_TASK = "do any "
"""Start of DROID's prompt that lets collectors do whatever they like."""
PLACEHOLDERS = frozenset(
    {
        "none",
        "n/a",
        "na",
        "nan",
        "null",
        "unknown",
        "undefined",
        "no instruction",
        "task description",
        "task description not available",
        "default task",
        "dummy task",
    }
)
"""Placeholders that programs write if there is no instruction."""


def says_nothing(text: str | None) -> bool:
    """Whether an instruction is empty or a placeholder for none."""
    said = "" if text is None else text.strip().lower()
    return said.startswith(ANY_TASK) or said.strip(" .<>[]()") in PLACEHOLDERS


NO_WORDS = re.compile(
    r"""
    \[.*\] | \{.*\} | b['"].*          # a list, a mapping, bytes
    | [\w.:/\\-]*[\d_/\\][\w.:/\\-]*   # a number, a path, a name such as task_3
    | .*(Ã[\x80-\xbf]|â€|&(\w+|\#\d+);).*  # letters or characters in another code
    """,
    re.VERBOSE | re.DOTALL,
)
"""Instructions that are no plain text."""


def is_code(text: str | None) -> bool:
    """Whether an instruction is code in place of words: a list, a name, letters of another encoding."""
    if text is None or says_nothing(text):
        return False
    return NO_WORDS.fullmatch(text.strip()) is not None


@dataclass(frozen=True)
class Part:
    """Frames [start, stop) of an episode with one instruction.

    None if there is no instruction.
    """

    start: int
    stop: int
    text: str | None


def read_texts(root: Path) -> dict[int, str] | None:
    """The texts of meta/tasks.parquet by task_index; None if there is no such file."""
    path = root / layout.TASKS
    if not path.is_file():
        return None
    check_inside(root, path)
    table = read_table(path)
    named = [name for name in ("task", PANDAS_INDEX) if name in table.column_names]
    if not named or "task_index" not in table.column_names:
        raise EpisodeError(f"{path}: has no columns 'task' and 'task_index'; restore the file")
    bound: dict[int, str] = {}
    indices, texts = _whole_numbers(table, "task_index", path).tolist(), table[named[0]].to_pylist()
    for index, text in zip(indices, texts, strict=True):
        if not isinstance(text, str) or index < 0:
            continue
        if bound.setdefault(index, text) != text:
            both = f"{bound[index][:80]!r} and {text[:80]!r}"
            raise EpisodeError(f"{path}: binds task_index {index} to {both}; restore the file")
    return bound


def parts_of(
    episode_id: str, task_indices: Sequence[int | None], texts: dict[int, str] | None, told: object
) -> list[Part]:
    """An episode's frames, cut where the task changes; `told` is the cell `tasks` of meta/episodes.

    Without meta/tasks.parquet or without a `task_index`, the one text of `tasks` holds for all frames. Raises
    EpisodeError if an index has no text, or if only `tasks` is left and names several.
    """
    if texts is None or not len(task_indices):
        return [Part(0, len(task_indices), _only_text(episode_id, told))]
    known = np.array([-1 if index is None else index for index in task_indices])
    cuts = [0, *(np.flatnonzero(np.diff(known)) + 1).tolist(), len(known)]
    parts = []
    for start, stop in pairwise(cuts):
        index = int(known[start])
        if index >= 0 and index not in texts:
            raise EpisodeError(
                f"{episode_id}: frame {start} has the task_index {index}, which {layout.TASKS} does "
                "not have; "
                "restore that file"
            )
        parts.append(Part(start, stop, texts.get(index, "").strip() or None))
    return _joined(parts)


def _joined(parts: list[Part]) -> list[Part]:
    """Merge neighbours with the same instruction."""
    joined = parts[:1]
    for part in parts[1:]:
        if part.text == joined[-1].text:
            joined[-1] = Part(joined[-1].start, part.stop, part.text)
        else:
            joined.append(part)
    return joined


def _only_text(episode_id: str, told: object) -> str | None:
    texts = texts_told(told)
    if len(set(texts)) > 1:
        raise EpisodeError(
            f"{episode_id}: meta/episodes names {len(texts)} tasks and {layout.TASKS} is not there to "
            "say of which "
            "frames; restore that file"
        )
    return texts[0] if texts else None


def texts_told(told: object) -> list[str]:
    """The texts in a cell of the column `tasks`, which is a list, or a text."""
    if isinstance(told, str):
        return [told.strip()] if told.strip() else []
    return (
        [text.strip() for text in told if isinstance(text, str) and text.strip()]
        if isinstance(told, list)
        else []
    )


def task_columns(path: Path) -> dict[int, np.ndarray]:
    """Each episode of a data file with the task_index of its frames (-1: none), in frame order."""
    table = read_table(path, ["episode_index"], optional=["task_index", "frame_index"])
    if "task_index" not in table.column_names:
        return {}
    episodes, tasks = (_whole_numbers(table, name, path) for name in ("episode_index", "task_index"))
    has_frames = "frame_index" in table.column_names
    frames = _whole_numbers(table, "frame_index", path) if has_frames else np.arange(len(tasks))
    order = np.lexsort((frames, episodes))
    episodes, tasks = episodes[order], tasks[order]
    starts = np.flatnonzero(np.diff(episodes, prepend=episodes[:1] - 1))
    pieces = np.split(tasks, starts[1:])
    return {int(episodes[start]): piece for start, piece in zip(starts, pieces, strict=True)}


def _whole_numbers(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """A column of whole numbers, with -1 for a missing one; raises EpisodeError for any others."""
    column = plain_numbers(table[name])
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        cure = "write one whole number in each row"
        raise EpisodeError(f"{path}: the column '{name}' holds {kind}, no whole numbers; {cure}")
    values = column.cast(pa.float64(), safe=False).to_numpy()
    values = np.where(np.isnan(values), -1, values)
    is_wrong = (values != np.floor(values)) | (np.abs(values) > MOST_INDEX)
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        raise EpisodeError(f"{path}: '{name}' is {values[row]:g} in row {row}, no index; repair the file")
    return values.astype(np.int64)
