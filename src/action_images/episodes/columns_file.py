"""The json file of `--columns`: which columns of a table are the tool's pose, and their notation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.notation import KEYS, ToolNotation, notation_from_json
from action_images.geometry import Trajectory


@dataclass(frozen=True)
class Columns:
    """The pose's columns and then the gripper's, by name or number, and their notation."""

    path: Path
    chosen: tuple[int | str, ...]
    notation: ToolNotation
    ignore_names: bool
    said_absolute: bool
    said_rotation: bool = True

    def places(self, named: Sequence[str]) -> list[int]:
        """The indices of these columns in a table; raises EpisodeError if one is missing."""
        plain = [plain_name(name) for name in named]
        wanted = [plain_name(one) if isinstance(one, str) else one for one in self.chosen]
        twice = [one for one in wanted if isinstance(one, str) and plain.count(one) > 1]
        if twice:
            cure = "rename one there, or give the column's number, the first is 0"
            raise EpisodeError(
                f"{self.path}: the table has {plain.count(twice[0])} columns called {twice[0]!r}; {cure}"
            )
        numbers = [plain.index(one) if isinstance(one, str) and one in plain else one for one in wanted]
        places = [one for one in numbers if isinstance(one, int) and 0 <= one < len(named)]
        if len(places) < len(numbers):
            asked, has = ", ".join(map(str, self.chosen)), ", ".join(named)
            raise EpisodeError(f"{self.path}: the columns {asked} are not all there; the table has {has}")
        if len(set(places)) < len(places):
            raise EpisodeError(_names_twice(self.path))
        return places

    def written(self, trajectory: Trajectory) -> tuple[list[str], Tensor]:
        """The header and the rows of a table with these columns alone; raises as `header` does."""
        names, numbers = self.header(), self.notation.numbers(trajectory)
        if all(isinstance(one, str) for one in self.chosen):
            return names, numbers
        return names, numbers[:, torch.tensor([int(one) for one in self.chosen]).argsort()]

    def header(self) -> list[str]:
        """The header of a table with these columns alone.

        Raises EpisodeError if their numbers leave gaps, whose contents are unknown.
        """
        if all(isinstance(one, str) for one in self.chosen):
            return [str(one) for one in self.chosen]
        if sorted(map(str, self.chosen)) != sorted(map(str, range(len(self.chosen)))):
            cure = f"name them, or number them 0 to {len(self.chosen) - 1}"
            raise EpisodeError(f"{self.path}: a table of these columns alone cannot be written; {cure}")
        return [f"column_{number}" for number in range(len(self.chosen))]


def plain_name(name: str) -> str:
    """A column's name for comparison: without surrounding spaces, in lower case."""
    return name.strip().lower()


def load_columns(path: Path) -> Columns:
    """The declaration in a --columns file; raises EpisodeError naming the field that is wrong."""
    if not path.exists():
        raise EpisodeError(f"{path}: there is no such file; --columns names the json file of the declaration")
    entry = read_json(path)
    known = {"columns", *KEYS}
    unknown = sorted(set(entry) - known)
    if unknown:
        fields = ", ".join(sorted(known))
        raise EpisodeError(f"{path}: has the unknown field {', '.join(unknown)[:120]}; it may have {fields}")
    columns = entry.get("columns")
    if not isinstance(columns, list) or len(columns) < 2 or not all(map(_is_column, columns)):
        cure = "lists the pose's columns and then the gripper's, by name or number"
        raise EpisodeError(f"{path}: 'columns' {cure}")
    if len({plain_name(one) if isinstance(one, str) else one for one in columns}) < len(columns):
        raise EpisodeError(_names_twice(path))
    notation = notation_from_json(entry, len(columns) - 1, str(path))
    ignore_names = entry.get("ignore_names", False) is True
    said = "relative" in entry, "rotation" in entry
    return Columns(path, tuple(columns), notation, ignore_names, *said)


def _names_twice(path: Path) -> str:
    return f"{path}: 'columns' names a column twice; each is one number of the pose"


def _is_column(one: object) -> bool:
    return isinstance(one, str) or (isinstance(one, int) and not isinstance(one, bool))
