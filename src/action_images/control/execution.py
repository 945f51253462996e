"""The part of each plan that is carried out, and the combination of overlapping plans."""

import math
from dataclasses import dataclass
from typing import Literal

import torch

from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.geometry.rotation import nearest_rotation
from action_images.robot import Plan


@dataclass(frozen=True)
class Blend:
    """The weighted mean of the plans for one control step (temporal ensembling; Zhao et al. 2023, "ACT").

    A plan `n` plans older than the newest has the weight exp(-decay * n), times its confidence there. A
    negative decay gives older plans more weight, as in ACT. Plans that open or close the gripper unlike the
    newest one are ignored.
    """

    decay: float = 0.5
    max_plans: int = 4

    def __post_init__(self) -> None:
        if self.max_plans < 1 or not math.isfinite(self.decay):
            raise ActionImagesError(f"blending needs max_plans >= 1 and a finite decay, got {self}")


@dataclass(frozen=True)
class Execution:
    """The use of plans: `num_steps` control steps of each, and at most `max_plans` plans (None: no limit).

    After the gripper has switched, no new plan is requested within `settle` control steps, so that the grip
    is finished first. `blend` None uses the newest plan alone. A plan that arrives late, while the arm moves,
    is joined within `join` control steps, by a minimum-jerk transition from the previous plans to it.
    """

    num_steps: int | None = 16
    max_plans: int | None = None
    settle: int = 6
    blend: Blend | None = None
    join: int = 8

    def __post_init__(self) -> None:
        if (
            (self.num_steps is not None and self.num_steps < 1)
            or (self.max_plans is not None and self.max_plans < 1)
            or self.settle < 0
            or self.join < 0
        ):
            raise ActionImagesError(
                f"an execution needs num_steps >= 1, max_plans >= 1, settle >= 0 and join >= 0, got {self}"
            )


@dataclass(frozen=True)
class Target:
    """The next command to the arm. `plan` counts from 0; `frame` is an index into that plan."""

    plan: int
    frame: int
    world_from_tool: Pose
    opening: float
    confidence: float | None


@dataclass(frozen=True)
class Rejection:
    """Why a plan that arrived is not followed: a reason, and a sentence with the numbers.

    `past`: all its rows are past. `older`: the current plan was made from a later observation. `grip`: the
    gripper has switched since the plan's observation.
    """

    reason: Literal["past", "older", "grip"]
    detail: str

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True)
class _Followed:
    """A plan that is followed.

    `start` is the moment of its row 0, `joined` the first moment at which it counts alone.
    """

    plan: Plan
    observed_at: int
    start: int
    arrived: int
    joined: int

    def row(self, moment: int) -> int:
        """The row of this moment; after the end, the last one."""
        return min(moment - self.start, self.plan.trajectory.num_frames - 1)

    def pose(self, moment: int) -> Pose:
        return self.plan.trajectory.world_from_tool[self.row(moment)]

    def opening(self, moment: int) -> float:
        return self.plan.trajectory.opening[self.row(moment)].item()

    def confidence(self, moment: int) -> float | None:
        return None if self.plan.confidence is None else self.plan.confidence[self.row(moment)].item()

    def share(self, moment: int) -> float:
        """Its weight at this moment, beside the previous plans: a minimum-jerk curve from 0 to 1."""
        if moment >= self.joined:
            return 1.0
        return _least_jerk((moment - self.arrived + 1) / (self.joined - self.arrived + 1))

    def num_left(self, moment: int) -> int:
        """The number of its rows that are not past."""
        return max(self.start + self.plan.trajectory.num_frames - moment, 0)


