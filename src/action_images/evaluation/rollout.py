"""What happened in one trial, step by step: what was seen, planned, asked for and reached."""

from dataclasses import dataclass

from action_images.geometry import Pose
from action_images.robot import Observation, Plan, StepReport


@dataclass(frozen=True)
class Step:
    """One control step. `plan` counts in `Rollout.plans`, `frame` in that plan's trajectory.

    `seen` is what the cameras showed before the step: None unless the trial is filmed. `asked` and `opening` are what
    the arm was told (after blending and guard rails, so not always the plan's own numbers); `reached` is the tool's pose
    after it (world_from_tool, both).
    """

    seen: Observation | None
    plan: int
    frame: int
    asked: Pose
    opening: float
    reached: Pose
    report: StepReport


@dataclass(frozen=True)
class Rollout:
    """One trial from its first observation to its end.

    Plan `i` was made from the observation before the first step whose `plan` is `i`. `plans[i].video`, `action_images`
    and `imagined_frame` are what a generative policy imagined (all None for others): at a step, the imagined frame in
    force is `plans[step.plan].imagined_frame[step.frame]`. `stopped` is a guard rail's reason, None where none spoke.
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
    stopped: str | None = None

    @property
    def num_unreachable(self) -> int:
        """Control steps whose pose no posture reaches."""
        return sum(not step.report.reachable for step in self.steps)
