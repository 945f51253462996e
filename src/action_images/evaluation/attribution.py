"""Why a trial failed, by rules that are checked in order."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from action_images.evaluation.rollout import Rollout
from action_images.evaluation.trial import GRIPPER, GUARD, MISSED, READER, TIMEOUT, UNREACHABLE
from action_images.geometry import Pose, Trajectory

MANY_UNREACHABLE = 0.1
"""From this share of control steps out of reach, the arm's reach is the reason."""
MANY_UNREADABLE = 0.25
"""From this share of control steps held for low confidence, reading is the reason."""
STILL_MOVING_M = 0.01
"""A tool that moved further than this within its last second was still moving."""
GRASP_M = 0.02
"""A gripper that switches further than this from the expert's switch has missed."""


@dataclass(frozen=True)
class Reason:
    """A key of trial.FAILURES and a sentence with the numbers."""

    failure: str
    detail: str


def attribute(rollout: Rollout, expert: Trajectory | None, *, controls_rotation: bool = True) -> Reason:
    """Why this failed trial failed, compared with the expert's commands in it (step).

    `expert` is None if there is no expert. The rules in their order, of which the first that holds counts:

    - a guard rail stopped the trial for low confidence, or held it for a quarter of the steps: reader
    - another rail stopped it: guard
    - a tenth of the steps were out of reach: unreachable
    - the gripper's openings and closings are not the expert's: gripper
    - the gripper switched more than 2 cm from the expert's switch: missed
    - time ran out while the tool moved: timeout
    - otherwise: missed, by the distance from the expert's last pose

    Without an expert, the rules that compare with it are skipped. Rotations are named only if the world
    controls them.
    """
    reasons = _reasons(rollout, expert, controls_rotation=controls_rotation)
    return next(reason for reason in reasons if reason is not None)


def missed_by(rollout: Rollout, expert: Trajectory) -> float:
    """Distance (m) between the tool's last position and the expert's."""
    metres, _ = _apart(rollout.tool, expert.world_from_tool[-1])
    return metres


def _reasons(
    rollout: Rollout, expert: Trajectory | None, *, controls_rotation: bool
) -> Iterator[Reason | None]:
    """The result of each rule in order; the last one always gives a reason."""
    yield _unreadable(rollout)
    yield _stopped(rollout)
    yield _out_of_reach(rollout)
    if expert is not None:
        yield _wrong_grip(rollout, expert)
        yield _grip_elsewhere(rollout, expert)
    yield _ran_out(rollout, expert)
    yield _missed(rollout, expert, controls_rotation=controls_rotation)


def _unreadable(rollout: Rollout) -> Reason | None:
    held = sum(step.held is not None and step.held.rail == "confidence" for step in rollout.steps)
    if rollout.stopped is not None and rollout.stopped.rail == "confidence":
        return Reason(READER, f"stopped after {len(rollout.steps)} steps: {rollout.stopped}")
    if rollout.steps and held >= MANY_UNREADABLE * len(rollout.steps):
        return Reason(
            READER,
            f"{held} of {len(rollout.steps)} steps were held because the plan was not sure of its poses",
        )
    return None


def _stopped(rollout: Rollout) -> Reason | None:
    if rollout.stopped is None:
        return None
    return Reason(
        GUARD, f"stopped after {len(rollout.steps)} steps ({rollout.stopped.rail}): {rollout.stopped}"
    )


def _out_of_reach(rollout: Rollout) -> Reason | None:
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
    """Called after `_wrong_grip`, so both switch equally often and in the same order."""
    did, should = _switches(rollout), _expert_switches(rollout, expert)
    for (is_open, place), (_, expert_place) in zip(did, should, strict=True):
        if expert_place is None:
            continue
        metres, _ = _apart(place, expert_place)
        if metres > GRASP_M:
            verb = "opened" if is_open else "closed"
            detail = f"the gripper {verb} {1e3 * metres:.0f} mm from where the expert's does"
            return Reason(MISSED, detail)
    return None


def _ran_out(rollout: Rollout, expert: Trajectory | None) -> Reason | None:
    if not rollout.timed_out:
        return None
    last_second = rollout.steps[-int(rollout.control_hz) :]
    if not last_second:
        return None
    moved, _ = _apart(last_second[0].reached, last_second[-1].reached)
    if moved <= STILL_MOVING_M:
        return None
    detail = f"still moving after {len(rollout.steps)} steps"
    if expert is not None:
        detail += f", {1e3 * missed_by(rollout, expert):.0f} mm from where the expert ends"
    return Reason(TIMEOUT, detail)


def _missed(rollout: Rollout, expert: Trajectory | None, *, controls_rotation: bool) -> Reason:
    if expert is None:
        return Reason(MISSED, "came to rest with the task not done; it has no expert to compare with")
    metres, radians = _apart(rollout.tool, expert.world_from_tool[-1])
    turned = f" and {math.degrees(radians):.0f} degrees" if controls_rotation else ""
    return Reason(MISSED, f"came to rest {1e3 * metres:.0f} mm{turned} from where the expert ends")


def _switches(rollout: Rollout) -> list[tuple[bool, Pose]]:
    """Each change of the gripper: whether it opened, and the tool pose commanded then."""
    before, found = float(rollout.first_seen.opening) > 0.5, []
    for step in rollout.steps:
        if (step.opening > 0.5) != before:
            before = not before
            found.append((before, step.asked))
    return found


def _expert_switches(rollout: Rollout, expert: Trajectory) -> list[tuple[bool, Pose | None]]:
    """The same of the expert.

    A switch in the very first step happens on the way, so its place is None.
    """
    before, found = float(rollout.first_seen.opening) > 0.5, []
    for frame, is_open in enumerate((expert.opening > 0.5).tolist()):
        if is_open != before:
            before = is_open
            found.append((is_open, expert.world_from_tool[frame] if frame else None))
    return found


def _said(switches: Sequence[tuple[bool, Pose | None]]) -> str:
    return " then ".join("opened" if is_open else "closed" for is_open, _ in switches) or "never switched"


def _apart(a: Pose, b: Pose) -> tuple[float, float]:
    """Distance (m) and rotation angle (rad) between two poses."""
    first, second = (pose.map(lambda tensor: tensor.detach().double().cpu()) for pose in (a, b))
    metres, radians = first.distance(second)
    return metres.item(), radians.item()
