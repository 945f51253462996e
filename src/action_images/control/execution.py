"""How much of each plan is carried out, and what becomes of plans that overlap."""

import math
from dataclasses import dataclass

import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.geometry.rotation import nearest_rotation
from action_images.robot import Plan


@dataclass(frozen=True)
class Blend:
    """The weighted mean of the plans for one control step (temporal ensembling; Zhao et al. 2023, "ACT").

    A plan `n` plans older than the newest weighs exp(-decay * n), times its confidence there. A negative
    decay lets older plans count more, as ACT does. Plans that do not open or close the gripper as the newest
    does have no say.
    """

    decay: float = 0.5
    max_plans: int = 4

    def __post_init__(self) -> None:
        if self.max_plans < 1 or not math.isfinite(self.decay):
            raise ActionImagesError(f"blending needs max_plans >= 1 and a finite decay, got {self}")


@dataclass(frozen=True)
class Execution:
    """How plans are used: `num_steps` control steps of each, `max_plans` plans at most (None: no limit).

    After the gripper has switched, no new plan is asked for within `settle` control steps: the grip is
    finished first. `blend` None: the newest plan alone.
    """

    num_steps: int | None = 16
    max_plans: int | None = None
    settle: int = 6
    blend: Blend | None = None

    def __post_init__(self) -> None:
        if (
            (self.num_steps is not None and self.num_steps < 1)
            or (self.max_plans is not None and self.max_plans < 1)
            or self.settle < 0
        ):
            raise ActionImagesError(
                f"an execution needs num_steps >= 1, max_plans >= 1 and settle >= 0, got {self}"
            )


@dataclass(frozen=True)
class Target:
    """What the arm is told next. `plan` counts from 0; `frame` is that plan's."""

    plan: int
    frame: int
    world_from_tool: Pose
    opening: float
    confidence: float | None


class PlanExecutor:
    """Plans in, one target for each control step out; `opening` is what the gripper was told before."""

    def __init__(self, execution: Execution, opening: float) -> None:
        self.execution, self.num_plans = execution, 0
        self._plans: list[tuple[int, Plan]] = []
        self._step, self._opening = 0, opening
        self._last_switch: int | None = None

    @property
    def opening(self) -> float:
        """What the gripper was told last."""
        return self._opening

    @property
    def wants_plan(self) -> bool:
        """Whether a plan is to be added before the next target."""
        if self.finished:
            return False
        if self._left == 0:
            return True
        num_steps, used = self.execution.num_steps, self._step - self._plans[-1][0]
        return num_steps is not None and used >= num_steps and not self._settling and self._may_plan

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do and no plan may be added."""
        return not self._may_plan and self._left == 0

    def add(self, plan: Plan) -> None:
        """A plan made now. Raises ValueError where it is a batch or has no frames."""
        if len(plan.trajectory.batch_shape) != 1 or plan.trajectory.num_frames == 0:
            raise ActionImagesError(
                "a plan to follow has one axis, of at least one frame; this has "
                f"{tuple(plan.trajectory.batch_shape)}"
            )
        keep = 1 if self.execution.blend is None else self.execution.blend.max_plans
        self._plans = [*self._plans, (self._step, plan.to("cpu"))][-keep:]
        self.num_plans += 1

    def drop(self) -> None:
        """Forget all plans: none of them could be followed."""
        self._plans = []

    def target(self) -> Target:
        """What the arm is told at this control step; raises ValueError where there is no plan to follow."""
        if self._left == 0:
            raise ActionImagesError("there is no plan to follow; add one (see wants_plan)")
        start, plan = self._plans[-1]
        frame = self._step - start
        pose, opening = plan.trajectory.world_from_tool[frame], plan.trajectory.opening[frame].item()
        confidence = None if plan.confidence is None else plan.confidence[frame].item()
        if self.execution.blend is not None:
            pose = self._blended(self.execution.blend, pose, opening)
        return Target(self.num_plans - 1, frame, pose, opening, confidence)

    def advance(self, opening: float) -> None:
        """A control step has passed, with this opening asked for."""
        if (opening > 0.5) != (self._opening > 0.5):
            self._last_switch = self._step
        self._opening = opening
        self._step += 1

    @property
    def _left(self) -> int:
        if not self._plans:
            return 0
        start, plan = self._plans[-1]
        num_frames = plan.trajectory.num_frames
        if not self._may_plan and self.execution.num_steps is not None:
            num_frames = min(num_frames, self.execution.num_steps)
        return max(start + num_frames - self._step, 0)

    @property
    def _settling(self) -> bool:
        return self._last_switch is not None and self._step - self._last_switch < self.execution.settle

    @property
    def _may_plan(self) -> bool:
        return self.execution.max_plans is None or self.num_plans < self.execution.max_plans

    def _blended(self, blend: Blend, newest: Pose, opening: float) -> Pose:
        poses, weights = [], []
        for age, (start, plan) in enumerate(reversed(self._plans)):
            frame = self._step - start
            if frame >= plan.trajectory.num_frames:
                continue
            pose = plan.trajectory.world_from_tool[frame]
            weight = math.exp(-blend.decay * age) * (
                1.0 if plan.confidence is None else plan.confidence[frame].item()
            )
            agrees = (plan.trajectory.opening[frame].item() > 0.5) == (opening > 0.5)
            if weight > 0 and agrees and pose.translation.isfinite().all() and pose.rotation.isfinite().all():
                poses.append(pose)
                weights.append(weight)
        return mean_pose(poses, weights) if poses else newest


def mean_pose(poses: list[Pose], weights: list[float]) -> Pose:
    """The weighted mean: of positions as vectors, of rotations the nearest to the mean matrix (chordal)."""
    share = torch.tensor(weights, dtype=poses[0].dtype) / sum(weights)
    rotation = sum(w * pose.rotation for w, pose in zip(share, poses, strict=True))
    translation = sum(w * pose.translation for w, pose in zip(share, poses, strict=True))
    return Pose(nearest_rotation(torch.as_tensor(rotation)), torch.as_tensor(translation))
