"""Carry out one trial and record each step: the observation, the plan, the command and the pose reached."""

import time
from dataclasses import dataclass

from action_images.control import Asked, Execution, Follower, Guard, Objection
from action_images.errors import ActionImagesError
from action_images.evaluation.latency import Latency
from action_images.geometry import Pose
from action_images.robot import Environment, Observation, Plan, Policy, StepReport

REST_STEPS = 10
"""The arm stands still for this many control steps after its last plan. The world comes to rest before it is
judged."""


@dataclass(frozen=True)
class RolloutConfig:
    """Settings of trials: the use of plans, the limits of commands, and the criterion of success.

    `latency` is the time that the arm moves on before a plan arrives.

    A task is done once the environment has said so for `steady_steps` control steps in a row, so passing by
    is not success.
    """

    execution: Execution = Execution()
    guard: Guard = Guard()
    steady_steps: int = 3
    latency: Latency = Latency()

    def __post_init__(self) -> None:
        if self.steady_steps < 1:
            raise ActionImagesError(
                f"a task is done after at least one step of being so, not {self.steady_steps}"
            )


@dataclass(frozen=True)
class BegunTrial:
    """A trial begun by `environment.reset(seed)`: its first observation and its limit of control steps.

    `task` is the task's name.
    """

    environment: Environment
    task: str
    seed: int
    first_seen: Observation
    max_steps: int


@dataclass(frozen=True)
class Step:
    """One control step. `plan` is an index into `Rollout.plans`, `frame` one into that plan's trajectory.

    They are None and -1 if the arm had no plan to follow and waited for one.

    `seen` is the observation before the step, None unless the trial is filmed. `asked` and `opening` are the
    command, after blending and guard rails, so not always the plan's own numbers. `reached` is the tool's
    pose after the step (world_from_tool, both). `held` is the guard rail that made the tool stand still
    instead, None if none did.
    """

    seen: Observation | None
    plan: int | None
    frame: int
    asked: Pose
    opening: float
    reached: Pose
    report: StepReport
    held: Objection | None = None


@dataclass(frozen=True)
class Rollout:
    """One trial from its first observation to its end.

    `plans` are the plans that were followed. Plan `i` was made from the observation before step
    `asked_at[i]`, which is the first step whose `plan` is `i` unless plans arrive late. `plans[i].video`,
    `action_images` and `imagined_frame` are a generative policy's own images (all None for others). The
    imagined frame of a step is `plans[step.plan].imagined_frame[step.frame]`. `stopped` is the reason why a
    guard rail ended the trial (str() is a sentence), None if none did.
    """

    task: str
    seed: int
    instruction: str
    control_hz: float
    succeeded: bool
    plans: tuple[Plan, ...]
    steps: tuple[Step, ...]
    first_seen: Observation
    """The observation before the first step, filmed or not."""
    last_seen: Observation | None
    """The observation after the last step; None unless the trial is filmed."""
    plan_ms: tuple[float, ...]
    """The time that each plan took (ms), in the order of `plans`."""
    stopped: Objection | None = None
    timed_out: bool = False
    """Whether the trial used all its steps and the task was not done."""
    asked_at: tuple[int, ...] = ()
    """The step before which each plan's observation was taken, in the order of `plans`."""
    unused: tuple[str, ...] = ()
    """Why other plans were not followed: one sentence for each that arrived too late or never."""
    touched: bool = False
    """Whether the task was done after any step, for however short a time."""

    @property
    def num_unreachable(self) -> int:
        """The number of control steps whose pose was out of reach."""
        return sum(not step.report.reachable for step in self.steps)

    @property
    def tool(self) -> Pose:
        """The tool's last pose (world_from_tool)."""
        return self.steps[-1].reached if self.steps else self.first_seen.world_from_tool


def roll_out(
    policy: Policy, trial: BegunTrial, config: RolloutConfig = RolloutConfig(), *, filming: bool = False
) -> Rollout:
    """Carry a trial out until it is done or over.

    It is over after `max_steps` control steps, when a guard rail stops the arm for good, or when no plan is
    left. With `filming`, an observation is taken before each step. Exceptions of the policy and the
    environment are raised here.
    """
    running = _Running(policy, trial, config, filming=filming)
    while not running.over:
        running.advance()
    return running.rollout()


