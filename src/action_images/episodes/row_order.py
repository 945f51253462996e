"""The rows of an episode in frame order, and the time of each row."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from action_images.episodes.episode import EpisodeError
from action_images.episodes.tables import plain_numbers
from action_images.episodes.video_places import MOST_RATE_ERROR

CUT = "where rows were left out and the others keep their times, 'import --gaps cut' makes parts of it"
LEAST_STEP, MOST_STEP = 0.5, 1.5
"""Rows that are closer or farther apart (in frames) are no neighbours: their pace would be wrong."""


def in_order(rows: pa.Table, episode_id: str, path: Path, *, with_gaps: bool = False) -> pa.Table:
    """An episode's rows sorted by `frame_index`; unchanged if the file has no such column.

    Tables written by other tools may be unsorted. Raises EpisodeError unless the frames are numbered
    consecutively, each once; `with_gaps`: numbers may be left out.
    """
    if "frame_index" not in rows.column_names:
        return rows
    column = plain_numbers(rows["frame_index"])
    if column.null_count or not pa.types.is_integer(column.type):
        raise EpisodeError(
            f"{episode_id}: 'frame_index' in {path} is not a number in every row; repair the file"
        )
    numbers = column.to_numpy()
    order = np.argsort(numbers, kind="stable")
    steps = np.diff(numbers[order])
    wrong = np.flatnonzero((steps < 1) if with_gaps else (steps != 1))
    if len(wrong):
        before, after = numbers[order][wrong[0] : wrong[0] + 2].tolist()
        told, cure = f"has frame {before} twice", "repair the file or drop the episode"
        if before != after:
            told, cure = f"goes from frame {before} to {after}", f"{cure}; {CUT}"
        raise EpisodeError(f"{episode_id}: 'frame_index' in {path} {told}; {cure}")
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
    column = plain_numbers(rows["timestamp"])
    if column.null_count or not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return None
    times = column.to_numpy().astype(np.float64)
    return times if np.isfinite(times).all() else None


def gaps(rows: pa.Table, fps: float, episode_id: str) -> dict[int, int]:
    """The rows of an episode, in frame order, before which frames are left out, and how many.

    Raises EpisodeError as `row_times` does, and if `frame_index` leaves numbers out whose time is not.
    """
    steps = np.diff(row_times(rows, fps, episode_id, with_gaps=True)) * fps
    found = {row + 1: round(float(steps[row])) - 1 for row in np.flatnonzero(steps > MOST_STEP).tolist()}
    if "frame_index" in rows.column_names:
        numbers = np.diff(plain_numbers(rows["frame_index"]).to_numpy())
        wrong = np.flatnonzero((numbers > 1) & (np.abs(steps - numbers) > LEAST_STEP))
        if len(wrong):
            leaves = f"'frame_index' leaves numbers out behind row {wrong[0]}"
            told = f"{leaves}, the next is {steps[wrong[0]] / fps:.3f} s on by 'timestamp'"
            raise EpisodeError(f"{episode_id}: {told}; one of the two is wrong: repair the file")
    return found


def row_times(rows: pa.Table, fps: float, episode_id: str, *, with_gaps: bool = False) -> np.ndarray:
    """The time of each row in seconds from the episode's start (row), float64: `timestamp` if there is one.

    The column is float32 and says i / fps in most sets; then i / fps itself is returned. Raises EpisodeError
    if it does not count seconds from the episode's start, at the set's rate and at even times. `with_gaps`:
    rows may be left out.
    """
    even = np.arange(rows.num_rows) / fps
    times = _times(rows)
    if times is None:
        _check_even_rows(rows, episode_id)
        if with_gaps and "frame_index" in rows.column_names:
            return plain_numbers(rows["frame_index"]).to_numpy() / fps
        return even
    if (np.abs(times - even) < 0.01 / fps).all():
        return even
    if abs(times[0]) > 0.5 / fps:
        begins = f"'timestamp' begins at {times[0]:.10g}; it counts seconds from the episode's begin"
        raise EpisodeError(f"{episode_id}: {begins}, where it is 0; subtract that, or drop the column")
    if len(times) > 1:
        _check_steps(np.diff(times) * fps, fps, episode_id, with_gaps=with_gaps)
    return times


def _check_even_rows(rows: pa.Table, episode_id: str) -> None:
    """Raise EpisodeError unless rows without times are those from the episode's start on."""
    if "timestamp" in rows.column_names:
        cure = "give each row its seconds from the episode's begin, or drop the column"
        raise EpisodeError(f"{episode_id}: 'timestamp' is not a finite number in every row; {cure}")
    first = plain_numbers(rows["frame_index"])[0].as_py() if "frame_index" in rows.column_names else 0
    if first != 0:
        begins = f"'frame_index' begins at {first} and there is no 'timestamp'"
        cure = "number the frames from 0, or add the column"
        raise EpisodeError(f"{episode_id}: {begins}, so it is not known where its pictures begin; {cure}")


def _check_steps(steps: np.ndarray, fps: float, episode_id: str, *, with_gaps: bool) -> None:
    """Raise EpisodeError unless rows follow each other at the set's rate; `steps` are in frames."""
    near = steps[steps <= MOST_STEP * np.median(steps)]
    mean = float(near.mean())
    # Times that jitter or are rounded do not tell the rate of a few rows.
    unsure = float(np.abs(np.cumsum(near - mean)).max())
    if abs(mean - 1) > MOST_RATE_ERROR and abs(mean - 1) * len(near) > 2 * unsure:
        grows = f"'timestamp' grows by {mean / fps:.4g} from frame to frame, {1 / fps:.4g} s are a frame"
        cure = "correct fps in info.json, give seconds, or drop the column if row i is shown at i / fps"
        raise EpisodeError(f"{episode_id}: {grows}; {cure}")
    uneven = np.flatnonzero((steps < LEAST_STEP) | ((steps > MOST_STEP) & (not with_gaps)))
    if len(uneven):
        place = int(uneven[0])
        apart = f"frames {place} and {place + 1} are {steps[place] / fps:.3f} s apart by 'timestamp'"
        is_gap = steps[place] > MOST_STEP
        cure = CUT if is_gap else "write each frame once, at its own time, or drop the episode"
        raise EpisodeError(f"{episode_id}: {apart}, {1 / fps:.3f} s are a frame; {cure}")
