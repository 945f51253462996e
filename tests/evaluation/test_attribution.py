"""Every rule of attribution finds what it is for, and the first that holds decides."""

from dataclasses import replace

import pytest
import torch

from action_images.control import Objection
from action_images.evaluation.attribution import attribute, missed_by
from action_images.evaluation.rollout import Rollout, Step
from action_images.geometry import Camera, Pose, Trajectory
from action_images.robot import Observation, StepReport
from action_images.structs import stack

START, GRASP, END = (0.4, 0.0, 0.25), (0.5, 0.1, 0.03), (0.5, 0.1, 0.16)


def at(place, share: float = 1.0, start=START) -> Pose:
    return Pose(torch.eye(3), torch.lerp(torch.tensor(start), torch.tensor(place), share))


def expert() -> Trajectory:
    """Down, close, up."""
    poses = (
        [at(GRASP, share / 10) for share in range(1, 11)]
        + [at(GRASP)] * 6
        + [at(END, share / 10, GRASP) for share in range(1, 11)]
    )
    return Trajectory(stack(poses), torch.tensor([1.0] * 10 + [0.0] * 16))


def rollout(poses: list[Pose], openings: list[float], unreachable: int = 0, **values) -> Rollout:
    steps = tuple(
        Step(None, 0, i, pose, opening, pose, StepReport(i >= unreachable, 0.0, 0.0, pose))
        for i, (pose, opening) in enumerate(zip(poses, openings, strict=True))
    )
    cameras = Camera.look_at(torch.ones(2, 3), torch.zeros(2, 3), 0.8, (8, 8))
    seen = Observation(
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8), cameras, at(START), torch.tensor(1.0), "lift it"
    )
    return replace(Rollout("pick_and_lift", 7, "lift it", 20.0, False, (), steps, seen, None, ()), **values)


def as_expert(
    offset=(0.0, 0.0, 0.0), openings: list[float] | None = None, rest: int = 25, **values
) -> Rollout:
    path = expert()
    places = path.world_from_tool.translation + torch.tensor(offset)
    moved = Pose(path.world_from_tool.rotation, places)
    shifted = [moved[i] for i in range(26)]
    told = openings or path.opening.tolist()
    return rollout(shifted + shifted[-1:] * rest, told + told[-1:] * rest, **values)


@pytest.mark.parametrize(
    ("happened", "failure", "said"),
    [
        (
            lambda: as_expert(stopped=Objection("confidence", "the plan is sure of this pose by 0.00")),
            "reader",
            "sure of this pose by 0.00",
        ),
        (
            lambda: as_expert(stopped=Objection("speed", "a speed of 3 m/s is asked")),
            "guard",
            "(speed): a speed of 3 m/s",
        ),
        (lambda: as_expert(unreachable=9), "unreachable", "no posture reaches 9 of the 51 poses"),
        (lambda: as_expert(openings=[1.0] * 26), "gripper", "never switched; the expert's closed"),
        (
            lambda: as_expert(openings=[1.0] * 10 + [0.0] * 10 + [1.0] * 6),
            "gripper",
            "closed then opened; the expert's closed",
        ),
        (lambda: as_expert(offset=(0.0, 0.03, 0.0)), "missed", "closed 30 mm from where the expert's does"),
        (
            lambda: as_expert(offset=(0.0, 0.004, 0.0), rest=0, timed_out=True),
            "timeout",
            "still moving after 26 steps, 4 mm from",
        ),
        (
            lambda: as_expert(offset=(0.0, 0.004, 0.0), rest=10),
            "missed",
            "came to rest 4 mm and 0 degrees from",
        ),
        (lambda: as_expert(offset=(0.0, 0.004, 0.0)), "missed", "came to rest 4 mm and 0 degrees from"),
    ],
)
def test_each_reason_is_found(happened, failure: str, said: str):
    reason = attribute(happened(), expert())
    assert reason.failure == failure
    assert said in reason.detail


def test_many_steps_held_for_want_of_confidence_are_the_readers_fault_and_a_few_are_not():
    run = as_expert(offset=(0.0, 0.004, 0.0))
    unsure = Objection("confidence", "not sure")
    for number, failure in ((13, "reader"), (12, "missed")):
        steps = tuple(replace(step, held=unsure if i < number else None) for i, step in enumerate(run.steps))
        assert attribute(replace(run, steps=steps), expert()).failure == failure


def test_where_the_gripper_switches_on_the_way_is_no_miss():
    """An expert that shuts its gripper while it sets off, to push: the place of that means nothing."""
    path = replace(expert(), opening=torch.zeros(26))
    late = as_expert(openings=[1.0] * 8 + [0.0] * 18, offset=(0.0, 0.0, 0.001))
    assert attribute(late, path).detail.startswith("came to rest 1 mm")


def test_the_miss_is_measured_from_where_the_expert_ends():
    assert missed_by(as_expert(offset=(0.0, 0.0, 0.02)), expert()) == pytest.approx(0.02, abs=1e-6)
    assert missed_by(rollout([], []), expert()) == pytest.approx(
        (torch.tensor(START) - torch.tensor(END)).norm().item(), abs=1e-6
    )
