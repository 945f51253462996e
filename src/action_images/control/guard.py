"""Guard rails between a plan and an arm: forbidden poses are not driven to, and the reason is given."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.geometry.rotation import from_rotation_vector, to_rotation_vector

Rail = Literal[
    "finite",
    "confidence",
    "workspace",
    "speed",
    "acceleration",
    "jerk",
    "turning speed",
    "turning acceleration",
    "turning jerk",
]


@dataclass(frozen=True)
class Objection:
    """The reason why a pose is not driven to: the rail that forbids it, and a sentence with the numbers."""

    rail: Rail
    detail: str

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True)
class Guard:
    """The limits of commands to an arm. Each is a value; float('inf') (0 for the confidence) disables it.

    `low` and `high` are the corners of the box (m, world) in which the tool must stay. A pose outside by at
    most `slack` (m) is moved to the box's face instead (see `brought_in`). A motion faster than allowed by at
    most `haste` times is driven at the limit.

    Speeds (m/s, rad/s), accelerations (m/s^2, rad/s^2) and jerks (m/s^3, rad/s^3) are those commanded from
    one control step to the next, within a plan and between plans. They are counted from the tool's last
    command or from its pose, whichever is nearer: an arm that is held back lags behind its commands, and a
    new plan may start from either. The default jerks are those that the accelerations allow at 20 Hz; a real
    arm needs its own. `min_confidence` applies to plans that state a confidence.

    A forbidden pose is not driven to: the tool is held, and a new plan is requested. After `patience` control
    steps of that in a row, the arm is stopped for good.
    """

    low: tuple[float, float, float] = (0.25, -0.45, 0.01)  # the finger tips reach 9 mm below the tool point
    high: tuple[float, float, float] = (0.75, 0.45, 0.60)
    max_speed: float = 1.0
    max_acceleration: float = 20.0
    max_turning_speed: float = 4.0
    max_turning_acceleration: float = 80.0
    min_confidence: float = 0.1
    patience: int = 5
    slack: float = 0.02
    haste: float = 2.0
    max_jerk: float = 800.0
    max_turning_jerk: float = 3200.0

    def __post_init__(self) -> None:
        limits = (
            self.max_speed,
            self.max_acceleration,
            self.max_jerk,
            self.max_turning_speed,
            self.max_turning_acceleration,
            self.max_turning_jerk,
        )
        if not all(limit > 0 for limit in limits) or not all(
            a < b for a, b in zip(self.low, self.high, strict=True)
        ):
            raise ActionImagesError(f"a guard needs limits greater than 0 and low < high, got {self}")
        if (
            not 0 <= self.min_confidence <= 1
            or self.patience < 0
            or not self.slack >= 0
            or not self.haste >= 1
        ):
            raise ActionImagesError(
                "a guard needs 0 <= min_confidence <= 1, patience >= 0, slack >= 0 and haste >= 1, got "
                f"{self}"
            )

    def brought_in(self, asked: Pose) -> Pose:
        """The pose, moved to the nearest place in the box if it lies outside by at most `slack` an axis.

        A path along the table may be predicted a few millimetres too low. If it were held back, the same
        image would give it again, and the arm would stand still for good.
        """
        place = asked.translation
        nearest = place.clamp(place.new_tensor(self.low), place.new_tensor(self.high))
        return Pose(asked.rotation, nearest) if ((place - nearest).abs() <= self.slack).all() else asked


@dataclass(frozen=True)
class _Motion:
    """A velocity and its first two time derivatives."""

    velocity: Tensor
    acceleration: Tensor
    jerk: Tensor

    def next(self, velocity: Tensor, hz: float) -> "_Motion":
        """The next motion, with this velocity."""
        acceleration = (velocity - self.velocity) * hz
        return _Motion(velocity, acceleration, (acceleration - self.acceleration) * hz)


class GuardState:
    """A guard at work on one arm: it remembers the tool's last commanded motion."""

    def __init__(self, guard: Guard, world_from_tool: Pose, control_hz: float) -> None:
        self.guard, self.control_hz = guard, control_hz
        self._tool = self._told = _double(world_from_tool)
        still = self._tool.translation.new_zeros(3)
        self._motion = self._turning = _Motion(still, still, still)

    def within(self, asked: Pose) -> Pose:
        """The nearest allowed pose.

        Its position is moved into the box (see `Guard.brought_in`). A motion that exceeds the speed limits by
        at most `Guard.haste` times is shortened to them.

        A rotation may be predicted a little too fast. If it were held back, the same image would give it
        again.
        """
        guard, pose = self.guard, self.guard.brought_in(asked)
        way, turn = self._ways(_double(pose))
        gone = _share(way * self.control_hz, guard.max_speed, guard.haste)
        turned = _share(turn * self.control_hz, guard.max_turning_speed, guard.haste)
        place = pose.translation if gone == 1 else pose.translation + ((gone - 1) * way).to(pose.translation)
        rotation = (
            pose.rotation
            if turned == 1
            else from_rotation_vector((turned - 1) * turn).to(pose.rotation) @ pose.rotation
        )
        return Pose(rotation, place)

    def objection(self, asked: Pose, opening: float, confidence: float | None) -> Objection | None:
        """The objection to driving to this pose next, None if there is none."""
        guard = self.guard
        if not (
            asked.translation.isfinite().all() and asked.rotation.isfinite().all() and -1e9 < opening < 1e9
        ):
            return Objection("finite", "the plan holds numbers that are not finite")
        if confidence is not None and not confidence >= guard.min_confidence:
            return Objection(
                "confidence",
                f"the plan is sure of this pose by {confidence:.2f}, at least {guard.min_confidence:.2f} "
                "is asked",
            )
        place = asked.translation
        # Compared in the pose's own precision, so that a pose moved to a face lies within the box.
        if (place < place.new_tensor(guard.low)).any() or (place > place.new_tensor(guard.high)).any():
            return Objection(
                "workspace",
                f"({', '.join(f'{x:.3f}' for x in place.tolist())}) m lies outside the box {guard.low} to "
                f"{guard.high}",
            )
        motion, turning = self._motions(_double(asked))
        return (
            _above("speed", motion.velocity, guard.max_speed, "m/s")
            or _above("acceleration", motion.acceleration, guard.max_acceleration, "m/s^2")
            or _above("jerk", motion.jerk, guard.max_jerk, "m/s^3")
            or _above("turning speed", turning.velocity, guard.max_turning_speed, "rad/s")
            or _above("turning acceleration", turning.acceleration, guard.max_turning_acceleration, "rad/s^2")
            or _above("turning jerk", turning.jerk, guard.max_turning_jerk, "rad/s^3")
        )

    def driven(self, asked: Pose, reached: Pose) -> None:
        """Remember a control step: its command, and the tool's pose after it."""
        self._motion, self._turning = self._motions(_double(asked))
        self._tool, self._told = _double(reached), _double(asked)

    @property
    def tool(self) -> Pose:
        """The tool's pose."""
        return self._tool

    def _motions(self, asked: Pose) -> tuple["_Motion", "_Motion"]:
        """The tool's translation (m, world) and rotation (rad, world) to this pose in one control step."""
        way, turn = self._ways(asked)
        hz = self.control_hz
        return self._motion.next(way * hz, hz), self._turning.next(turn * hz, hz)

    def _ways(self, asked: Pose) -> tuple[Tensor, Tensor]:
        """Displacement (m) and rotation (rad) of a pose from the last command or the tool, the nearer one."""
        moves = [asked.translation - start.translation for start in (self._told, self._tool)]
        turns = [to_rotation_vector(asked.rotation @ start.rotation.mT) for start in (self._told, self._tool)]
        return min(moves, key=_length), min(turns, key=_length)


def _share(rate: Tensor, limit: float, haste: float) -> float:
    """The share of a motion to keep at a rate: less than all only between the limit and `haste` times it.

    The rail refuses motions beyond that.
    """
    length = _length(rate)
    return 0.999 * limit / length if limit < length <= haste * limit else 1.0


def _length(vector: Tensor) -> float:
    return vector.norm().item()


def _double(pose: Pose) -> Pose:
    return pose.map(lambda tensor: tensor.detach().double().cpu())


def _above(rail: Rail, rate: Tensor, limit: float, unit: str) -> Objection | None:
    value = rate.norm().item()
    return (
        Objection(rail, f"a {rail} of {value:.2f} {unit} is asked, {limit:g} is allowed")
        if value > limit
        else None
    )
