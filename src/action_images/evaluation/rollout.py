"""One trial carried out, step by step: what was seen, planned, asked for and reached."""

import time
from dataclasses import dataclass, field

from action_images.control import Execution, Guard, GuardState, Objection, PlanExecutor
from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.robot import Environment, Observation, Plan, Policy, StepReport

REST_STEPS = 10
"""Control steps for which the arm stands still after its last plan, so that the world comes to rest before it is judged."""


@dataclass(frozen=True)
class RolloutConfig:
    """How trials are carried out: what is done with plans, what the arm may be asked for, and when a task counts as done.

    It is done once the environment has said so for `steady_steps` control steps in a row: passing by is not success.
    """

    execution: Execution = Execution()
    guard: Guard = Guard()
    steady_steps: int = 3

    def __post_init__(self) -> None:
        if self.steady_steps < 1:
            raise ActionImagesError(
                f"a task is done after at least one step of being so, not {self.steady_steps}"
            )


@dataclass(frozen=True)
class Step:
    """One control step. `plan` counts in `Rollout.plans`, `frame` in that plan's trajectory.

    `seen` is what the cameras showed before the step: None unless the trial is filmed. `asked` and `opening` are what
    the arm was told (after blending and guard rails, so not always the plan's own numbers); `reached` is the tool's pose
    after it (world_from_tool, both). `held` is the guard rail that had the tool stand still instead, None where none did.
    """

    seen: Observation | None
    plan: int
    frame: int
    asked: Pose
    opening: float
    reached: Pose
    report: StepReport
    held: Objection | None = None


@dataclass(frozen=True)
class Rollout:
    """One trial from its first observation to its end.

    Plan `i` was made from the observation before the first step whose `plan` is `i`. `plans[i].video`, `action_images`
    and `imagined_frame` are what a generative policy imagined (all None for others): at a step, the imagined frame in
    force is `plans[step.plan].imagined_frame[step.frame]`. `stopped` is why a guard rail ended the trial (str() is a
    sentence), None where none did.
    """

    task: str
    seed: int
    instruction: str
    control_hz: float
    succeeded: bool
    plans: tuple[Plan, ...]
    steps: tuple[Step, ...]
    first_seen: Observation
    """Before the first step, filmed or not."""
    last_seen: Observation | None
    """After the last step; None unless the trial is filmed."""
    plan_ms: tuple[float, ...]
    """How long each plan took, in the order of `plans`."""
    stopped: Objection | None = None
    timed_out: bool = False
    """Whether all the steps that a trial may have were taken, and the task was not done."""

    @property
    def num_unreachable(self) -> int:
        """Control steps whose pose no posture reaches."""
        return sum(not step.report.reachable for step in self.steps)

    @property
    def tool(self) -> Pose:
        """Where the tool ended (world_from_tool)."""
        return self.steps[-1].reached if self.steps else self.first_seen.world_from_tool


@dataclass
class _Running:
    """A trial under way."""

    steps: list[Step] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    plan_ms: list[float] = field(default_factory=list)
    num_steady: int = 0
    num_held: int = 0
    num_rested: int = 0


def roll_out(
    policy: Policy,
    environment: Environment,
    first_seen: Observation,
    address: tuple[str, int],
    max_steps: int,
    rollout_config: RolloutConfig = RolloutConfig(),
    filming: bool = False,
) -> Rollout:
    """Carry out the trial that `environment.reset` has begun (`first_seen` is what it showed), until it is done or over.

    It is over after `max_steps` control steps, when a guard rail stops the arm for good, or when no plan is left.
    `address` is the task's name and the seed. What a policy or an environment raises is raised.
    """
    executor = PlanExecutor(rollout_config.execution, float(first_seen.opening))
    guard_state = GuardState(rollout_config.guard, first_seen.world_from_tool, environment.control_hz)
    running, seen, stopped = _Running(), first_seen, None
    while (
        len(running.steps) < max_steps
        and running.num_steady < rollout_config.steady_steps
        and running.num_rested < REST_STEPS
    ):
        fresh = executor.wants_plan or filming
        seen = seen if not running.steps or not fresh else environment.observation()
        if executor.wants_plan:
            _plan(policy, seen, executor, running)
        asked = _asked(executor, guard_state, running)
        stopped = asked.held if _is_final(asked, executor, running, rollout_config.guard) else None
        if stopped:
            break
        report = environment.step(asked.pose, asked.opening)
        guard_state.driven(asked.pose, report.world_from_tool)
        executor.advance(asked.opening)
        shown = seen if filming else None
        running.steps.append(
            Step(
                shown,
                asked.plan,
                asked.frame,
                asked.pose,
                asked.opening,
                report.world_from_tool,
                report,
                asked.held,
            )
        )
        running.num_steady = running.num_steady + 1 if environment.succeeded() else 0
    succeeded = running.num_steady >= rollout_config.steady_steps
    return Rollout(
        *address,
        first_seen.instruction,
        environment.control_hz,
        succeeded,
        tuple(running.plans),
        tuple(running.steps),
        first_seen,
        environment.observation() if filming else None,
        tuple(running.plan_ms),
        stopped,
        timed_out=not succeeded and len(running.steps) >= max_steps,
    )


def _plan(policy: Policy, seen: Observation, executor: PlanExecutor, running: _Running) -> None:
    start = time.perf_counter()
    plan = policy.plan(seen)
    running.plan_ms.append(1e3 * (time.perf_counter() - start))
    running.plans.append(plan)
    executor.add(plan)


@dataclass(frozen=True)
class _Asked:
    pose: Pose
    opening: float
    plan: int
    frame: int
    held: Objection | None


def _asked(executor: PlanExecutor, guard_state: GuardState, running: _Running) -> _Asked:
    """What the arm is told next: what the plan says, or to stand still where a rail forbids it or nothing is left to do."""
    last = running.steps[-1] if running.steps else None
    if executor.finished:
        running.num_rested += 1
        assert last is not None
        return _Asked(last.asked, last.opening, last.plan, last.frame, None)
    target = executor.target()
    pose = guard_state.within(target.world_from_tool)
    objection = guard_state.objection(pose, target.opening, target.confidence)
    if objection is None:
        running.num_held = 0
        return _Asked(pose, target.opening, target.plan, target.frame, None)
    running.num_held += 1
    # Held where the tool stands when the rail first speaks, not where it sinks to while it does.
    held = last.asked if last is not None and last.held else guard_state.tool
    executor.drop()
    return _Asked(held, executor.opening, target.plan, target.frame, objection)


def _is_final(asked: _Asked, executor: PlanExecutor, running: _Running, guard: Guard) -> bool:
    """Whether a rail stops the arm for good: no other plan may be asked for, or too many were forbidden in a row."""
    return asked.held is not None and (executor.finished or running.num_held > guard.patience)
