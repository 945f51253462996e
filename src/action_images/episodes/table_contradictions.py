"""Contradictions in one table: its rows' order, episodes, rotations, frames and units."""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from action_images.geometry import rotation as rotations

TIME = "time"
"""The column with each row's time (s)."""
ROW_NUMBERS = (
    "frame",
    "frame_index",
    "frame_number",
    "frame_id",
    "index",
    "step",
    "row",
    "picture",
    "unnamed: 0",
    "",
)
"""Columns that number the rows; pandas writes its row numbers under no name."""
SAME_DEG = 1.0
"""Angles and a quaternion of one row that differ by more are not the same rotation."""

EPISODES = ("episode", "episode_index", "episode_id", "trajectory_id", "demo", "demo_id", "trial", "rollout")
"""Columns that tell whose rows these are."""
FRAMES = (
    "frame_id",
    "header.frame_id",
    "header_frame_id",
    "reference_frame",
    "parent_frame",
    "coordinate_frame",
)
"""Columns that tell in which frame the poses are."""
UNITS = {
    **dict.fromkeys(
        ("unit", "units", "length_unit", "position_unit"), ("metres", re.compile("m|met(er|re)s?"))
    ),
    **dict.fromkeys(("angle_unit", "rotation_unit"), ("radians", re.compile("rad(ians?)?"))),
}
"""Columns that tell a unit -> what is read, and the words for it."""
A_CAMERAS = re.compile(r"cam(era)?s?($|[^a-z])|optical", re.IGNORECASE)


def told_words(cells: dict[str, list[str]], *, is_ours: bool) -> Iterator[str]:
    """Why words (row) in the columns of a table, by the columns' names, contradict how it is read.

    `is_ours`: nobody has declared another unit or frame.
    """
    for name in filter(cells.__contains__, EPISODES):
        found = _distinct(cells[name])
        if len(found) > 1:
            told = f"the column '{name}' names {len(found)} episodes ({', '.join(found[:3])})"
            yield f"{told}; give each episode a table of its own"
    for name in filter(cells.__contains__, FRAMES):
        found = [word for word in _distinct(cells[name]) if not _is_number(word)]
        if len(found) > 1:
            told = f"the column '{name}' names {len(found)} frames ({', '.join(found[:3])})"
            yield f"{told}; give all poses in one, that of the cameras' poses"
        elif found and A_CAMERAS.search(found[0]) and is_ours:
            told = f"the column '{name}' says '{found[0]}', a camera's frame by its name"
            yield f"{told}; give poses in the frame of the cameras', or rename the column"
    for name in filter(cells.__contains__, UNITS if is_ours else ()):
        unit, words = UNITS[name]
        other = [word for word in _distinct(cells[name]) if not words.fullmatch(word.lower())]
        if other:
            told = f"the column '{name}' says '{other[0]}', and {unit} are read"
            yield f"{told}; convert the numbers, or declare the notation with --columns"


def _distinct(words: Iterable[str]) -> list[str]:
    """The words that are there, each once, in the order of the rows."""
    return list(dict.fromkeys(word.strip()[:80] for word in words if word.strip()))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def told_row_numbers(name: str, numbers: np.ndarray) -> str | None:
    """Why the rows' numbers (row), in the column `name`, contradict that row i is frame i; None if not.

    They may begin anywhere and grow by more than one: rows of every third frame have pictures of these. A
    column that is not called a frame's and repeats numbers means something else, and so does a constant one.
    """
    steps = np.diff(numbers)
    is_other = not name.startswith("frame") and len(np.unique(numbers)) < len(numbers)
    if not np.isfinite(numbers).all() or not steps.any() or is_other:
        return None
    wrong = np.flatnonzero((steps != np.median(steps)) | (steps <= 0))
    if not len(wrong):
        return None
    row = int(wrong[0])
    called = f"column '{name}'" if name else "column without a name"
    goes = f"the {called} goes from {numbers[row]:g} to {numbers[row + 1]:g} in row {row + 1} (from 0)"
    cure = "sort the rows, one for each picture, or drop the column if its numbers mean something else"
    return f"{goes}, and row i belongs to picture i; {cure}"


def told_turns(euler: np.ndarray, quaternions: np.ndarray) -> str | None:
    """Why Euler angles (row, 3; rad) are not those of quaternions (row, 4; x y z w); None if they are.

    Rows that are no rotations are not compared: reading them refuses them.
    """
    known = np.isfinite(euler).all(1) & np.isfinite(quaternions).all(1)
    known &= np.abs(np.linalg.norm(quaternions, axis=1) - 1) < 0.01
    if not known.any():
        return None
    turns = rotations.from_euler_xyz(torch.from_numpy(euler[known]))
    others = rotations.from_quaternion_xyzw(torch.from_numpy(quaternions[known]))
    apart = torch.rad2deg(rotations.angle_between(turns, others))
    worst = int(apart.argmax())
    if apart[worst] <= SAME_DEG:
        return None
    row = int(np.flatnonzero(known)[worst])
    told = f"euler_x, euler_y, euler_z and qx, qy, qz, qw differ by {float(apart[worst]):.0f} degrees"
    return f"{told} in row {row} (from 0); keep the columns of the right ones alone"