@dataclass(frozen=True)
class _Request:
    """A plan on its way: the step and executor moment of its observation, and the step of its arrival."""

    plan: Plan
    plan_ms: float
    asked_at: int
    observed_at: int
    arrives_at: int
    is_lost: bool


class _Running:
    """A trial under way."""

    def __init__(self, policy: Policy, trial: BegunTrial, config: RolloutConfig, *, filming: bool) -> None:
        self.policy, self.trial, self.config, self.filming = policy, trial, config, filming
        first_seen, control_hz = trial.first_seen, trial.environment.control_hz
        self.follower = Follower(
            config.execution,
            config.guard,
            first_seen.world_from_tool,
            opening=float(first_seen.opening),
            control_hz=control_hz,
        )
        self.arrivals = config.latency.arrivals(control_hz, trial.seed)
        self.seen = first_seen
        self.steps: list[Step] = []
        self.request: _Request | None = None
        self.followed: list[_Request] = []
        self.unused: list[str] = []
        self.num_steady = self.num_rested = 0
        self.touched = False
        self.stopped: Objection | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the task has been done for long enough."""
        return self.num_steady >= self.config.steady_steps

    @property
    def out_of_time(self) -> bool:
        """Whether the trial has used all its steps."""
        return len(self.steps) >= self.trial.max_steps

    @property
    def over(self) -> bool:
        """Whether no step is left to take."""
        has_rested = self.num_rested >= REST_STEPS
        return self.succeeded or self.out_of_time or has_rested or self.stopped is not None

    def advance(self) -> None:
        """Observe and plan if it is time to, then take one control step unless a guard rail stops the arm."""
        wants_plan = self.request is None and self.follower.wants_plan
        if self.steps and (wants_plan or self.filming):
            self.seen = self.trial.environment.observation()
        if wants_plan:
            self.request = self._ask()
        if self.request is not None and self.request.arrives_at <= len(self.steps):
            self._receive(self.request)
            self.request = None
        # After the plan's end, the arm stands still at the last commanded pose.
        self.num_rested += self.follower.finished
        asked = self.follower.ask()
        if self.follower.stops(asked):
            self.stopped = asked.held
        else:
            self._drive(asked)

    def rollout(self) -> Rollout:
        """The trial as it ended."""
        trial = self.trial
        return Rollout(
            task=trial.task,
            seed=trial.seed,
            instruction=trial.first_seen.instruction,
            control_hz=trial.environment.control_hz,
            succeeded=self.succeeded,
            plans=tuple(request.plan for request in self.followed),
            steps=tuple(self.steps),
            first_seen=trial.first_seen,
            last_seen=trial.environment.observation() if self.filming else None,
            plan_ms=tuple(request.plan_ms for request in self.followed),
            stopped=self.stopped,
            timed_out=self.out_of_time and not self.succeeded,
            asked_at=tuple(request.asked_at for request in self.followed),
            unused=tuple(self.unused),
            touched=self.touched,
        )

    def _ask(self) -> _Request:
        """Ask for a plan from the current observation. The arm does not use it before it arrives."""
        start = time.perf_counter()
        plan = self.policy.plan(self.seen)
        plan_ms = 1e3 * (time.perf_counter() - start)
        now = len(self.steps)
        return _Request(
            plan,
            plan_ms=plan_ms,
            asked_at=now,
            observed_at=self.follower.executor.moment,
            arrives_at=now + self.arrivals.num_steps(),
            is_lost=self.arrivals.is_lost(),
        )

    def _receive(self, request: _Request) -> None:
        if request.is_lost:
            self.unused.append(f"the plan of step {request.asked_at} was lost")
            return
        rejection = self.follower.add(request.plan, observed_at=request.observed_at)
        if rejection is None:
            self.followed.append(request)
        else:
            self.unused.append(f"the plan of step {request.asked_at} was not followed: {rejection}")

    def _drive(self, asked: Asked) -> None:
        environment = self.trial.environment
        report = environment.step(asked.pose, asked.opening)
        self.follower.driven(asked, report.world_from_tool)
        self.steps.append(
            Step(
                seen=self.seen if self.filming else None,
                plan=asked.plan,
                frame=asked.frame,
                asked=asked.pose,
                opening=asked.opening,
                reached=report.world_from_tool,
                report=report,
                held=asked.held,
            )
        )
        self.num_steady = self.num_steady + 1 if environment.succeeded() else 0
        self.touched = self.touched or self.num_steady > 0
