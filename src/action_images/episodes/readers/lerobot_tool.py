"""The tool of a LeRobotDataset: the features and columns of its pose and its gripper's reading."""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from action_images.episodes.contradictions import (
    in_angles,
    in_gripper,
    in_gripper_name,
    in_jumps,
    in_names,
    in_poses,
    in_positions,
    in_sides,
    in_speed,
    is_beyond,
    tell_rotation,
)
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.notation import KEYS, notation_from_json
from action_images.episodes.readers.folders import as_tensor
from action_images.errors import ActionImagesError
from action_images.geometry import Trajectory

TOOL_FIELDS = {"feature", "columns", "gripper", *KEYS}
GRIPPER_FIELDS = {"feature", "column", "closed", "open"}
EPISODES_COMPARED = 20
"""Number of episodes, spread over the set, whose numbers are compared with the declaration."""


class Tool:
    """The columns that hold the tool's pose and the gripper's reading, and their notation."""

    def __init__(self, entry: object, dataset: Dataset, where: str):
        known(entry, TOOL_FIELDS, where)
        assert isinstance(entry, dict)
        self._dataset, self._where = dataset, where
        self._features = _features_named(entry.get("feature"), dataset, where)
        self._columns = _columns_of(entry.get("columns"), self._features, dataset, where)
        gripper = entry.get("gripper")
        if gripper is None:
            self._gripper_features, self._gripper_column = self._features, self._columns.pop()
            readings: Mapping[str, Any] = {}
        else:
            known(gripper, GRIPPER_FIELDS, f"{where}.gripper")
            self._gripper_features = _features_named(gripper.get("feature"), dataset, f"{where}.gripper")
            column = [gripper.get("column", 0)]
            inside = f"{where}.gripper"
            self._gripper_column = _columns_of(column, self._gripper_features, dataset, inside)[0]
            readings = {name: gripper[name] for name in ("closed", "open") if name in gripper}
        self._notation = notation_from_json({**entry, **readings}, len(self._columns), where)
        names = names_of(dataset, self._features) or []
        is_told = "rotation" in entry or tell_rotation([names[one] for one in self._columns[3:] if names])
        self.assumed = None if is_told else self._notation.rotation
        """The notation of rotations if only the number of columns tells it, else None."""
        self.uncompared = [one for one in self._features if _are_others(dataset, one)]
        """Features whose names cannot be compared with the declaration: they are of another number."""
        if entry.get("ignore_names", False) is not True:
            self._compare_names(is_declared="rotation" in entry)
        self._said_absolute = "relative" in entry
        self._compare()

    @property
    def features(self) -> set[str]:
        """The features that are read."""
        return {*self._features, *self._gripper_features}

    def trajectory(self, place: int) -> Trajectory:
        """The path of an episode; raises EpisodeError if a row is no pose."""
        try:
            numbers, readings = self._numbers(place)
            trajectory = self._notation.trajectory(numbers, readings)
            for contradiction in in_poses(numbers, self._notation, said_absolute=self._said_absolute):
                raise ActionImagesError(contradiction)
        except EpisodeError:
            raise
        except ValueError as error:
            raise EpisodeError(f"{self._where}: {error}") from None
        return trajectory

    def _numbers(self, place: int) -> tuple[Tensor, Tensor]:
        values = self._values(place, self._features, self._columns)
        grippers = self._values(place, self._gripper_features, [self._gripper_column])
        return values, grippers[:, 0]

    def _whole_numbers(self, place: int) -> tuple[Tensor, Tensor]:
        """An episode's numbers; empty for an episode that is refused when it is read."""
        with suppress(EpisodeError):
            numbers, readings = self._numbers(place)
            if numbers.isfinite().all() and readings.isfinite().all():
                return numbers, readings
        return torch.empty(0, 3), torch.empty(0)

    def _values(self, place: int, features: Sequence[str], columns: list[int]) -> Tensor:
        parts = []
        for name in features:
            part, width = column(self._dataset, place, name), _width(self._dataset, name)
            if part.shape[-1] != width:
                rows = f"its rows have {part.shape[-1]} numbers of {name}, info.json says {width}"
                raise EpisodeError(f"{self._where}: {rows}; repair the file")
            parts.append(part)
        return torch.cat(parts, -1)[:, columns]

    def _compare_names(self, *, is_declared: bool) -> None:
        """Raise EpisodeError if the names of the columns contradict the declaration."""
        names = names_of(self._dataset, self._features)
        if names:
            chosen = [names[column] for column in self._columns]
            self._refuse(in_names(chosen, self._notation, is_declared=is_declared))
        grippers = names_of(self._dataset, self._gripper_features)
        gripper = grippers[self._gripper_column] if grippers else None
        if gripper is None and [_width(self._dataset, name) for name in self._gripper_features] == [1]:
            gripper = self._gripper_features[0]
        if gripper is not None:
            self._refuse(in_gripper_name(gripper, self._notation))
        chosen = [names[column] for column in self._columns] if names else list(self._features)
        self._refuse(in_sides([*chosen, *([] if gripper is None else [gripper])]))

    def _compare(self) -> None:
        """Raise EpisodeError if the numbers contradict the declaration.

        One episode is enough for a rotation that jumps, as most turn too little to tell. Positions, angles
        and readings must contradict in most episodes. If few do, these are refused when they are read.
        """
        positions: list[str | None] = []
        angles: list[str | None] = []
        ranges: list[tuple[float, float]] = []
        for place in _spread(len(self._dataset)):
            numbers, readings = self._whole_numbers(place)
            if len(numbers):
                turn = numbers[:, 3:]
                told = next(in_angles(turn, self._notation), None)
                if told is None:
                    self._refuse(in_jumps(turn, self._notation))
                    told = next(in_speed(turn, self._notation), None)
                angles.append(told)
                told = next(in_positions(numbers, self._notation, said_absolute=self._said_absolute), None)
                positions.append(told)
                ranges.append((float(readings.min()), float(readings.max())))
        for judged in (positions, angles):
            said = [one for one in judged if one is not None]
            self._refuse(said if 2 * len(said) >= len(judged) else ())
        usual = [one for one in ranges if not is_beyond(*one, self._notation)]
        taken = usual if 2 * len(usual) > len(ranges) else ranges
        self._refuse(in_gripper(*_span(taken), self._notation) if taken else ())

    def _refuse(self, contradictions: Iterable[str]) -> None:
        for contradiction in contradictions:
            raise EpisodeError(f"{self._where}: {contradiction}")


