"""One arm that follows plans: within rails, standing still where they forbid it, stopped where it goes on."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest
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


class Arm:
    """An arm that goes where it is told, until it has taken `num_steps` steps."""

    def __init__(self, num_steps: int):
        self._pose, self._left, self.driven = pose(0.4, 0.0, 0.2), num_steps, []

    def pose(self) -> Pose:
        return self._pose

    def opening(self) -> float:
        return 1.0

    def observation(self) -> Pose:
        return self._pose

    def is_on(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def drive(self, to: Pose, opening: float) -> None:
        assert opening == 1.0
        self._pose = to
        self.driven.append(to.translation.tolist())


@pytest.mark.parametrize(("height", "stops"), [(0.2, False), (0.01, True)])
def test_the_loop_of_the_robots_page_keeps_the_arm_within_its_rails(height: float, stops: bool):
    page = (Path(__file__).parents[2] / "docs" / "robot.md").read_text(encoding="utf-8")
    snippet = page.partition("## 6.")[2].partition("```python\n")[2].partition("```")[0]
    arm = Arm(num_steps=60)
    policy = SimpleNamespace(plan=lambda _: plan((0.402, 0.0, height), (0.404, 0.0, height)))
    expected = pytest.raises(SystemExit, match="stopped: ") if stops else contextlib.nullcontext()
    with expected:
        exec(snippet, {"arm": arm, "policy": policy})
    assert all(place[2] == pytest.approx(0.2) for place in arm.driven)
    assert len(arm.driven) == 60 or stops
