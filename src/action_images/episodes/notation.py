"""The notation of tool poses in a table: columns, units and rotations, declared and never guessed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from action_images.episodes.dropouts import CURE, missing_places, missing_turns
from action_images.episodes.episode import EpisodeError
from action_images.errors import ActionImagesError
from action_images.geometry import Pose, Trajectory
from action_images.geometry import rotation as rotations

UNITS: Mapping[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}

MOST_SKEWED = 0.02
"""Largest deviation of a rotation's columns from length 1 and right angles."""
BEYOND = 0.05
"""Fraction of its range by which a gripper's reading may lie beyond open or closed."""


@dataclass(frozen=True)
class RotationNotation:
    """One way to write a rotation: its number of columns, and its conversion in both directions."""

    num_columns: int
    to_matrix: Callable[[Tensor], Tensor]
    from_matrix: Callable[[Tensor], Tensor]


def _to_degrees(rotation: Tensor) -> Tensor:
    return rotations.to_euler_xyz(rotation).rad2deg()


def _to_quaternion_wxyz(rotation: Tensor) -> Tensor:
    return rotations.to_quaternion_xyzw(rotation).roll(1, -1)


def _to_nine_numbers(rotation: Tensor) -> Tensor:
    return rotation.flatten(-2)


def _from_degrees(angles: Tensor) -> Tensor:
    return rotations.from_euler_xyz(angles.deg2rad())


def _from_quaternion_xyzw(quaternion: Tensor) -> Tensor:
    length = quaternion.norm(dim=-1)
    off = (length - 1).abs() > 0.01
    if (length == 0).any() and not off.all():
        row = int((length == 0).nonzero()[0])
        raise ActionImagesError(f"row {row} has a quaternion of zeros; {CURE}")
    if off.any():
        row = off.nonzero()[0].tolist()
        cure = "check which columns are the quaternion's, or declare another 'rotation'"
        raise ActionImagesError(f"row {row} has a quaternion that is not of unit length; {cure}")
    return rotations.from_quaternion_xyzw(quaternion)


def _from_quaternion_wxyz(quaternion: Tensor) -> Tensor:
    return _from_quaternion_xyzw(quaternion.roll(-1, -1))


def _from_nine_numbers(numbers: Tensor) -> Tensor:
    return numbers.unflatten(-1, (3, 3))


def _from_two_columns(numbers: Tensor) -> Tensor:
    first, second = numbers.unflatten(-1, (2, 3)).unbind(-2)
    lengths = torch.stack([first.norm(dim=-1), second.norm(dim=-1)], -1)
    off = torch.maximum((lengths - 1).abs().amax(-1), (first * second).sum(-1).abs()) > MOST_SKEWED
    if off.any():
        row = off.nonzero()[0].tolist()
        cure = "check 'columns', and that the first three numbers are one column of the matrix"
        raise ActionImagesError(f"row {row} has six numbers that are no two columns of a rotation; {cure}")
    return rotations.from_six_numbers(numbers)


def _from_two_rows(numbers: Tensor) -> Tensor:
    return _from_two_columns(numbers).mT


def _to_two_rows(rotation: Tensor) -> Tensor:
    return rotations.to_six_numbers(rotation.mT)


ROTATIONS: Mapping[str, RotationNotation] = {
    "euler_xyz": RotationNotation(3, rotations.from_euler_xyz, rotations.to_euler_xyz),
    "euler_xyz_deg": RotationNotation(3, _from_degrees, _to_degrees),
    "rotvec": RotationNotation(3, rotations.from_rotation_vector, rotations.to_rotation_vector),
    "quaternion_xyzw": RotationNotation(4, _from_quaternion_xyzw, rotations.to_quaternion_xyzw),
    "quaternion_wxyz": RotationNotation(4, _from_quaternion_wxyz, _to_quaternion_wxyz),
    "matrix": RotationNotation(9, _from_nine_numbers, _to_nine_numbers),
    "rotation_6d": RotationNotation(6, _from_two_columns, rotations.to_six_numbers),
    "rotation_6d_rows": RotationNotation(6, _from_two_rows, _to_two_rows),
}
"""By the declared name. Euler angles are extrinsic; a matrix is row by row, 6-D its columns."""
BY_COUNT = {3: "euler_xyz", 4: "quaternion_xyzw", 9: "matrix", 6: "rotation_6d"}
"""Default notation by number of columns."""


