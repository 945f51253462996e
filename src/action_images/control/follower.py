"""What an arm is told at each control step: plans are followed within guard rails, else it stands still."""

from dataclasses import dataclass

from action_images.control.execution import Execution, PlanExecutor, Rejection
from action_images.control.guard import Guard, GuardState, Objection
from action_images.geometry import Pose
from action_images.robot import Plan


@dataclass(frozen=True)
class Asked:
    """What the arm is told next (pose: world_from_tool), and the row of which plan that is.

    `plan` is None and `frame` -1 where there is no plan to follow. `held` is the rail that has the tool stand
    still instead of following the plan, None where none does.
    """

    pose: Pose
    opening: float
    plan: int | None
    frame: int
    held: Objection | None = None

    @property
    def stands_still(self) -> bool:
        """Whether no plan was followed: there was none, or a rail forbade it."""
        return self.plan is None or self.held is not None


class Follower:
    """One arm in one trial. At each control step: `add` a plan where `wants_plan`, `ask`, drive, `driven`.

    `world_from_tool` and `opening` are where the tool is before the first step, and what the gripper was
    told.
    """

    def __init__(
        self, execution: Execution, guard: Guard, world_from_tool: Pose, opening: float, control_hz: float
    ) -> None:
        self.executor = PlanExecutor(execution, opening)
        self._guard = GuardState(guard, world_from_tool, control_hz)
        self._start, self._patience = world_from_tool, guard.patience
        self._last: Asked | None = None
        self._num_held = 0

    @property
    def wants_plan(self) -> bool:
        """Whether a plan is to be asked for before the next control step."""
        return self.executor.wants_plan

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do and no plan may be added."""
        return self.executor.finished

    def add(self, plan: Plan, *, observed_at: int | None = None) -> Rejection | None:
        """Follow a plan, or say why it is not followed: see `PlanExecutor.add`."""
        return self.executor.add(plan, observed_at=observed_at)

    def ask(self) -> Asked:
        """What the arm is told now. Drive it there and say so (`driven`), unless `stops` on it."""
        if self.executor.finished and self._last is not None:
            last = self._last
            return Asked(last.pose, last.opening, plan=last.plan, frame=last.frame)
        return self._guarded() if self.executor.has_target else self._waiting()

    def stops(self, asked: Asked) -> bool:
        """Whether a rail stops the arm for good: no other plan may be made, or too many were forbidden."""
        return asked.held is not None and (self.executor.finished or self._num_held > self._patience)

    def driven(self, asked: Asked, reached: Pose) -> None:
        """A control step has passed: what was asked for, and where the tool is after it (world_from_tool)."""
        self._guard.driven(asked.pose, reached)
        self.executor.advance(asked.opening, followed=not asked.stands_still)
        self._last = asked

    def _waiting(self) -> Asked:
        """No plan is there to follow: stand still where the last step was to lead."""
        pose = self._start if self._last is None else self._last.pose
        return Asked(pose, self.executor.opening, plan=None, frame=-1)

    def _guarded(self) -> Asked:
        """What the plan says, or to stand still where a rail forbids it."""
        target = self.executor.target()
        pose = self._guard.within(target.world_from_tool)
        objection = self._guard.objection(pose, target.opening, target.confidence)
        if objection is None:
            self._num_held = 0
            return Asked(pose, target.opening, plan=target.plan, frame=target.frame)
        self._num_held += 1
        # Held where the tool stands when the rail first speaks, not where it sinks to while it does.
        stood_still = self._last is not None and self._last.stands_still
        place = self._last.pose if self._last is not None and stood_still else self._guard.tool
        self.executor.drop()
        return Asked(place, self.executor.opening, plan=target.plan, frame=target.frame, held=objection)
