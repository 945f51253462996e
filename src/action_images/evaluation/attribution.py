"""Why a trial failed, by rules that are asked one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from action_images.evaluation.rollout import Rollout
from action_images.evaluation.trial import GRIPPER, GUARD, MISSED, READER, TIMEOUT, UNREACHABLE
from action_images.geometry import Pose, Trajectory

MANY_UNREACHABLE = 0.1
"""Share of control steps out of reach from which on the arm's reach is the reason."""
MANY_UNREADABLE = 0.25
"""Share of control steps held for want of confidence from which on reading is the reason."""
STILL_MOVING_M = 0.01
"""A tool that has moved further than this within its last second was on its way."""
GRASP_M = 0.02
"""A gripper that switches further than this from where the expert's does has missed."""


@dataclass(frozen=True)
class Reason:
    """A key of trial.FAILURES and a sentence with the numbers."""

    failure: str
    detail: str


def attribute(rollout: Rollout, expert: Trajectory) -> Reason:
    """Why this failed trial failed, beside what the expert tells the arm in it (step).

    The rules, the first that holds: stopped by a guard rail for want of confidence, or held by it for a quarter of the
    steps -> reader; stopped by another rail -> guard; a tenth of the steps out of reach -> unreachable; the gripper's
    openings and closings are not the expert's -> gripper; it switched more than 2 cm from where the expert's does ->
    missed; time ran out while the tool moved -> timeout; else -> missed, by the distance from the expert's last pose.
    """
    rules = (_unreadable, _stopped, _out_of_reach, _wrong_grip, _grip_elsewhere, _ran_out)
    found = (rule(rollout, expert) for rule in rules)
    return next((reason for reason in found if reason is not None), _missed(rollout, expert))


def missed_by(rollout: Rollout, expert: Trajectory) -> float:
    """How far (m) the tool ended from where the expert's ends."""
    return _metres(rollout.tool, expert.world_from_tool[-1])


def _unreadable(rollout: Rollout, _: Trajectory) -> Reason | None:
    held = sum(step.held is not None and step.held.rail == "confidence" for step in rollout.steps)
    if rollout.stopped is not None and rollout.stopped.rail == "confidence":
        return Reason(READER, f"stopped after {len(rollout.steps)} steps: {rollout.stopped}")
    if rollout.steps and held >= MANY_UNREADABLE * len(rollout.steps):
        return Reason(
            READER,
            f"{held} of {len(rollout.steps)} steps were held because the plan was not sure of its poses",
        )
    return None


def _stopped(rollout: Rollout, _: Trajectory) -> Reason | None:
    if rollout.stopped is None:
        return None
    return Reason(
        GUARD, f"stopped after {len(rollout.steps)} steps ({rollout.stopped.rail}): {rollout.stopped}"
    )


def _out_of_reach(rollout: Rollout, _: Trajectory) -> Reason | None:
    number = rollout.num_unreachable
    if number == 0 or number < MANY_UNREACHABLE * len(rollout.steps):
        return None
    return Reason(
        UNREACHABLE, f"no posture reaches {number} of the {len(rollout.steps)} poses that were asked for"
    )


def _wrong_grip(rollout: Rollout, expert: Trajectory) -> Reason | None:
    did, should = _switches(rollout), _expert_switches(rollout, expert)
    if [is_open for is_open, _ in did] == [is_open for is_open, _ in should]:
        return None
    return Reason(GRIPPER, f"the gripper {_said(did)}; the expert's {_said(should)}")


def _grip_elsewhere(rollout: Rollout, expert: Trajectory) -> Reason | None:
    for (is_open, did), (_, should) in zip(
        _switches(rollout), _expert_switches(rollout, expert), strict=True
    ):
        metres = 0.0 if should is None else _metres(did, should)
        if metres > GRASP_M:
            return Reason(
                MISSED,
                f"the gripper {'opened' if is_open else 'closed'} {1e3 * metres:.0f} mm from where the expert's does",
            )
    return None


def _ran_out(rollout: Rollout, expert: Trajectory) -> Reason | None:
    if not rollout.timed_out:
        return None
    second = rollout.steps[-int(rollout.control_hz) :]
    moved = _metres(second[0].reached, second[-1].reached) if second else 0.0
    if moved <= STILL_MOVING_M:
        return None
    miss = 1e3 * missed_by(rollout, expert)
    return Reason(
        TIMEOUT, f"still moving after {len(rollout.steps)} steps, {miss:.0f} mm from where the expert ends"
    )


def _missed(rollout: Rollout, expert: Trajectory) -> Reason:
    metres, radians = (value.item() for value in _both(rollout.tool, expert.world_from_tool[-1]))
    return Reason(
        MISSED,
        f"came to rest {1e3 * metres:.0f} mm and {radians * 57.29578:.0f} degrees from where the expert ends",
    )


def _switches(rollout: Rollout) -> list[tuple[bool, Pose]]:
    """Each change of the gripper: whether it opened, and where the tool was asked to be."""
    before, found = float(rollout.first_seen.opening) > 0.5, []
    for step in rollout.steps:
        if (step.opening > 0.5) != before:
            before = not before
            found.append((before, step.asked))
    return found


def _expert_switches(rollout: Rollout, expert: Trajectory) -> list[tuple[bool, Pose | None]]:
    """The same of the expert; one that switches with its very first step does so on its way: that has no place of its own."""
    before, found = float(rollout.first_seen.opening) > 0.5, []
    for frame, is_open in enumerate((expert.opening > 0.5).tolist()):
        if is_open != before:
            before = is_open
            found.append((is_open, expert.world_from_tool[frame] if frame else None))
    return found


def _said(switches: Sequence[tuple[bool, Pose | None]]) -> str:
    return " then ".join("opened" if is_open else "closed" for is_open, _ in switches) or "never switched"


def _metres(a: Pose, b: Pose) -> float:
    return _both(a, b)[0].item()


def _both(a: Pose, b: Pose):
    first, second = (pose.map(lambda tensor: tensor.detach().double().cpu()) for pose in (a, b))
    return first.distance(second)