def _span(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The smallest and largest of some readings."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def known(entry: object, fields: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise EpisodeError(
            f"{where}: is a json object with {', '.join(sorted(fields))}; docs/data.md shows it"
        )
    unknown = sorted(map(str, set(entry) - fields))
    if unknown:
        has = ", ".join(sorted(fields))
        raise EpisodeError(f"{where}: has the unknown field {', '.join(unknown)[:120]}; it may have {has}")


def feature_named(feature: object, dataset: Dataset, where: str) -> str:
    if not isinstance(feature, str) or feature not in dataset.info["features"]:
        has = ", ".join(dataset.info["features"])
        raise EpisodeError(f"{where}: the set has no feature {str(feature)[:80]!r}; it has {has}")
    return feature


def _width(dataset: Dataset, feature: str) -> int:
    """How many numbers a row has: a matrix counts all of its."""
    return math.prod(dataset.info["features"][feature]["shape"])


def _features_named(entry: object, dataset: Dataset, where: str) -> tuple[str, ...]:
    """One feature, or several whose numbers are concatenated."""
    named = entry if isinstance(entry, list) and entry else [entry]
    return tuple(feature_named(name, dataset, where) for name in named)


def _columns_of(columns: object, features: Sequence[str], dataset: Dataset, where: str) -> list[int]:
    """The indices of columns given by number or by name."""
    names = names_of(dataset, features) or []
    if isinstance(columns, list):
        twice = [one for one in columns if isinstance(one, str) and names.count(one) > 1]
        if twice:
            cure = f"give its number: {_numbers_of(twice[0], names)}"
            raise EpisodeError(
                f"{where}: {names.count(twice[0])} columns are called {twice[0][:80]!r}; {cure}"
            )
        columns = [names.index(one) if isinstance(one, str) and one in names else one for one in columns]
    return _column_numbers(columns, sum(_width(dataset, name) for name in features), where)


def _numbers_of(name: str, names: Sequence[str]) -> str:
    """The numbers of all columns of a name."""
    return " or ".join(str(number) for number, one in enumerate(names) if one == name)


def _column_numbers(columns: object, width: int, where: str) -> list[int]:
    unknown = [one for one in columns if isinstance(one, str)] if isinstance(columns, list) else []
    if unknown:
        raise EpisodeError(
            f"{where}: 'columns' names {', '.join(unknown)[:120]}, the feature has no such column"
        )
    if not isinstance(columns, list) or not columns or not all(type(one) is int for one in columns):
        raise EpisodeError(f"{where}: 'columns' lists names or whole numbers, the first column is 0")
    if len(set(columns)) < len(columns):
        raise EpisodeError(f"{where}: 'columns' names a column twice; each is one number of the pose")
    if not all(0 <= column < width for column in columns):
        raise EpisodeError(f"{where}: columns {columns} are named, the feature has 0 to {width - 1}")
    return list(columns)


def column(dataset: Dataset, place: int, feature: str) -> Tensor:
    """(frame, numbers) of a feature; a single number is one column, a matrix is flattened row by row."""
    values = dataset.column(place, feature)
    if any(_is_matrix(value) for value in values):
        return as_tensor(values, (None, None, None), feature).flatten(1)
    flat = [value if isinstance(value, (list, tuple)) else [value] for value in values]
    return as_tensor(flat, (None, None), feature)


def _is_matrix(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], (list, tuple))


def names_of(dataset: Dataset, features: Sequence[str]) -> list[str] | None:
    """The names of some features' columns, if the set gives one for each."""
    found: list[str] = []
    for feature in features:
        names = _said_names(dataset, feature)
        if names is None or len(names) != _width(dataset, feature):
            return None
        found += map(str, names)
    return found


def _are_others(dataset: Dataset, feature: str) -> bool:
    """Whether a feature of single numbers has names, but not one for each."""
    names, shape = _said_names(dataset, feature), dataset.info["features"][feature]["shape"]
    return bool(names) and len(shape) == 1 and len(names or ()) != shape[0]


def _said_names(dataset: Dataset, feature: str) -> list[Any] | None:
    """The names that info.json gives to a feature's columns, however many; None if it gives none."""
    names = dataset.info["features"][feature].get("names")
    if isinstance(names, dict):
        names = _names_in(names)
    if isinstance(names, list) and len(names) == 1 and isinstance(names[0], list):
        (names,) = names
    return names if isinstance(names, list) else None


def _names_in(names: Mapping[str, Any]) -> list[str] | None:
    """The names in a mapping: {"motors": [...]}, {"x": 0, ...} or {"axes": {"x": 0, ...}}."""
    for value in (*names.values(), names):
        if isinstance(value, list):
            return value
        if isinstance(value, dict) and sorted(map(str, value.values())) == sorted(
            map(str, range(len(value)))
        ):
            return sorted(value, key=lambda name: int(value[name]))
    return None


def _spread(count: int) -> range:
    return range(0, count, max(1, -(-count // EPISODES_COMPARED)))
