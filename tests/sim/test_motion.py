"""Inverse kinematics and motions: they end where they should, within limits."""

import math
from itertools import pairwise

import mujoco
import numpy as np
import pytest
import torch

from action_images.geometry import rotation as rotations
from action_images.sim import Tabletop
from action_images.sim.ik import HOME, InverseKinematics
from action_images.sim.motion import about, between, carried, downward, grip, least_jerk, move


@pytest.fixture(scope="module")
def arm():
    environment = Tabletop("reach_target")
    environment.begin(0)
    model = environment.world.model
    return model, model.site("tool").id


def test_kinematics_solves_what_can_be_reached_and_stays_within_limits(arm):
    model, site = arm
    solver, data, rng = InverseKinematics(model, site), mujoco.MjData(model), np.random.default_rng(0)
    low, high = model.jnt_range[:7].T
    num_solved = num_asked = 0
    while num_asked < 60:
        data.qpos[:7] = rng.uniform(low + 0.05, high - 0.05)
        mujoco.mj_forward(model, data)
        position, rotation = data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy()
        if not (
            0.2 < position[0] < 0.7
            and abs(position[1]) < 0.4
            and 0 < position[2] < 0.6
            and rotation[2, 2] < -0.5
        ):
            continue
        num_asked += 1
        solution = solver.solve(position, rotation, HOME)
        assert ((solution.joints >= low) & (solution.joints <= high)).all()
        data.qpos[:7] = solution.joints
        mujoco.mj_forward(model, data)
        reached = np.linalg.norm(data.site_xpos[site] - position) < 2e-3
        assert reached or not solution.reachable
        num_solved += solution.reachable
    assert num_solved >= 54


def test_a_motion_ends_exactly_at_its_last_pose_and_rests_at_both_ends():
    start, end = downward((0.4, 0, 0.3)), downward((0.5, 0.1, 0.1), yaw=1.0)
    poses = [start, *move(end, opening=1.0).poses(start)]
    metres, radians = poses[-1].distance(end)
    assert metres < 1e-9
    assert radians < 1e-6
    steps = [a.distance(b)[0].item() for a, b in pairwise(poses)]
    assert steps[0] < 0.2 * max(steps)
    assert steps[-1] < 0.2 * max(steps)


def test_a_slower_pace_takes_more_steps():
    start, end = downward((0.4, 0, 0.3)), downward((0.6, 0, 0.3))
    counts = [len(list(move(end, opening=1.0, pace=pace).poses(start))) for pace in (1.0, 0.5)]
    assert counts[1] >= 2 * counts[0] - 1


def test_gripping_stands_still():
    start = downward((0.4, 0, 0.3))
    poses = list(grip(0.0, num_steps=5).poses(start))
    assert len(poses) == 5
    assert all(torch.equal(pose.translation, start.translation) for pose in poses)


def test_progress_is_even_about_its_middle():
    assert [least_jerk(phase) for phase in (0.0, 0.5, 1.0)] == [0.0, 0.5, 1.0]
    assert least_jerk(0.3) + least_jerk(0.7) == pytest.approx(1.0)


def test_carrying_keeps_the_distance_from_the_axis_and_turns_by_the_angle():
    pose, centre = downward((0.5, 0.1, 0.2)), torch.tensor([0.4, 0.1, 0.2], dtype=torch.float64)
    path = carried(pose, centre, (0, 0, 1), math.pi / 2)
    assert all((p.translation - centre).norm().item() == pytest.approx(0.1) for p in path)
    assert rotations.angle_between(path[-1].rotation, pose.rotation).item() == pytest.approx(math.pi / 2)
    assert torch.allclose(path[-1].translation, centre + torch.tensor([0, 0.1, 0], dtype=torch.float64))


def test_halfway_is_half_the_turn():
    a, b = downward((0.4, 0, 0.3)), downward((0.4, 0, 0.3), yaw=1.2)
    assert torch.allclose(between(a, b, 0.5).rotation, about((0, 0, 1), 0.6) @ a.rotation)
