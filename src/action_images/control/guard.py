"""Rails between a plan and an arm: what they forbid is not driven, and the reason is said."""

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
    """Why a pose is not driven to: the rail that forbids it, and a sentence with the numbers."""

    rail: Rail
    detail: str

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True)
class Guard:
    """What an arm may be asked for. Every rail is a value; float('inf') (0 for the confidence) takes it away.

    `low` and `high` are the corners of the box (m, world) in which the tool must stay; what is asked outside
    by no more than `slack` (m) is driven on the box's face instead (see `brought_in`). What is asked faster
    than allowed by no more than `haste` times is driven as fast as allowed. Speeds (m/s, rad/s),
    accelerations (m/s^2, rad/s^2) and jerks (m/s^3, rad/s^3) are those asked of the tool from one control
    step to the next, within a plan and from one plan to another. They are counted from where the tool was
    told to be or from where it is, whichever is nearer: an arm that something holds back lags behind what it
    is told, and a new plan may start from either. The jerks' defaults are what the accelerations' allow at
    20 Hz; a real arm wants its own. `min_confidence` binds plans that state one.
    What is forbidden is not driven: the tool is held, and a new plan asked for; after `patience` control
    steps of that in a row the arm is stopped for good.
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
        """The pose, moved into the box at the nearest place if it lies outside by at most `slack` an axis.

        A path along the table that is imagined a few millimetres too low is a path along the table: held
        back, it would come again from the same image, and the arm would stand there for good.
        """
        place = asked.translation
        nearest = place.clamp(place.new_tensor(self.low), place.new_tensor(self.high))
        return Pose(asked.rotation, nearest) if ((place - nearest).abs() <= self.slack).all() else asked


@dataclass(frozen=True)
class _Motion:
    """A velocity and its first two changes, each a second."""

    velocity: Tensor
    acceleration: Tensor
    jerk: Tensor

    def next(self, velocity: Tensor, hz: float) -> "_Motion":
        """The motion after this one, with this velocity."""
        acceleration = (velocity - self.velocity) * hz
        return _Motion(velocity, acceleration, (acceleration - self.acceleration) * hz)


class GuardState:
    """A guard at work on one arm: it remembers how the tool was told to move last."""

    def __init__(self, guard: Guard, world_from_tool: Pose, control_hz: float) -> None:
        self.guard, self.control_hz = guard, control_hz
        self._tool = self._told = _double(world_from_tool)
        still = self._tool.translation.new_zeros(3)
        self._motion = self._turning = _Motion(still, still, still)

    def within(self, asked: Pose) -> Pose:
        """The pose as it may be driven to.

        Its place is brought into the box (see `Guard.brought_in`). A way that exceeds the limits of speed by
        no more than `Guard.haste` times is shortened to what they allow.

        A turn that is imagined a little too fast is a turn: held back, it would come again from the same
        image.
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
        """What speaks against driving to this pose next, None if nothing does."""
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
        # Compared in the pose's own precision, so that what was brought to a face lies within it.
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
        """Remember a control step: what was asked for, and where the tool is after it."""
        self._motion, self._turning = self._motions(_double(asked))
        self._tool, self._told = _double(reached), _double(asked)

    @property
    def tool(self) -> Pose:
        """Where the tool is."""
        return self._tool

    def _motions(self, asked: Pose) -> tuple["_Motion", "_Motion"]:
        """How the tool moves (m, world) and turns (rad, world) if it goes there within one control step."""
        way, turn = self._ways(asked)
        hz = self.control_hz
        return self._motion.next(way * hz, hz), self._turning.next(turn * hz, hz)

    def _ways(self, asked: Pose) -> tuple[Tensor, Tensor]:
        """How far (m) and by what turn (rad) a pose lies from the last command or the tool: the nearer."""
        moves = [asked.translation - start.translation for start in (self._told, self._tool)]
        turns = [to_rotation_vector(asked.rotation @ start.rotation.mT) for start in (self._told, self._tool)]
        return min(moves, key=_length), min(turns, key=_length)


def _share(rate: Tensor, limit: float, haste: float) -> float:
    """The share of a way that is gone at a rate: all within the limit, and all beyond `haste` times it.

    The rail then refuses what is beyond.
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
