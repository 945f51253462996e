"""Each rail stops what it forbids, says why, and lets the experts pass."""

import math

import pytest
import torch

from action_images.control import Guard, GuardState
from action_images.geometry import Pose
from action_images.geometry.rotation import from_rotation_vector

HOME = (0.45, 0.0, 0.25)


def pose(x: float = HOME[0], y: float = HOME[1], z: float = HOME[2], yaw: float = 0.0) -> Pose:
    return Pose(from_rotation_vector(torch.tensor([0.0, 0.0, yaw])), torch.tensor([x, y, z]))


def watch(**values) -> GuardState:
    return GuardState(Guard(**values), pose(), control_hz=20.0)


@pytest.mark.parametrize(
    ("rail", "asked", "opening", "confidence"),
    [
        ("finite", pose(x=math.nan), 1.0, 1.0),
        ("finite", Pose(torch.full((3, 3), math.inf), torch.tensor(HOME)), 1.0, 1.0),
        ("finite", pose(), math.nan, 1.0),
        ("confidence", pose(), 1.0, 0.05),
        ("confidence", pose(), 1.0, math.nan),
        ("workspace", pose(z=-0.001), 1.0, 1.0),
        ("workspace", pose(y=0.46), 1.0, 1.0),
        ("speed", pose(x=HOME[0] + 0.06), 1.0, 1.0),
        ("turning speed", pose(yaw=0.3), 1.0, 1.0),
    ],
)
def test_a_plan_that_breaks_a_rail_is_objected_to_by_name(rail, asked, opening, confidence):
    free = dict.fromkeys(
        ("max_acceleration", "max_turning_acceleration", "max_jerk", "max_turning_jerk"), math.inf
    )
    watching = watch(**free, slack=0.0, haste=1.0)
    for pose_asked in (asked, watching.within(asked)):
        objection = watching.objection(pose_asked, opening, confidence)
        assert objection is not None
        assert objection.rail == rail
        assert str(objection) == objection.detail


def test_accelerations_are_those_from_one_step_to_the_next():
    guard = Guard(max_acceleration=5.0, max_turning_acceleration=20.0)
    steady = GuardState(guard, pose(), 20.0)
    for step in range(1, 4):
        asked = pose(x=HOME[0] + 0.01 * step)  # 0.2 m/s, from rest: 4 m/s^2 at first, then none
        assert steady.objection(asked, 1.0, None) is None
        steady.driven(asked, asked)
    back = steady.objection(pose(x=HOME[0] + 0.02), 1.0, None)  # from 0.2 to -0.2 m/s
    assert back is not None
    assert back.rail == "acceleration"
    turning = GuardState(guard, pose(), 20.0)
    spun = turning.objection(pose(yaw=0.06), 1.0, None)  # 1.2 rad/s at once: 24 rad/s^2
    assert spun is not None
    assert spun.rail == "turning acceleration"


def test_jerks_are_changes_of_acceleration_from_one_step_to_the_next():
    smooth = GuardState(Guard(max_jerk=50.0, max_turning_jerk=200.0), pose(), 20.0)
    # 0.1 and 0.3 m/s: 2 and 4 m/s^2, by 40 m/s^3 each; then on at that speed.
    for x in (0.005, 0.020):
        asked = pose(x=HOME[0] + x)
        assert smooth.objection(asked, 1.0, None) is None
        smooth.driven(asked, asked)
    steady = smooth.objection(pose(x=HOME[0] + 0.035), 1.0, None)  # from 4 m/s^2 to none: 80 m/s^3
    assert steady is not None
    assert steady.rail == "jerk"
    assert "80.00 m/s^3" in steady.detail
    turning = GuardState(Guard(max_turning_jerk=200.0), pose(), 20.0)
    spun = turning.objection(pose(yaw=0.05), 1.0, None)  # 1 rad/s at once: 20 rad/s^2, 400 rad/s^3
    assert spun is not None
    assert spun.rail == "turning jerk"


def test_at_20_hz_the_default_jerks_forbid_nothing_that_the_accelerations_allow():
    guard = GuardState(Guard(), pose(), 20.0)
    for x in (0.0495, 0.0, 0.0495, 0.0):  # 19.8 m/s^2 there, and at once the most that is allowed back
        asked = pose(x=HOME[0] + x)
        objection = guard.objection(asked, 1.0, None)
        if objection is not None:
            assert objection.rail == "acceleration"
            asked = pose(x=guard.tool.translation[0].item())
        guard.driven(asked, asked)


