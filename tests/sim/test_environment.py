"""The tabletop: the same for the same seed, whatever is looked at; honest about what it cannot do."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from action_images.geometry import Pose
from action_images.robot import Environment
from action_images.sim import LOOKS, RIGS, Tabletop, demonstrate
from action_images.sim.motion import downward

SMALL = {"size": (48, 64)}


def same(a, b) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in (
            (a.images, b.images),
            (a.cameras.intrinsics, b.cameras.intrinsics),
            (a.cameras.world_from_camera.matrix(), b.cameras.world_from_camera.matrix()),
            (a.world_from_tool.matrix(), b.world_from_tool.matrix()),
        )
    )


def test_the_same_seed_gives_the_same_trial_to_the_bit():
    first, second = Tabletop("stack_blocks", **SMALL), Tabletop("stack_blocks", **SMALL)
    second.reset(3)  # what was before leaves no trace
    for a, b in ((first.reset(7), second.reset(7)),):
        assert same(a, b)
        assert a.instruction == b.instruction
    for _ in zip(demonstrate(first), demonstrate(second), strict=True):
        pass
    assert same(first.observation(), second.observation())


def test_other_seeds_and_other_tasks_are_other_trials():
    lift, stack = Tabletop("pick_and_lift", **SMALL), Tabletop("stack_blocks", **SMALL)
    assert not same(lift.reset(1), lift.reset(2))
    assert not torch.equal(
        lift.reset(1).world_from_tool.translation, stack.reset(1).world_from_tool.translation
    )


def test_another_look_or_rig_leaves_the_layout_as_it_is():
    plain, fancy = (
        Tabletop("pick_and_lift", **SMALL),
        Tabletop("pick_and_lift", RIGS["held_out"], LOOKS["checkered"], 3, (64, 64)),
    )
    a, b = plain.reset(5), fancy.reset(5)
    assert torch.equal(a.world_from_tool.matrix(), b.world_from_tool.matrix())
    assert a.instruction == b.instruction
    block = f"{plain.trial.colour} block"
    assert torch.equal(plain.world.pose(block).matrix(), fancy.world.pose(block).matrix())


def test_an_observation_holds_what_it_says():
    environment: Environment = Tabletop("reach_target", num_views=3, **SMALL)
    seen = environment.reset(0)
    assert seen.images.shape == (3, 3, 48, 64)
    assert seen.images.dtype == torch.uint8
    assert seen.cameras.batch_shape == (3,)
    assert seen.cameras.size == (48, 64)
    assert seen.opening == 1.0
    assert seen.world_from_tool.check().dtype == torch.float32


def test_the_tool_arrives_where_it_is_sent():
    environment = Tabletop("reach_target")
    environment.begin(0)
    target = downward((0.50, 0.10, 0.15), yaw=0.5)
    for _ in range(40):
        report = environment.step(target, 0.0)
    assert report.reachable
    assert report.position_error < 1e-3
    assert report.rotation_error < 5e-3
    metres, radians = environment.world.tool.distance(target)
    assert metres.item() == report.position_error
    assert radians.item() == report.rotation_error


def test_a_pose_out_of_reach_is_reported_and_counted_and_the_world_goes_on():
    environment = Tabletop("reach_target")
    environment.begin(0)
    for _ in range(5):
        report = environment.step(downward((2.0, 0.0, 0.5)), 1.0)
    assert not report.reachable
    assert report.position_error > 0.5
    assert environment.num_unreachable == 5
    assert environment.step(downward((0.45, 0.0, 0.2)), 1.0).reachable
    assert environment.num_unreachable == 5


def test_a_far_target_is_approached_no_faster_than_the_joints_allow():
    environment = Tabletop("reach_target")
    environment.begin(0)
    before = environment.world.data.qpos[:7].copy()
    report = environment.step(downward((0.6, -0.3, 0.1)), 1.0)
    assert report.reachable
    assert report.position_error > 0.05
    speed = abs(environment.world.data.qpos[:7] - before).max() * environment.control_hz
    assert speed < 2.61 * 1.2


def test_openings_beyond_open_and_closed_are_what_the_gripper_can_do():
    environment = Tabletop("reach_target")
    environment.begin(0)
    environment.step(environment.world.tool, 7.0)
    assert environment.observation().opening == 1.0
    environment.step(environment.world.tool, -1.0)
    assert environment.observation().opening == 0.0


def test_the_gripper_closes_on_what_it_is_told():
    environment = Tabletop("reach_target")
    environment.begin(0)
    stay = environment.world.tool
    for opening in (0.0, 0.5, 1.0):
        for _ in range(12):
            environment.step(stay, opening)
        assert environment.world.joint("left_finger") == pytest.approx(0.04 * opening, abs=1e-3)


def test_closing_one_world_leaves_the_images_of_another_as_they_are():
    first, second = (
        Tabletop("reach_target", look=LOOKS["checkered"], **SMALL),
        Tabletop("reach_target", look=LOOKS["checkered"], **SMALL),
    )
    before = first.reset(1).images
    second.reset(2)
    second.close()
    assert torch.equal(first.observation().images, before)
    second.reset(1)
    first.close()
    assert torch.equal(second.observation().images, before)
    assert torch.equal(first.observation().images, before)  # a closed one opens again


def test_each_thread_renders_in_worlds_of_its_own():
    here = Tabletop("reach_target", **SMALL)
    before = here.reset(1).images

    def elsewhere(environment: Tabletop) -> torch.Tensor:
        return environment.reset(1).images

    with ThreadPoolExecutor(1) as thread:
        assert torch.equal(thread.submit(elsewhere, Tabletop("reach_target", **SMALL)).result(), before)
        with pytest.raises(RuntimeError, match="give each thread an environment of its own"):
            thread.submit(here.observation).result()
    assert torch.equal(here.observation().images, before)


def test_looking_before_a_trial_is_refused():
    with pytest.raises(ValueError, match="call reset"):
        Tabletop("reach_target").observation()


def test_float32_poses_drive_as_well():
    environment = Tabletop("reach_target")
    environment.begin(0)
    target = environment.world.tool.to(torch.float32)
    assert environment.step(Pose(target.rotation, target.translation), 1.0).position_error < 1e-3


def test_what_is_no_number_moves_nothing_and_is_not_reachable():
    world = Tabletop("reach_target", size=(32, 32))
    world.begin(0)
    before = world.world.tool
    for _ in range(5):
        report = world.step(before, float("nan"))
        assert not report.reachable
    metres, _ = world.world.tool.distance(before)
    assert metres < 5e-3
    assert world.world.opening == 1.0
