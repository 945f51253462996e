"""Requests and replies in numpy; only this file has the names of the protocol's fields."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import Self

from action_images.serving.protocol import WireError

PROTOCOL = 1
"""The version of these fields; the metadata frame names it."""

DEFAULT_FORMAT = "pose"
"""The action format for a client that asks for none."""

MAX_TEXT = 2000
"""The largest number of characters of a prompt."""
MAX_STEPS = 1000
"""The largest number of rows of a reply."""
KNOWN_WORDS = ("none", "some", "all")
"""How many words of the prompt a policy must know to make a plan."""
MAX_VIEWS = 16
"""The largest number of views. Policies enlarge small images to their own size, so a limit of bytes does not
bound their memory."""


class ActionFormat(NamedTuple):
    """The format of a row of actions: the columns' names and units, and the meaning of the row."""

    columns: tuple[str, ...]
    units: tuple[str, ...]
    meaning: str


ACTION_FORMATS: dict[str, ActionFormat] = {
    "pose": ActionFormat(
        ("x", "y", "z", "qx", "qy", "qz", "qw", "opening"),
        ("m",) * 3 + ("1",) * 5,
        "absolute pose of the tool in the world: position, unit quaternion; the first has w >= 0, "
        "each other one the sign that is nearer to the row before",
    ),
    "euler": ActionFormat(
        ("x", "y", "z", "euler_x", "euler_y", "euler_z", "opening"),
        ("m",) * 3 + ("rad",) * 3 + ("1",),
        "absolute pose of the tool in the world: position, extrinsic xyz Euler angles (R = Rz Ry Rx), "
        "which go on beyond half a turn rather than jump from row to row",
    ),
    "delta": ActionFormat(
        ("dx", "dy", "dz", "rx", "ry", "rz", "opening"),
        ("m",) * 3 + ("rad",) * 3 + ("1",),
        "from the row before (the first: from the observed tool pose), in world axes: the step of the "
        "position, and the rotation "
        "vector r with R_new = exp(r) R_old; the opening stays absolute",
    ),
    "matrix": ActionFormat(
        ("r00", "r01", "r02", "r10", "r11", "r12", "r20", "r21", "r22", "x", "y", "z", "opening"),
        ("1",) * 9 + ("m",) * 3 + ("1",),
        "absolute pose of the tool in the world without any rounding: rotation matrix row by row, position",
    ),
}
"""The formats of a row of actions; the opening is always 0 (closed) to 1 (open)."""