class PlanExecutor:
    """Plans in, one target for each control step out; `opening` is the gripper's command before.

    If the arm moves on while a plan is made, keep `moment` with the observation and give it to `add`:

        moment, observation = executor.moment, look()
        ...                                    # control steps along the previous plan
        executor.add(plan, observed_at=moment)
    """

    def __init__(self, execution: Execution, opening: float) -> None:
        self.execution, self.num_plans = execution, 0
        self._followed: list[_Followed] = []
        self._step, self._moment, self._opening = 0, 0, opening
        self._last_switch: int | None = None
        self._last_switch_moment = -1

    @property
    def opening(self) -> float:
        """The last command to the gripper."""
        return self._opening

    @property
    def moment(self) -> int:
        """The number of control steps in which a plan was followed: the clock for rows of plans."""
        return self._moment

    @property
    def has_target(self) -> bool:
        """Whether there is a plan to follow in the next control step."""
        return self._left > 0

    @property
    def wants_plan(self) -> bool:
        """Whether to request a plan before the next target."""
        if self.finished:
            return False
        if not self.has_target:
            return True
        num_steps, used = self.execution.num_steps, self._moment - self._followed[-1].start
        return num_steps is not None and used >= num_steps and not self._settling and self._may_plan

    @property
    def finished(self) -> bool:
        """Whether all plans are done and no plan may be added."""
        return not self._may_plan and not self.has_target

    def add(self, plan: Plan, *, observed_at: int | None = None) -> Rejection | None:
        """Follow a plan from the current row on, or return why it is not followed.

        `observed_at` is the `moment` of the plan's observation, None for now. Row 0 belongs to the control
        step after that. If a plan switches the gripper in past rows, it is followed from up to
        `Execution.join` rows before the switch. So no grip is left out. Raises ValueError if the plan is a
        batch or has no frames, or if the observation is in the future.
        """
        if len(plan.trajectory.batch_shape) != 1 or plan.trajectory.num_frames == 0:
            raise ActionImagesError(
                "a plan to follow has one axis, of at least one frame; this has "
                f"{tuple(plan.trajectory.batch_shape)}"
            )
        now, observed_at = self._moment, self._moment if observed_at is None else observed_at
        if not 0 <= observed_at <= now:
            raise ActionImagesError(f"observed_at lies in 0 to {now}, the moment of now; got {observed_at}")
        plan = plan.to("cpu")
        rejection = self._rejection(plan, observed_at)
        if rejection is None:
            row, num_joining = (0, 0) if observed_at == now else self._joint(plan, now - observed_at)
            start, joined = now - row, now + num_joining
            self._followed.append(_Followed(plan, observed_at, start=start, arrived=now, joined=joined))
            self._forget()
            self.num_plans += 1
        return rejection

    def drop(self) -> None:
        """Drop all plans, as none of them could be followed."""
        self._followed = []

    def target(self) -> Target:
        """The command of this control step; raises ValueError if there is no plan to follow."""
        if not self.has_target:
            raise ActionImagesError("there is no plan to follow; add one (see wants_plan)")
        newest, now = self._followed[-1], self._moment
        opening, confidence = newest.opening(now), newest.confidence(now)
        pose = self._pose(len(self._followed), opening)
        return Target(self.num_plans - 1, newest.row(now), pose, opening, confidence)

    def advance(self, opening: float, *, followed: bool = True) -> None:
        """Note that a control step with this commanded opening has passed.

        `followed` False: the arm stood still instead of following a plan, and the rows of plans wait for it.
        """
        if (opening > 0.5) != (self._opening > 0.5):
            self._last_switch, self._last_switch_moment = self._step, self._moment
        self._opening = opening
        self._step += 1
        self._moment += followed

    @property
    def _left(self) -> int:
        if not self._followed:
            return 0
        newest = self._followed[-1]
        num_rows = self._num_rows(newest.plan, self.num_plans)
        return max(newest.start + num_rows - self._moment, 0)

    @property
    def _settling(self) -> bool:
        return self._last_switch is not None and self._step - self._last_switch < self.execution.settle

    @property
    def _may_plan(self) -> bool:
        return self.execution.max_plans is None or self.num_plans < self.execution.max_plans

    def _num_rows(self, plan: Plan, num_plans: int) -> int:
        """The number of rows of a plan that may be followed, if it is the last of `num_plans`."""
        num_frames, execution = plan.trajectory.num_frames, self.execution
        is_last = execution.max_plans is not None and num_plans >= execution.max_plans
        return min(num_frames, execution.num_steps) if is_last and execution.num_steps else num_frames

    def _rejection(self, plan: Plan, observed_at: int) -> Rejection | None:
        late, num_rows = self._moment - observed_at, self._num_rows(plan, self.num_plans + 1)
        if late >= num_rows:
            return Rejection(
                "past", f"the plan has {num_rows} rows, and {late} control steps were driven meanwhile"
            )
        if self._followed and observed_at < self._followed[-1].observed_at:
            return Rejection("older", "a plan made from a later observation is followed already")
        knows_grip = observed_at > self._last_switch_moment
        is_open = plan.trajectory.opening[late].item() > 0.5
        if late > 0 and not knows_grip and is_open != (self._opening > 0.5):
            return Rejection("grip", "the gripper has switched since the plan's observation")
        return None

    def _joint(self, plan: Plan, late: int) -> tuple[int, int]:
        """The first row of a late plan, and the number of steps in which previous plans still count.

        The plan counts alone from the row in which the gripper switches, as a grip needs its exact place.
        """
        join, told_open = self.execution.join, self._opening > 0.5
        switched = ((plan.trajectory.opening > 0.5) != told_open).tolist()
        if not switched[late]:
            switch = switched.index(True, late) if any(switched[late:]) else len(switched)
            return late, min(join, switch - late)
        switch = late
        while switch > 0 and switched[switch - 1]:
            switch -= 1
        row = max(switch - join, 0)
        return row, switch - row

    def _forget(self) -> None:
        """Drop the plans that no longer count."""
        leading = [i for i, one in enumerate(self._followed) if one.share(self._moment) == 1]
        first = (leading[-1] if leading else 0) - self._max_blended + 1
        self._followed = self._followed[max(first, 0) :]

    @property
    def _max_blended(self) -> int:
        return 1 if self.execution.blend is None else self.execution.blend.max_plans

    def _pose(self, num_plans: int, opening: float) -> Pose:
        """The current pose of the first `num_plans` plans; the last of them is joined to the others."""
        newest, now = self._followed[num_plans - 1], self._moment
        pose = newest.pose(now)
        if self.execution.blend is not None:
            pose = self._blended(self.execution.blend, self._followed[:num_plans], opening)
        share = newest.share(now)
        if share == 1 or num_plans == 1 or not _is_finite(pose):
            return pose
        if not _may_lead(self._followed[num_plans - 2], now):
            return pose
        return mean_pose([self._pose(num_plans - 1, opening), pose], [1 - share, share])

    def _blended(self, blend: Blend, plans: list[_Followed], opening: float) -> Pose:
        now, came_late = self._moment, plans[-1].arrived > plans[-1].observed_at
        poses, weights = [], []
        for age, one in enumerate(reversed(plans[-blend.max_plans :])):
            num_left = one.num_left(now)
            if num_left == 0:
                continue
            pose, confidence = one.pose(now), one.confidence(now)
            weight = math.exp(-blend.decay * age) * (1.0 if confidence is None else confidence)
            if came_late and age > 0:  # A moving arm would jerk at the end of a plan, so the plan fades out.
                weight *= _least_jerk(min(num_left / (self.execution.join + 1), 1.0))
            agrees = (one.opening(now) > 0.5) == (opening > 0.5)
            if weight > 0 and agrees and _is_finite(pose):
                poses.append(pose)
                weights.append(weight)
        return mean_pose(poses, weights) if poses else plans[-1].pose(now)


def _least_jerk(phase: float) -> float:
    """The progress at a phase in [0, 1] of a motion from rest to rest."""
    return phase**3 * (10 - 15 * phase + 6 * phase**2)


def _is_finite(pose: Pose) -> bool:
    return bool(pose.translation.isfinite().all() and pose.rotation.isfinite().all())


def _may_lead(plan: _Followed, moment: int) -> bool:
    """Whether a plan's pose of this moment may be driven to."""
    confidence = plan.confidence(moment)
    return _is_finite(plan.pose(moment)) and (confidence is None or confidence > 0)


def mean_pose(poses: list[Pose], weights: list[float]) -> Pose:
    """The weighted mean: positions as vectors, rotations as the one nearest to the mean matrix (chordal)."""
    share = torch.tensor(weights, dtype=poses[0].dtype) / sum(weights)
    rotation = sum(w * pose.rotation for w, pose in zip(share, poses, strict=True))
    translation = sum(w * pose.translation for w, pose in zip(share, poses, strict=True))
    return Pose(nearest_rotation(torch.as_tensor(rotation)), torch.as_tensor(translation))
