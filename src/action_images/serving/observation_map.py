"""Map the fields of a foreign client to those of an observation, by a JSON file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from action_images.errors import ActionImagesError
from action_images.files.strict_json import parsed
from action_images.serving.messages import Request
from action_images.serving.protocol import WireError

MAX_BYTES = 64_000
BEYOND = 0.05
"""Fraction of its range by which a gripper may lie beyond open or closed, as in episodes.notation."""
ROTATIONS = {
    "quaternion_xyzw": 4,
    "quaternion_wxyz": 4,
    "rotation_vector": 3,
    "euler_xyz": 3,
    "euler_xyz_deg": 3,
}
"""Format of a rotation -> its number of columns; Euler angles are extrinsic xyz (R = Rz Ry Rx)."""
LARGEST_ANGLE = 2 * math.pi + 0.1
"""A larger angle cannot be meant in radians, as in episodes.contradictions."""
PARTS = {"images", "prompt", "world_from_tool", "opening", "reply_opening", "constants"}
ENTRIES = {
    "world_from_tool": {"key", "position", "rotation", "kind"},
    "opening": {"key", "columns", "closed", "open"},
    "reply_opening": {"closed", "open"},
}
"""The fields of the parts that are mappings."""


@dataclass(frozen=True)
class Columns:
    """Some columns of a vector that the client sends."""

    key: str
    columns: tuple[int, ...]

    def of(self, message: Mapping[str, Any]) -> np.ndarray:
        """These numbers (column) in float64; raises WireError if the client did not send them."""
        vector = np.asarray(_field(message, self.key))
        if vector.dtype.kind not in "fiu" or vector.ndim > 1 or vector.size <= max(self.columns):
            raise WireError(
                f"'{self.key}' must be a vector of at least {max(self.columns) + 1} numbers, "
                f"got {vector.dtype} {vector.shape}"
            )
        return vector.reshape(-1)[list(self.columns)].astype(np.float64)


@dataclass(frozen=True)
class ObservationMap:
    """A foreign client's keys of the images (one key a view), the prompt, the tool's pose and the gripper.

    `constants` are fields of an observation that the client does not send, such as a calibration or a number
    of rows. Angles are in rad and positions in m.
    """

    images: tuple[str, ...]
    prompt: str
    position: Columns
    rotation: Columns
    rotation_kind: str
    opening: Columns
    closed: float = 0.0
    open: float = 1.0
    """The client's values for closed and open."""
    reply: tuple[float, float] | None = None
    """The values for closed and open in replies; None leaves them at 0 and 1."""
    constants: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a mapping file (docs/serving.md).

        Raises ActionImagesError, naming the file and the field that is wrong.
        """
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            raise ActionImagesError(
                f"{path}: there is no such mapping file, or it is larger than {MAX_BYTES} bytes"
            )
        try:
            return cls._parsed(parsed(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise ActionImagesError(
                f"{path}: {why}; see 'Observations of other clients' in docs/serving.md"
            ) from error

    @classmethod
    def _parsed(cls, content: Mapping[str, Any]) -> Self:
        if unknown := sorted(set(content) - PARTS):
            raise ValueError(f"has the unknown field '{unknown[0]}'; there are: {', '.join(sorted(PARTS))}")
        for name, fields in ENTRIES.items():
            if unknown := sorted(set(content.get(name, {})) - fields):
                raise ValueError(
                    f"'{name}' has the unknown field '{unknown[0]}'; there are: {', '.join(sorted(fields))}"
                )
        tool, opening = content["world_from_tool"], content["opening"]
        kind, constants = tool["kind"], content.get("constants", {})
        if kind not in ROTATIONS:
            raise ValueError(f"there is no rotation '{kind}'; there are: {', '.join(ROTATIONS)}")
        own = {"images", "prompt", "world_from_tool", "opening", "seq"}
        allowed = set(Request.__dataclass_fields__) - own
        if unknown := sorted(set(constants) - allowed):
            raise ValueError(f"'{unknown[0]}' cannot be a constant; these can: {', '.join(sorted(allowed))}")
        closed, opened = _ends(opening, "opening")
        return cls(
            images=tuple(str(key) for key in content["images"]),
            prompt=str(content["prompt"]),
            position=_columns(tool, "position", 3),
            rotation=_columns(tool, "rotation", ROTATIONS[kind]),
            rotation_kind=kind,
            opening=_columns(opening, "columns", 1),
            closed=closed,
            open=opened,
            reply=_ends(content["reply_opening"], "reply_opening") if "reply_opening" in content else None,
            constants=dict(constants),
        )

    def renamed(self, message: Any) -> dict[str, Any]:
        """The client's message as `Request.from_message` takes it.

        Raises WireError, naming the client's own field.
        """
        if not isinstance(message, dict):
            raise WireError(f"an observation is a map of fields, got a {type(message).__name__}")
        quaternion = _quaternion(self._angles(message), self.rotation_kind)
        known = {*self.images, self.prompt, self.position.key, self.rotation.key, self.opening.key}
        passed_on = {name: value for name, value in message.items() if name not in known}
        return {
            **self.constants,
            **{name: value for name, value in passed_on.items() if name in Request.__dataclass_fields__},
            "images": _stacked([_field(message, key) for key in self.images], self.images),
            "prompt": _field(message, self.prompt),
            "world_from_tool": np.concatenate([self.position.of(message), quaternion]),
            "opening": self._opening(message),
        }

    def answered(self, reply: Mapping[str, Any]) -> Mapping[str, Any]:
        """A reply's message with its openings, the last column, in the client's values of `reply_opening`."""
        if self.reply is None:
            return reply
        closed, opened = self.reply
        actions = np.array(reply["actions"])
        actions[:, -1] = closed + actions[:, -1] * (opened - closed)
        return {**reply, "actions": actions}

    @property
    def remark(self) -> str | None:
        """A warning if the client's values of the gripper differ from those of replies; None if declared."""
        if self.reply is not None or (self.closed, self.open) == (0.0, 1.0):
            return None
        return (
            f"the client calls its gripper {self.closed:g} when closed and {self.open:g} when open, but "
            "replies have 0 and 1; declare 'reply_opening' in the observation map, with the client's "
            "'closed' and 'open' of actions"
        )

    def _angles(self, message: Mapping[str, Any]) -> np.ndarray:
        """The rotation's numbers; raises WireError for angles that must be degrees."""
        numbers = self.rotation.of(message)
        largest = float(np.abs(numbers).max())
        if self.rotation_kind in ("rotation_vector", "euler_xyz") and largest > LARGEST_ANGLE:
            cure = "send radians" + (
                "" if self.rotation_kind == "rotation_vector" else ", or declare the kind euler_xyz_deg"
            )
            raise WireError(
                f"'{self.rotation.key}' has an angle of {largest:.4g} rad; are these degrees? Then {cure}"
            )
        return numbers

    def _opening(self, message: Mapping[str, Any]) -> float:
        """The opening in [0, 1]; raises WireError for a reading far outside the declared range."""
        reading = float(self.opening.of(message)[0])
        opening = (reading - self.closed) / (self.open - self.closed)
        if not -BEYOND <= opening <= 1 + BEYOND:
            raise WireError(
                f"'{self.opening.key}' has the gripper at {reading:.4g}, outside of what the observation map "
                f"declares ('closed' is {self.closed:g}, 'open' {self.open:g}); declare its real values there"
            )
        return min(max(opening, 0.0), 1.0)