@dataclass(frozen=True)
class Request:
    """An observation on its way to a policy (see docs/serving.md).

    - `images` are RGB, uint8, as cameras give them, (view, height, width, 3), or planar,
      (view, 3, height, width), which costs the server less.
    - `world_from_tool` is (4, 4), or (7,) as x y z (m) and quaternion x y z w; `opening` is in [0, 1].
    - Either `intrinsics` (view, 3, 3, px) and `world_from_camera` (view, 4, 4) calibrate the views, or
      `calibration` names a cameras file on the server.
    - `action_format` asks for one of ACTION_FORMATS; `confidence` for the confidence of each row, `imagined`
      for the images that the policy generated.
    - `num_steps` is the number of rows: a longer plan is cut, a shorter one repeats its last pose with
      confidence 0.
    - `known_words` says how many words of the prompt the policy must know (KNOWN_WORDS) to make a plan; None
      means some.
    - `seq` is returned with the answer; after `timeout_ms` the answer is no longer wanted.
    """

    images: np.ndarray
    prompt: str
    world_from_tool: np.ndarray
    opening: float
    intrinsics: np.ndarray | None = None
    world_from_camera: np.ndarray | None = None
    calibration: str | None = None
    action_format: str | None = None
    confidence: bool = False
    imagined: bool = False
    num_steps: int | None = None
    known_words: str | None = None
    seq: int | None = None
    timeout_ms: float | None = None

    def to_message(self) -> dict[str, Any]:
        """The message for `protocol.encode`: the fields that are not None."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}

    @classmethod
    def from_message(cls, message: Any) -> Self:
        """The request in a message of `protocol.decode`; raises WireError with a bad field and its format."""
        if not isinstance(message, dict):
            raise WireError(f"an observation is a map of fields, got a {type(message).__name__}")
        known = {one.name for one in fields(cls)}
        unknown = [str(name)[:40] for name in message if name not in known]
        if unknown:
            raise WireError(
                f"the observation has the unknown field {unknown[0]!r}; there are: {', '.join(sorted(known))}"
            )
        missing = [
            name for name in ("images", "prompt", "world_from_tool", "opening") if message.get(name) is None
        ]
        if missing:
            raise WireError(f"the observation lacks the field {missing[0]!r}")
        request = cls(
            images=_images(message["images"]),
            prompt=_text(message, "prompt"),
            world_from_tool=_numbers(message, "world_from_tool", (4, 4), (7,)),
            opening=_number(message, "opening", 0.0, 1.0),
            intrinsics=_optional(
                message, "intrinsics", lambda: _numbers(message, "intrinsics", (None, 3, 3))
            ),
            world_from_camera=_optional(
                message, "world_from_camera", lambda: _numbers(message, "world_from_camera", (None, 4, 4))
            ),
            calibration=_optional(message, "calibration", lambda: _text(message, "calibration")),
            action_format=_optional(message, "action_format", lambda: _format(message)),
            confidence=_flag(message, "confidence"),
            imagined=_flag(message, "imagined"),
            num_steps=_optional(
                message, "num_steps", lambda: int(_number(message, "num_steps", 1, MAX_STEPS, whole=True))
            ),
            known_words=_optional(message, "known_words", lambda: _known_words(message)),
            seq=_optional(message, "seq", lambda: int(_number(message, "seq", 0, 2**53 - 1, whole=True))),
            timeout_ms=_optional(message, "timeout_ms", lambda: _number(message, "timeout_ms", 0.0, 1e9)),
        )
        request._check_calibration()
        return request

    def _check_calibration(self) -> None:
        own = (self.intrinsics, self.world_from_camera)
        if self.calibration is not None:
            if any(part is not None for part in own):
                raise WireError(
                    "the observation has both 'calibration' and its own cameras; send one of the two"
                )
            return
        if any(part is None for part in own):
            raise WireError(
                "the observation lacks its cameras: send 'intrinsics' and 'world_from_camera', or name a "
                "'calibration'"
            )
        counts = {
            name: len(part)
            for name, part in zip(("intrinsics", "world_from_camera"), own, strict=True)
            if part is not None
        }
        wrong = [f"'{name}' has {count}" for name, count in counts.items() if count != len(self.images)]
        if wrong:
            raise WireError(f"'images' has {len(self.images)} views, but {wrong[0]}")


@dataclass(frozen=True)
class Reply:
    """A policy's answer: `actions` (step, column) in the `action_format`.

    Row 0 is one control step after the observation.

    - Neighbouring rows are near each other in numbers too: quaternions keep their sign, angles do not jump by
      a turn.
    - `server_timing` holds milliseconds.
    - `confidence` (step,) is in [0, 1]. A row with 0 is a place-holder that must not be driven to. Such rows
      exist only if the request asked for `confidence` or `num_steps`.
    - `plan` holds the further fields of the policy's Plan by name, the large ones only if the request asked
      for `imagined`.
    - `warnings` are sentences for the author of the instruction, such as about unknown words.
    """

    actions: np.ndarray
    action_format: str | None = None
    server_timing: Mapping[str, float] = field(default_factory=dict)
    seq: int | None = None
    confidence: np.ndarray | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_message(self) -> dict[str, Any]:
        """The message for `protocol.encode`: the fields that are not None or empty."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: value
            for name, value in named.items()
            if value is not None and not (name in ("plan", "warnings") and not value)
        }

    @classmethod
    def from_message(cls, message: Any) -> Self:
        """The reply in a message of `protocol.decode`; other servers may send further fields.

        Raises WireError for unusable actions.
        """
        if not isinstance(message, dict) or not isinstance(message.get("actions"), np.ndarray):
            raise WireError("the server's answer has no array 'actions'")
        actions = message["actions"]
        if (
            actions.ndim != 2
            or actions.dtype.kind not in "fiu"
            or not len(actions)
            or not np.isfinite(actions).all()
        ):
            raise WireError(
                f"the server's 'actions' must be finite numbers (step, column), got {actions.dtype} "
                f"{actions.shape}"
            )
        name, timing, seq, confidence, plan = (
            message.get(key) for key in ("action_format", "server_timing", "seq", "confidence", "plan")
        )
        if confidence is not None and not _is_confidence(confidence, len(actions)):
            raise WireError(
                "the server's 'confidence' must have one number from 0 to 1 for each row of 'actions'"
            )
        return cls(
            actions,
            name if isinstance(name, str) else None,
            timing if isinstance(timing, dict) else {},
            seq if isinstance(seq, int) else None,
            confidence,
            plan if isinstance(plan, dict) else {},
            _texts(message.get("warnings")),
        )


