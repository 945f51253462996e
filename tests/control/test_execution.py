"""How much of a plan is used, when the next is asked for, and what overlapping plans become."""

import math

import pytest
import torch

from action_images.control import Blend, Execution, PlanExecutor
from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import angle_between, from_rotation_vector
from action_images.robot import Plan


def plan(
    num_frames: int = 8,
    x: float = 0.0,
    openings: list[float] | None = None,
    yaw: float = 0.0,
    confidence: float | None = None,
) -> Plan:
    position = torch.stack(
        [torch.full((num_frames,), x), torch.arange(num_frames) / 100, torch.zeros(num_frames)], -1
    )
    rotation = from_rotation_vector(torch.tensor([0.0, 0.0, yaw])).expand(num_frames, 3, 3)
    opening = torch.tensor(openings) if openings else torch.ones(num_frames)
    return Plan(
        Trajectory(Pose(rotation, position), opening),
        confidence=None if confidence is None else torch.full((num_frames,), confidence),
    )


def follow(executor: PlanExecutor, num_steps: int, make=plan) -> list:
    """(plan, frame) of each target."""
    told = []
    for _ in range(num_steps):
        if executor.wants_plan:
            executor.add(make())
        target = executor.target()
        told.append((target.plan, target.frame))
        executor.advance(target.opening)
    return told


def test_so_many_steps_of_each_plan_are_used():
    told = follow(PlanExecutor(Execution(num_steps=3), 1.0), 7)
    assert told == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


def test_a_plan_shorter_than_that_is_followed_by_the_next():
    told = follow(PlanExecutor(Execution(num_steps=16), 1.0), 5, lambda: plan(2))
    assert told == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]


def test_open_loop_is_one_plan_to_its_end():
    executor = PlanExecutor(Execution(num_steps=None, max_plans=1), 1.0)
    assert follow(executor, 8) == [(0, frame) for frame in range(8)]
    assert executor.finished
    assert not executor.wants_plan
    with pytest.raises(ValueError, match="no plan to follow"):
        executor.target()


def test_a_grip_is_finished_before_the_next_plan_is_asked_for():
    closing = plan(12, openings=[1.0, 1.0] + [0.0] * 10)
    told = follow(PlanExecutor(Execution(num_steps=3, settle=6), 1.0), 9, lambda: closing)
    # The gripper switches at step 2: the steps 2 to 7 belong to the grip, and then the plan is used up.
    assert told == [(0, frame) for frame in range(8)] + [(1, 0)]


def test_a_dropped_plan_is_replaced_at_once_or_ends_an_open_loop():
    executor = PlanExecutor(Execution(num_steps=5), 1.0)
    follow(executor, 2)
    executor.drop()
    assert executor.wants_plan
    assert follow(executor, 1) == [(1, 0)]
    once = PlanExecutor(Execution(num_steps=None, max_plans=1), 1.0)
    follow(once, 2)
    once.drop()
    assert once.finished


def overlapping(blend: Blend | None, first: Plan, second: Plan):
    executor = PlanExecutor(Execution(num_steps=2, blend=blend), 1.0)
    executor.add(first)
    for _ in range(2):
        executor.advance(executor.target().opening)
    executor.add(second)
    return executor.target().world_from_tool


def test_overlapping_plans_are_averaged_by_age_and_confidence():
    first, second = plan(x=0.0, yaw=0.0, confidence=0.5), plan(x=1.0, yaw=0.4, confidence=1.0)
    older = 0.5 * math.exp(-0.7)
    pose = overlapping(Blend(decay=0.7), first, second)
    assert pose.translation[0].item() == pytest.approx(1 / (1 + older), abs=1e-5)
    assert pose.translation[1].item() == pytest.approx((0.02 * older) / (1 + older), abs=1e-6)
    # Two rotations about one axis: the chordal mean turns about it too, between the two.
    assert 0.4 * 0.5 < angle_between(torch.eye(3), pose.rotation).item() < 0.4
    assert overlapping(None, first, second).translation[0] == 1
    act = overlapping(Blend(decay=-0.7), plan(x=0.0), plan(x=1.0))
    assert act.translation[0].item() == pytest.approx(1 / (1 + math.exp(0.7)), abs=1e-5)


def test_plans_that_disagree_on_the_gripper_or_are_not_finite_have_no_say():
    second = plan(x=1.0)
    assert overlapping(Blend(), plan(openings=[1.0, 1.0] + [0.0] * 6), second).translation[0] == 1
    spoilt = plan(x=math.nan, confidence=1.0)
    assert overlapping(Blend(), spoilt, second).translation[0] == 1


def test_the_mean_of_equal_plans_is_that_plan():
    pose = overlapping(Blend(), plan(x=0.3, yaw=1.0), plan(x=0.3, yaw=1.0))
    assert angle_between(pose.rotation, plan(yaw=1.0).trajectory.world_from_tool.rotation[0]).item() < 1e-3
    assert pose.translation[0].item() == pytest.approx(0.3)


def test_values_out_of_range_and_batches_are_refused():
    with pytest.raises(ValueError, match="num_steps >= 1"):
        Execution(num_steps=0)
    with pytest.raises(ValueError, match="max_plans >= 1"):
        Blend(max_plans=0)
    with pytest.raises(ValueError, match="one axis"):
        PlanExecutor(Execution(), 1.0).add(plan()[None])


def test_a_single_plan_ends_after_as_many_steps_as_are_asked_of_it():
    executor = PlanExecutor(Execution(num_steps=3, max_plans=1), 1.0)
    assert follow(executor, 3) == [(0, frame) for frame in range(3)]
    assert executor.finished
    assert not executor.wants_plan


def test_a_place_holder_gives_way_to_the_one_older_plan_that_is_sure():
    pose = overlapping(Blend(decay=0.5), plan(x=0.4, confidence=1.0), plan(x=9.9, confidence=0.0))
    assert pose.translation[0].item() == pytest.approx(0.4)
