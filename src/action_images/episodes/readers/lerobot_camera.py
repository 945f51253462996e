"""Cameras that a LeRobotDataset has among its features: matrices, or positions and rotations."""

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from action_images.episodes.contradictions import in_names, in_turns
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.notation import ROTATIONS, UNITS, ToolNotation
from action_images.episodes.readers.lerobot_tool import column, feature_named, known, names_of
from action_images.geometry import Pose

FLAGS = ("inverse", "ignore_names", "fast_turns")
POSE_FIELDS = {"feature", "rotation", "position_unit", *FLAGS}
INVERSE = re.compile(
    r"cam(era)?_from_(world|base)|(world|base)_(to|2)_cam(era)?|cam(era)?_t_(world|base)", re.IGNORECASE
)
"""Usual names of poses that map from the world into the camera."""


def rigid(matrix: Tensor, where: str) -> Pose:
    """The pose of a 4 x 4 matrix; raises EpisodeError, naming `where`, if it is not rigid."""
    try:
        return Pose.from_matrix(matrix)
    except ValueError as error:
        raise EpisodeError(f"{where}: {error}") from None


def matrices_of(numbers: Tensor, side: int, where: str) -> Tensor:
    """Rows of numbers as square matrices, row by row; raises EpisodeError for another number of them."""
    if numbers.shape[-1] != side * side:
        raise EpisodeError(f"{where}: its feature has {numbers.shape[-1]} numbers, {side * side} are needed")
    return numbers.unflatten(-1, (side, side))


def pose_of_feature(dataset: Dataset, place: int, entry: Mapping[str, Any], where: str) -> Pose:
    """A camera's pose in each frame, of a feature: a 4 x 4 or 3 x 4 matrix, or x y z and a rotation.

    Raises EpisodeError, naming `where`, if a field is wrong, or contradicted by the feature's names or
    numbers.
    """
    known(entry, POSE_FIELDS, where)
    for flag in FLAGS:
        if not isinstance(entry.get(flag, False), bool):
            raise EpisodeError(f"{where}: '{flag}' is {entry[flag]!r}; it is true or false, without quotes")
    feature = feature_named(entry["feature"], dataset, where)
    if "inverse" not in entry and INVERSE.search(feature):
        told = f"the feature {feature} maps from the world into the camera by its name"
        raise EpisodeError(f'{where}: {told}; declare "inverse": true, or false if the name is wrong')
    numbers = column(dataset, place, feature)
    rotation, unit = entry.get("rotation"), entry.get("position_unit", "m")
    if not isinstance(unit, str) or unit not in UNITS:
        raise EpisodeError(f"{where}: 'position_unit' is {str(unit)[:40]!r}; it is one of {', '.join(UNITS)}")
    if numbers.shape[-1] == 12 and rotation is None:
        last_row = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(len(numbers), 4)
        numbers = torch.cat([numbers, last_row], -1)
    if numbers.shape[-1] == 16 and rotation is None:
        matrices = matrices_of(numbers, 4, where).clone()
        matrices[..., :3, 3] *= UNITS[unit]
        pose = rigid(matrices, where)
    else:
        if not isinstance(rotation, str) or rotation not in ROTATIONS:
            raise EpisodeError(f"{where}: declare 'rotation' as one of {', '.join(ROTATIONS)}")
        fast = entry.get("fast_turns", False)
        notation = ToolNotation(rotation, closed=0, open=1, position_unit=unit, fast_turns=fast)
        if numbers.shape[-1] != notation.num_columns:
            has = f"its feature has {numbers.shape[-1]} numbers"
            raise EpisodeError(f"{where}: {has}, x y z and {rotation} are {notation.num_columns}")
        names = None if entry.get("ignore_names", False) else names_of(dataset, [entry["feature"]])
        _refuse_contradictions(names, numbers, notation, where)
        try:
            pose = notation.poses(numbers).check()
        except ValueError as error:
            raise EpisodeError(f"{where}: {error}") from None
    return pose.inverse() if entry.get("inverse", False) else pose


def _refuse_contradictions(
    names: list[str] | None, numbers: Tensor, notation: ToolNotation, where: str
) -> None:
    """Raise EpisodeError if the names of columns, or their numbers, are of another notation."""
    by_names = () if names is None else in_names(names, notation)
    for contradiction in chain(by_names, in_turns(numbers[:, 3:], notation)):
        raise EpisodeError(f"{where}: {contradiction}")
