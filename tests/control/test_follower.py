"""One arm that follows plans: within rails, standing still where they forbid it, stopped where it goes on."""

import torch

from action_images.control import Execution, Follower, Guard
from action_images.geometry import Pose, Trajectory
from action_images.robot import Plan

HERE = (0.4, 0.0, 0.2)


def pose(*place: float) -> Pose:
    return Pose(torch.eye(3), torch.tensor(place))


def plan(*places: tuple[float, float, float]) -> Plan:
    path = Pose(torch.eye(3).expand(len(places), 3, 3), torch.tensor(places))
    return Plan(Trajectory(path, torch.ones(len(places))))


def follower(**guard) -> Follower:
    return Follower(Execution(num_steps=2, settle=0), Guard(**guard), pose(*HERE), opening=1.0, control_hz=20)


def test_rows_of_a_plan_are_asked_one_by_one_and_then_another_plan_is_wanted():
    arm, told = follower(), []
    assert arm.wants_plan
    arm.add(plan((0.405, 0, 0.2), (0.41, 0, 0.2), (0.415, 0, 0.2)))
    while not arm.wants_plan:
        asked = arm.ask()
        told.append(asked.pose.translation[0].item())
        arm.driven(asked, asked.pose)
    assert torch.tensor(told).allclose(torch.tensor([0.405, 0.41]))


def test_without_a_plan_the_arm_stands_where_it_was():
    asked = follower().ask()
    assert asked.stands_still
    assert asked.plan is None
    assert asked.pose.translation.tolist() == pose(*HERE).translation.tolist()


def test_a_forbidden_pose_is_held_and_in_the_end_stops_the_arm():
    arm = follower(patience=1)
    for tried in range(3):
        arm.add(plan((0.4, 0.0, 2.0), (0.4, 0.0, 2.0)))
        asked = arm.ask()
        assert asked.held is not None
        assert asked.held.rail == "workspace"
        assert asked.pose.translation.tolist() == [float(x) for x in pose(*HERE).translation]
        if tried == 1:
            assert arm.stops(asked)
            break
        assert not arm.stops(asked)
        arm.driven(asked, asked.pose)
        assert arm.wants_plan
