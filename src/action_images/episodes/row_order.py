"""The rows of an episode in frame order, and the time of each row."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from action_images.episodes.episode import EpisodeError


def in_order(rows: pa.Table, episode_id: str, path: Path) -> pa.Table:
    """An episode's rows sorted by `frame_index`; unchanged if the file has no such column.

    Tables written by other tools may be unsorted. Raises EpisodeError unless the frames are numbered
    consecutively, each once.
    """
    if "frame_index" not in rows.column_names:
        return rows
    column = rows["frame_index"]
    if column.null_count or not pa.types.is_integer(column.type):
        raise EpisodeError(
            f"{episode_id}: 'frame_index' in {path} is not a number in every row; repair the file"
        )
    numbers = column.to_numpy()
    order = np.argsort(numbers, kind="stable")
    steps = np.diff(numbers[order])
    if (steps != 1).any():
        place = int(np.flatnonzero(steps != 1)[0])
        before, after = numbers[order][place : place + 2].tolist()
        told = f"has frame {before} twice" if before == after else f"goes from frame {before} to {after}"
        raise EpisodeError(
            f"{episode_id}: 'frame_index' in {path} {told}; repair the file or drop the episode"
        )
    ordered = rows if (np.diff(order) == 1).all() else rows.take(pa.array(order))
    _check_times_grow(ordered, episode_id, path)
    return ordered


def _check_times_grow(rows: pa.Table, episode_id: str, path: Path) -> None:
    """Raise EpisodeError if a later frame has an earlier time: one of the two columns is wrong."""
    times = _times(rows)
    if times is None:
        return
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        place = int(back[0])
        told = f"says {times[place]:g} s for frame {place} and {times[place + 1]:g} s for the next"
        cure = "'timestamp' or 'frame_index' is wrong; repair the file or drop the episode"
        raise EpisodeError(f"{episode_id}: 'timestamp' in {path} {told}; {cure}")


def _times(rows: pa.Table) -> np.ndarray | None:
    """The column `timestamp` (s, float64); None if it is missing or not a number in every row."""
    if "timestamp" not in rows.column_names:
        return None
    column = rows["timestamp"]
    if column.null_count or not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return None
    times = column.to_numpy().astype(np.float64)
    return times if np.isfinite(times).all() else None


def row_times(rows: pa.Table, fps: float, episode_id: str) -> np.ndarray:
    """The time of each row in seconds from the episode's start (row), float64: `timestamp` if there is one.

    The column is float32 and says i / fps in most sets; then i / fps itself is returned. Raises EpisodeError
    if it does not count seconds from the episode's start.
    """
    even = np.arange(rows.num_rows) / fps
    times = _times(rows)
    if times is None or (np.abs(times - even) < 0.01 / fps).all():
        return even
    if abs(times[0]) > 0.5 / fps:
        begins = f"'timestamp' begins at {times[0]:.10g}; it counts seconds from the episode's begin"
        raise EpisodeError(f"{episode_id}: {begins}, where it is 0; subtract that, or drop the column")
    step = float(np.median(np.diff(times))) * fps if len(times) > 1 else 1.0
    if not 0.5 < step < 2:
        grows = f"'timestamp' grows by {step / fps:.4g} from frame to frame, {1 / fps:.4g} s are a frame"
        raise EpisodeError(f"{episode_id}: {grows}; correct fps in info.json, or give seconds")
    return times