@dataclass(frozen=True)
class ToolNotation:
    """The numbers of a row: x y z in `position_unit`, a rotation, and the gripper's reading."""

    rotation: str
    closed: float
    open: float
    position_unit: str = "m"
    theirs_from_tool: Pose | None = None
    """Our tool (between the finger tips, z out of the hand) in the frame whose poses the table holds."""
    world_from_base: Pose | None = None
    """The base frame of the table's poses, in the cameras' world frame."""
    fast_turns: bool = False
    """The tool may turn far from one row to the next, as in rows that are far apart in time."""

    def __post_init__(self) -> None:
        if self.rotation not in ROTATIONS:
            raise EpisodeError(f"rotation is {self.rotation!r}; it is one of {', '.join(ROTATIONS)}")
        if self.position_unit not in UNITS:
            raise EpisodeError(f"position_unit is {self.position_unit!r}; it is one of {', '.join(UNITS)}")
        if self.closed == self.open:
            raise EpisodeError(f"the gripper reads {self.closed:g} both closed and open; give two readings")

    @property
    def num_columns(self) -> int:
        """Number of columns of a pose."""
        return 3 + ROTATIONS[self.rotation].num_columns

    def poses(self, numbers: Float[Tensor, "frame columns"]) -> Pose:
        """world_from_tool of each row; raises ActionImagesError if a row is no pose."""
        position, turn = numbers[:, :3], numbers[:, 3:]
        bad = ~numbers.isfinite().all(-1)
        if bad.any():
            row = bad.nonzero()[0].tolist()
            raise ActionImagesError(f"row {row} has numbers that are not finite; drop or repair it")
        metres = position * UNITS[self.position_unit]
        world_from_tool = Pose(ROTATIONS[self.rotation].to_matrix(turn), metres)
        missing = missing_places(world_from_tool)
        missing = missing_turns(world_from_tool) if missing is None and not self.fast_turns else missing
        if missing is not None:
            raise ActionImagesError(missing)
        if self.world_from_base is not None:
            world_from_tool = self.world_from_base @ world_from_tool
        if self.theirs_from_tool is not None:
            world_from_tool = world_from_tool @ self.theirs_from_tool
        return world_from_tool

    def opening(self, readings: Float[Tensor, "frame"]) -> Float[Tensor, "frame"]:
        """The gripper's opening; raises ActionImagesError for readings far beyond open or closed.

        Readings slightly beyond (by `BEYOND`) count as fully open or closed.
        """
        opening = (readings - self.closed) / (self.open - self.closed)
        beyond = ~((opening >= -BEYOND) & (opening <= 1 + BEYOND))
        if beyond.any():
            row = int(beyond.nonzero()[0])
            declared = f"'closed' is {self.closed:g} and 'open' {self.open:g}"
            reads = f"the gripper reads {float(readings[row]):.4g} in row {row}"
            cure = "correct the readings, declare others, or drop the episode"
            raise ActionImagesError(f"{reads}, far outside what is declared ({declared}); {cure}")
        return opening.clamp(0, 1)

    def numbers(self, trajectory: Trajectory) -> Float[Tensor, "frame columns"]:
        """The numbers that write a path's poses and opening; the inverse of `trajectory`."""
        pose = trajectory.world_from_tool
        if self.theirs_from_tool is not None:
            pose = pose @ self.theirs_from_tool.to(pose.dtype).inverse()
        if self.world_from_base is not None:
            pose = self.world_from_base.to(pose.dtype).inverse() @ pose
        position = pose.translation / UNITS[self.position_unit]
        reading = self.closed + trajectory.opening * (self.open - self.closed)
        return torch.cat(
            [position, ROTATIONS[self.rotation].from_matrix(pose.rotation), reading[:, None]], -1
        )

    def trajectory(
        self, numbers: Float[Tensor, "frame columns"], readings: Float[Tensor, "frame"]
    ) -> Trajectory:
        """The path in these rows; raises ActionImagesError if they are no poses."""
        return Trajectory(self.poses(numbers), self.opening(readings)).check()


