"""How much of a plan is used, what overlapping plans become, and how plans that come late are joined."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from action_images.control import Blend, Execution, Guard, GuardState, PlanExecutor
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


HZ = 20.0
BLENDS = st.sampled_from([None, Blend(), Blend(decay=-0.5, max_plans=8), Blend(decay=3.0, max_plans=2)])


def along(places: list[float] | torch.Tensor, openings: list[float] | None = None) -> Plan:
    """A plan along x, upright, at these places (m)."""
    x = torch.as_tensor(places, dtype=torch.float64)
    position = torch.stack([x, torch.zeros_like(x), torch.full_like(x, 0.2)], -1)
    opening = torch.ones_like(x) if openings is None else torch.tensor(openings, dtype=x.dtype)
    return Plan(
        Trajectory(Pose(torch.eye(3, dtype=x.dtype).expand(len(x), 3, 3), position), opening),
        confidence=torch.ones_like(x),
    )


def straight(start: float, step: float, num_rows: int = 40) -> Plan:
    return along(start + step * torch.arange(1, num_rows + 1, dtype=torch.float64))


def drive(executor: PlanExecutor, num_steps: int) -> list[float]:
    """Where along x the arm is told to be."""
    told = []
    for _ in range(num_steps):
        target = executor.target()
        told.append(target.world_from_tool.translation[0].item())
        executor.advance(target.opening)
    return told


@settings(max_examples=20)
@given(st.integers(0, 20), st.floats(0.001, 0.04), st.integers(0, 15), BLENDS)
def test_a_plan_that_comes_late_on_a_straight_path_gives_the_targets_of_one_that_came_at_once(
    late, step, before, blend
):
    executor = PlanExecutor(Execution(num_steps=16, blend=blend), 1.0)
    executor.add(straight(0.3, step))
    told = drive(executor, before)
    observed_at, place = executor.moment, 0.3 + step * before
    told += drive(executor, late)
    assert executor.add(straight(place, step), observed_at=observed_at) is None
    assert executor.target().frame == late
    told += drive(executor, 15)
    assert told == pytest.approx([0.3 + step * row for row in range(1, before + late + 16)])


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.floats(0.005, 0.03),
    st.floats(-2.0, 2.0),
    st.floats(0.8, 1.25),
    BLENDS,
)
def test_no_late_plan_leads_a_step_back(lates, step, lag, pace, blend):
    """Plans begin up to two steps before or beyond where the arm is, and have a pace of their own."""
    executor = PlanExecutor(Execution(num_steps=16, blend=blend), 1.0)
    executor.add(straight(0.3, step, num_rows=60))
    told = drive(executor, 5)
    for late in lates:
        observed_at, place = executor.moment, told[-1] - lag * step
        told += drive(executor, late)
        # At its own pace from now on: before, it is where the arm was.
        rows = place + step * torch.arange(1, late + 1, dtype=torch.float64)
        onward = rows[-1] + pace * step * torch.arange(1, 60, dtype=torch.float64)
        assert executor.add(along(torch.cat([rows, onward])), observed_at=observed_at) is None
        told += drive(executor, 12)
    assert torch.tensor(told).diff().min() > 0


def test_today_s_leap_back_of_a_plan_that_is_followed_from_its_first_row_is_gone():
    executor = PlanExecutor(Execution(num_steps=16), 1.0)
    executor.add(straight(0.3, 0.3 / HZ))
    told = drive(executor, 16)
    executor.add(straight(told[9], 0.3 / HZ), observed_at=10)
    assert drive(executor, 1)[0] - told[-1] == pytest.approx(0.3 / HZ)
    executor.add(straight(told[9], 0.3 / HZ))
    assert drive(executor, 1)[0] - told[-1] == pytest.approx(-0.075)  # as if it had been observed just now


def least_jerk_path(start: float, stop: float, num_rows: int) -> torch.Tensor:
    phase = torch.arange(1, num_rows + 1, dtype=torch.float64) / num_rows
    return start + (stop - start) * phase**3 * (10 - 15 * phase + 6 * phase**2)


def objections(execution: Execution, offset: float, late: int) -> set[str]:
    """The rails that speak where a plan `late` steps late leads the same way, `offset` m (y) beside it."""
    guard = Guard(max_speed=0.5, max_acceleration=4.0, max_jerk=60.0)
    path = along(least_jerk_path(0.3, 0.6, 40))
    executor = PlanExecutor(execution, 1.0)
    start = Pose(torch.eye(3, dtype=torch.float64), torch.tensor([0.3, 0.0, 0.2], dtype=torch.float64))
    state, spoke = GuardState(guard, start, HZ), set()
    executor.add(path)
    for step in range(40):
        if step == 8 + late:
            beside = torch.tensor([0.0, offset, 0.0], dtype=torch.float64)
            pose = path.trajectory.world_from_tool[8:]
            moved = Trajectory(Pose(pose.rotation, pose.translation + beside), path.trajectory.opening[8:])
            executor.add(Plan(moved), observed_at=8)
        target = executor.target()
        objection = state.objection(target.world_from_tool, 1.0, None)
        if objection is not None:
            spoke.add(objection.rail)
        state.driven(target.world_from_tool, target.world_from_tool)
        executor.advance(1.0)
    return spoke


@settings(max_examples=20)
@given(st.floats(-0.03, 0.03), st.integers(1, 20), BLENDS)
def test_the_limits_of_speed_acceleration_and_jerk_hold_where_a_late_plan_is_joined(offset, late, blend):
    assert objections(Execution(blend=blend), offset, late) == set()


def test_without_joining_they_do_not_hold():
    assert {"acceleration", "jerk"} <= objections(Execution(join=0), 0.03, 6)


def test_a_plan_of_the_past_is_not_followed_and_says_why():
    executor = PlanExecutor(Execution(num_steps=16), 1.0)
    executor.add(straight(0.3, 0.01))
    told = drive(executor, 8)
    rejection = executor.add(straight(0.3, 0.01, num_rows=8), observed_at=0)
    assert rejection is not None
    assert rejection.reason == "past"
    assert str(rejection) == "the plan has 8 rows, and 8 control steps were driven meanwhile"
    assert drive(executor, 1)[0] - told[-1] == pytest.approx(0.01)
    assert executor.num_plans == 1
    assert executor.add(straight(0.3, 0.01, num_rows=10), observed_at=0) is None
    assert drive(executor, 1) == pytest.approx([0.40])
    last = PlanExecutor(Execution(num_steps=4, max_plans=2), 1.0)
    last.add(straight(0.3, 0.01))
    drive(last, 4)
    rejection = last.add(straight(0.3, 0.01), observed_at=0)  # the last plan may be followed for four steps
    assert rejection is not None
    assert rejection.reason == "past"


def test_plans_that_overtake_each_other_and_observations_to_come_are_not_followed():
    executor = PlanExecutor(Execution(num_steps=16), 1.0)
    executor.add(straight(0.3, 0.01))
    drive(executor, 6)
    assert executor.add(straight(0.34, 0.01), observed_at=4) is None
    overtaken = executor.add(straight(0.32, 0.01), observed_at=2)
    assert overtaken is not None
    assert overtaken.reason == "older"
    for moment in (-1, 7):
        with pytest.raises(ValueError, match="observed_at lies in 0 to 6"):
            executor.add(straight(0.3, 0.01), observed_at=moment)


def test_rows_wait_while_the_arm_stands_still():
    executor = PlanExecutor(Execution(num_steps=16), 1.0)
    for _ in range(6):
        assert not executor.has_target
        executor.advance(1.0, followed=False)
    assert executor.moment == 0
    assert executor.add(straight(0.3, 0.01), observed_at=0) is None
    assert drive(executor, 2) == pytest.approx([0.31, 0.32])


def test_a_late_plan_that_does_not_know_of_the_grip_is_not_followed():
    executor = PlanExecutor(Execution(num_steps=16), 1.0)
    executor.add(along([0.3] * 30, openings=[1.0] * 3 + [0.0] * 27))
    drive(executor, 6)
    rejection = executor.add(along([0.3] * 30), observed_at=2)
    assert rejection is not None
    assert rejection.reason == "grip"
    assert executor.opening == 0.0
    # One that means to close as well by now, or that was made after the grip and opens, is followed.
    assert executor.add(along([0.3] * 30, openings=[1.0] * 3 + [0.0] * 27), observed_at=2) is None
    drive(executor, 1)
    assert executor.add(along([0.3] * 30), observed_at=4) is None
    assert executor.target().opening == 1.0


@pytest.mark.parametrize(("switch", "late"), [(12, 14), (12, 20), (3, 6), (0, 5)])
def test_a_grip_among_the_rows_that_are_past_is_not_left_out(switch, late):
    executor = PlanExecutor(Execution(num_steps=16, join=8), 1.0)
    executor.add(straight(0.3, 0.005))
    drive(executor, late)
    places = [*(0.3 + 0.005 * torch.arange(1, switch + 1)).tolist(), *[0.3 + 0.005 * switch] * (40 - switch)]
    openings = [1.0] * switch + [0.0] * (40 - switch)
    assert executor.add(along(places, openings), observed_at=0) is None
    assert executor.target().frame == max(switch - 8, 0)
    while executor.target().opening == 1.0:
        executor.advance(1.0)
    grip = executor.target()
    assert grip.frame == switch
    assert grip.world_from_tool.translation[0].item() == pytest.approx(places[switch])


def test_a_late_plan_leads_alone_by_the_row_in_which_the_gripper_switches():
    executor = PlanExecutor(Execution(num_steps=16, join=8), 1.0)
    executor.add(straight(0.3, 0.0))
    drive(executor, 4)
    executor.add(along([0.33] * 40, openings=[1.0] * 7 + [0.0] * 33), observed_at=0)
    told = drive(executor, 4)
    assert 0.3 < told[0] < told[1] < told[2] < told[3]
    assert told[3] == pytest.approx(0.33)


def test_a_plan_that_must_not_be_driven_has_no_say_in_a_joint():
    executor = PlanExecutor(Execution(num_steps=16), 1.0)
    path = straight(0.3, 0.01)
    executor.add(Plan(path.trajectory, confidence=torch.tensor([1.0] * 4 + [0.0] * 36)))
    drive(executor, 4)
    executor.add(straight(0.5, 0.01), observed_at=2)
    assert drive(executor, 1) == pytest.approx([0.53])
