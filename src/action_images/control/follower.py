"""The command to an arm at each control step: follow plans within guard rails, else stand still."""

from dataclasses import dataclass

from action_images.control.execution import Execution, PlanExecutor, Rejection
from action_images.control.guard import Guard, GuardState, Objection
from action_images.geometry import Pose
from action_images.robot import Plan


@dataclass(frozen=True)
class Asked:
    """The next command to the arm (pose: world_from_tool), with its plan and row.

    `plan` is None and `frame` -1 if there is no plan to follow. `held` is the rail that makes the tool stand
    still instead of following the plan, None if none does.
    """

    pose: Pose
    opening: float
    plan: int | None
    frame: int
    held: Objection | None = None

    @property
    def stands_still(self) -> bool:
        """Whether no plan was followed, because there was none or a rail forbade it."""
        return self.plan is None or self.held is not None


class Follower:
    """One arm in one trial. At each control step: `add` a plan if `wants_plan`, `ask`, drive, `driven`.

    `world_from_tool` and `opening` are the tool's pose and the gripper's command before the first step.
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
        """Whether to request a plan before the next control step."""
        return self.executor.wants_plan

    @property
    def finished(self) -> bool:
        """Whether all plans are done and no plan may be added."""
        return self.executor.finished

    def add(self, plan: Plan, *, observed_at: int | None = None) -> Rejection | None:
        """Follow a plan, or return why it is not followed: see `PlanExecutor.add`."""
        return self.executor.add(plan, observed_at=observed_at)

    def ask(self) -> Asked:
        """The current command. Drive the arm there and call `driven`, unless `stops` says to stop."""
        if self.executor.finished and self._last is not None:
            last = self._last
            return Asked(last.pose, last.opening, plan=last.plan, frame=last.frame)
        return self._guarded() if self.executor.has_target else self._waiting()

    def stops(self, asked: Asked) -> bool:
        """Whether a rail stops the arm for good: no other plan may be made, or too many were forbidden."""
        return asked.held is not None and (self.executor.finished or self._num_held > self._patience)

    def driven(self, asked: Asked, reached: Pose) -> None:
        """Note a control step: its command, and the tool's pose after it (world_from_tool)."""
        self._guard.driven(asked.pose, reached)
        self.executor.advance(asked.opening, followed=not asked.stands_still)
        self._last = asked

    def _waiting(self) -> Asked:
        """Without a plan to follow: stand still at the last commanded pose."""
        pose = self._start if self._last is None else self._last.pose
        return Asked(pose, self.executor.opening, plan=None, frame=-1)

    def _guarded(self) -> Asked:
        """The plan's command, or to stand still if a rail forbids it."""
        target = self.executor.target()
        pose = self._guard.within(target.world_from_tool)
        objection = self._guard.objection(pose, target.opening, target.confidence)
        if objection is None:
            self._num_held = 0
            return Asked(pose, target.opening, plan=target.plan, frame=target.frame)
        self._num_held += 1
        # Held at the tool's pose when the rail first objects, not at poses that it sinks to later.
        stood_still = self._last is not None and self._last.stands_still
        place = self._last.pose if self._last is not None and stood_still else self._guard.tool
        self.executor.drop()
        return Asked(place, self.executor.opening, plan=target.plan, frame=target.frame, held=objection)