KEYS = frozenset(
    {
        "rotation",
        "position_unit",
        "closed",
        "open",
        "relative",
        "tool_offset",
        "base_offset",
        "ignore_names",
        "fast_turns",
    }
)
"""The fields of a json object that declares a notation."""


def notation_from_json(entry: Mapping[str, Any], num_columns: int, where: str) -> ToolNotation:
    """The notation that a json object declares for poses of this many columns (without the gripper's).

    Raises EpisodeError, naming `where`, for invalid values and for relative (delta) actions.
    """
    for name in ("ignore_names", "fast_turns"):
        _flag(entry, name, where)
    if _flag(entry, "relative", where):
        cure = "name the feature with the tool's absolute pose, mostly observation.state"
        raise EpisodeError(f"{where}: relative (delta) actions are no poses; {cure}")
    if "rotation" not in entry and num_columns - 3 not in BY_COUNT:
        counts = ", ".join(map(str, sorted(BY_COUNT)))
        told = f"{max(0, num_columns - 3)} columns are left for the rotation, {counts} are known"
        cure = "name x y z, the rotation and last the gripper's column, or declare 'gripper'"
        raise EpisodeError(f"{where}: {told}; {cure}")
    rotation = entry.get("rotation", BY_COUNT.get(num_columns - 3))
    if not isinstance(rotation, str) or rotation not in ROTATIONS:
        raise EpisodeError(f"{where}: 'rotation' is {rotation!r}; it is one of {', '.join(ROTATIONS)}")
    if ROTATIONS[rotation].num_columns != num_columns - 3:
        wanted = f"{3 + ROTATIONS[rotation].num_columns} columns (x y z and {rotation})"
        raise EpisodeError(f"{where}: {num_columns} columns are named for the pose, {wanted} are needed")
    closed, opened = _number(entry, "closed", where), _number(entry, "open", where)
    offsets = [_offset(entry, name, where) for name in ("tool_offset", "base_offset")]
    unit = entry.get("position_unit", "m")
    try:
        fast_turns = _flag(entry, "fast_turns", where)
        return ToolNotation(rotation, closed, opened, unit, *offsets, fast_turns=fast_turns)
    except (EpisodeError, TypeError) as error:
        raise EpisodeError(f"{where}: {error}") from None


def _flag(entry: Mapping[str, Any], name: str, where: str) -> bool:
    value = entry.get(name, False)
    if not isinstance(value, bool):
        raise EpisodeError(f"{where}: '{name}' is {value!r}; it is true or false")
    return value


def _number(entry: Mapping[str, Any], name: str, where: str) -> float:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        cure = "give what the gripper reads when it is closed and when it is open"
        raise EpisodeError(f"{where}: '{name}' is {value!r}; {cure}")
    return float(value)


def _offset(entry: Mapping[str, Any], name: str, where: str) -> Pose | None:
    if name not in entry:
        return None
    try:
        matrix = torch.tensor(entry[name], dtype=torch.float32)
        if tuple(matrix.shape) != (4, 4):
            raise ActionImagesError(f"it has the shape {list(matrix.shape)}")
        return Pose.from_matrix(matrix)
    except (ValueError, TypeError, RuntimeError) as error:
        raise EpisodeError(f"{where}: '{name}' should be a rigid 4 x 4 matrix in m ({error})") from None