def _ends(entry: Mapping[str, Any], name: str) -> tuple[float, float]:
    """The values for closed and open."""
    closed, opened = float(entry.get("closed", 0.0)), float(entry.get("open", 1.0))
    if not (math.isfinite(closed) and math.isfinite(opened)) or closed == opened:
        raise ValueError(f"'{name}' has the same number for closed and open, or one that is not finite")
    return closed, opened


def _columns(entry: Mapping[str, Any], name: str, number: int) -> Columns:
    columns = tuple(entry[name])
    if len(columns) != number or not all(type(one) is int and one >= 0 for one in columns):
        raise ValueError(f"'{name}' must list {number} columns, counted from 0; got {list(columns)}")
    return Columns(str(entry["key"]), columns)


def _field(message: Mapping[str, Any], key: str) -> Any:
    if message.get(key) is None:
        raise WireError(f"the observation lacks the field {key!r}")
    return message[key]


def _stacked(views: list[Any], keys: tuple[str, ...]) -> np.ndarray:
    shapes = {view.shape if isinstance(view, np.ndarray) else type(view).__name__ for view in views}
    if len(shapes) != 1 or not isinstance(views[0], np.ndarray):
        raise WireError(f"{', '.join(keys)} must be images of one size, got {sorted(map(str, shapes))}")
    return np.stack(views)


def _quaternion(numbers: np.ndarray, kind: str) -> np.ndarray:
    """x y z w of a rotation."""
    if kind == "quaternion_xyzw":
        return numbers
    if kind == "quaternion_wxyz":
        return numbers[[1, 2, 3, 0]]
    if kind == "rotation_vector":
        return _about(numbers)
    if kind == "euler_xyz_deg":
        numbers = np.radians(numbers)
    x, y, z = (_about(angle * axis) for angle, axis in zip(numbers, np.eye(3), strict=True))
    return _product(z, _product(y, x))


def _about(vector: np.ndarray) -> np.ndarray:
    """The quaternion of a rotation vector (rad)."""
    angle = float(np.linalg.norm(vector))
    # sin(angle / 2) / angle, without dividing by zero.
    share = 0.5 * float(np.sinc(angle / (2 * np.pi)))
    return np.array([*(share * vector), math.cos(angle / 2)])


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The quaternion (x y z w) that rotates by `second`, then by `first`."""
    vector = first[3] * second[:3] + second[3] * first[:3] + np.cross(first[:3], second[:3])
    return np.array([*vector, first[3] * second[3] - first[:3] @ second[:3]])