def test_an_arm_that_is_held_back_may_be_told_to_go_on_or_to_start_anew_but_not_to_leap():
    lagging = watch()
    lagging.driven(pose(x=0.48), reached=pose(x=0.44))
    for onward in (0.50, 0.45):  # on along the plan, or from where the tool is
        assert lagging.objection(pose(x=onward), 1.0, None) is None
    for leap in (0.54, 0.38):
        objection = lagging.objection(pose(x=leap), 1.0, None)
        assert objection is not None
        assert objection.rail == "speed"


def test_what_lies_just_outside_the_box_is_brought_to_its_face_and_the_rest_is_left_alone():
    guard = Guard()
    for inside_or_far in (
        pose(),
        pose(z=guard.low[2]),
        pose(z=guard.low[2] - 0.021),
        pose(y=0.48),
        pose(x=math.nan),
    ):
        assert torch.equal(
            guard.brought_in(inside_or_far).translation.nan_to_num(), inside_or_far.translation.nan_to_num()
        )
    low = guard.brought_in(pose(y=0.46, z=-0.005, yaw=0.3))
    assert low.translation.tolist() == pytest.approx((HOME[0], 0.45, guard.low[2]))
    assert torch.equal(low.rotation, pose(yaw=0.3).rotation)
    strict = Guard(slack=0.0).brought_in(pose(z=0.0099))
    for dtype in (torch.float32, torch.float64):
        for place in ((0.24, 0.46, -0.005), (0.76, -0.46, 0.61)):
            corner = guard.brought_in(pose(*place).to(dtype))
            assert GuardState(guard, corner, 20.0).objection(corner, 1.0, None) is None
    leap = GuardState(guard, pose(), 20.0).objection(low, 1.0, None)
    assert leap is not None
    assert leap.rail == "speed"  # the other rails still judge it
    outside = GuardState(guard, strict, 20.0).objection(strict, 1.0, None)
    assert outside is not None
    assert outside.rail == "workspace"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_asked_a_little_too_fast_is_driven_as_fast_as_allowed_and_what_is_far_too_fast_is_refused(
    dtype,
):
    fast = pose(x=HOME[0] + 0.06, yaw=0.3).to(dtype)  # 1.2 m/s and 6 rad/s
    driven = watch().within(fast)
    assert watch(max_acceleration=math.inf, max_jerk=math.inf).objection(driven, 1.0, None) is None
    assert driven.translation.tolist() == pytest.approx((HOME[0] + 0.05, 0.0, HOME[2]), abs=1e-4)
    assert driven.distance(pose().to(dtype))[1].item() == pytest.approx(0.2, abs=1e-3)
    for far in (pose(x=HOME[0] + 0.11), pose(yaw=0.5)):
        objection = watch().objection(watch().within(far), 1.0, None)
        assert objection is not None
        assert objection.rail in ("speed", "turning speed")
    for slow in (pose(x=HOME[0] + 0.049), pose(yaw=0.19), pose()):
        assert watch().within(slow).distance(slow)[0] == 0
        assert torch.equal(watch().within(slow).rotation, slow.rotation)


def test_an_arm_that_is_slowed_down_arrives_all_the_same():
    slowed, goal = watch(), pose(yaw=0.35)
    for _ in range(3):
        allowed = slowed.within(goal)
        assert slowed.objection(allowed, 1.0, None) is None
        slowed.driven(allowed, allowed)
    assert allowed.distance(goal)[1] < 1e-6


def test_every_rail_can_be_taken_away():
    jerks = {"max_jerk": math.inf, "max_turning_jerk": math.inf}
    wild = Guard((-9.0,) * 3, (9.0,) * 3, *[math.inf] * 4, min_confidence=0.0, **jerks)
    assert GuardState(wild, pose(), 20.0).objection(pose(x=5.0, yaw=3.0), 0.0, 0.0) is None
    assert GuardState(wild, pose(), 20.0).objection(pose(x=math.inf), 0.0, 0.0) is not None


def test_a_plan_that_states_no_confidence_is_not_held_to_it():
    assert watch().objection(pose(), 1.0, None) is None


def test_a_guard_that_allows_nothing_is_refused():
    for values in (
        {"max_speed": 0.0},
        {"max_jerk": 0.0},
        {"max_turning_jerk": math.nan},
        {"low": (1.0, 1.0, 1.0)},
        {"min_confidence": 1.5},
        {"patience": -1},
        {"slack": -0.01},
        {"haste": 0.5},
    ):
        with pytest.raises(ValueError, match="a guard needs"):
            Guard(**values)