def _is_confidence(value: Any, num_rows: int) -> bool:
    # A guard compares with it: NaN would pass every least confidence.
    is_array = isinstance(value, np.ndarray) and value.shape == (num_rows,) and value.dtype.kind in "fiu"
    return is_array and bool(((value >= 0) & (value <= 1)).all())


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _optional(message: dict, name: str, read: Any) -> Any:
    return None if message.get(name) is None else read()


def _images(value: Any) -> np.ndarray:
    if (
        not isinstance(value, np.ndarray)
        or value.dtype != np.uint8
        or value.ndim != 4
        or 3 not in value.shape[1::2]
        or not value.size
    ):
        got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise WireError(
            f"'images' must be RGB as uint8 (view, height, width, 3) or (view, 3, height, width), got {got}"
        )
    if len(value) > MAX_VIEWS:
        raise WireError(f"'images' holds {len(value)} views; at most {MAX_VIEWS} are taken")
    return value


def _as_words(shape: tuple[int | None, ...]) -> str:
    sizes = tuple("view" if size is None else size for size in shape)
    return str(sizes).replace("'", "")


def _numbers(message: dict, name: str, *shapes: tuple[int | None, ...]) -> np.ndarray:
    value = message[name]
    wanted = " or ".join(map(_as_words, shapes))
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind != "f"
        or not any(_fits(value.shape, shape) for shape in shapes)
    ):
        got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise WireError(f"'{name}' must be an array of floats {wanted}, got {got}")
    if not np.isfinite(value).all():
        raise WireError(f"'{name}' has numbers that are not finite")
    return value


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        want is None or size == want for size, want in zip(shape, wanted, strict=True)
    )


def _number(message: dict, name: str, least: float, most: float, *, whole: bool = False) -> float:
    value = message[name]
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "fiu":
        value = value.item()
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if (
        isinstance(value, bool)
        or not isinstance(value, kinds)
        or not math.isfinite(value)
        or not least <= value <= most
    ):
        kind = "whole number" if whole else "number"
        raise WireError(f"'{name}' must be a {kind} from {least:g} to {most:g}, got {str(value)[:40]}")
    return float(value)


def _text(message: dict, name: str) -> str:
    value = message[name]
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise WireError(f"'{name}' must be text of at most {MAX_TEXT} characters")
    return value


def _format(message: dict) -> str:
    name = _text(message, "action_format")
    if name not in ACTION_FORMATS:
        raise WireError(f"there is no action format {name[:40]!r}; there are: {', '.join(ACTION_FORMATS)}")
    return name


def _known_words(message: dict) -> str:
    name = _text(message, "known_words")
    if name not in KNOWN_WORDS:
        raise WireError(f"'known_words' must be one of {', '.join(KNOWN_WORDS)}, got {name[:40]!r}")
    return name


def _flag(message: dict, name: str) -> bool:
    value = message.get(name, False)
    if not isinstance(value, bool | np.bool_):
        raise WireError(f"'{name}' must be true or false")
    return bool(value)
