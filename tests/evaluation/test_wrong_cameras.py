"""A policy that is given wrong cameras: they keep the middle of the workspace, and nothing else changes."""

import math
from dataclasses import replace

import pytest
import torch

from action_images.errors import ActionImagesError
from action_images.evaluation.closed_loop import EvaluationConfig, judge
from action_images.evaluation.protocols import protocol_named
from action_images.evaluation.wrong_cameras import WrongCameras
from action_images.geometry import Camera
from action_images.robot import Observation, Plan

WORKSPACE = ((0.3, -0.3, 0.0), (0.7, 0.3, 0.4))
MIDDLE = torch.tensor([0.5, 0.0, 0.2])


class Looking:
    """Keeps what it was asked with, and plans nothing that can be driven to."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def plan(self, observation: Observation) -> Plan:
        self.seen.append(observation)
        raise InterruptedError


def cameras() -> Camera:
    eyes = torch.tensor([[1.2, 0.5, 0.7], [1.1, -0.6, 0.8]])
    return Camera.look_at(eyes, MIDDLE.expand(2, 3), 0.8, (64, 64))


@pytest.mark.parametrize("seed", range(4))
def test_wrong_cameras_see_the_middle_where_it_was_from_another_azimuth(seed: int):
    right = cameras()
    wrong = WrongCameras(Looking(), 15.0, WORKSPACE, seed).turned(right)
    assert torch.allclose(wrong.project(MIDDLE)[0], right.project(MIDDLE)[0], atol=1e-3)
    metres, radians = right.world_from_camera.distance(wrong.world_from_camera)
    assert torch.allclose(radians, torch.full((2,), math.radians(15)), atol=1e-4)
    before, after = (one.world_from_camera.translation - MIDDLE for one in (right, wrong))
    assert torch.allclose(before[:, 2], after[:, 2])
    away = 2 * before[:, :2].norm(dim=-1) * math.sin(math.radians(7.5))
    assert torch.allclose(metres, away, atol=1e-5)


def test_each_view_has_a_side_of_its_own_and_a_trial_keeps_it():
    sides, before = [], cameras().world_from_camera.translation
    for seed in (*range(20), 0):
        after = WrongCameras(Looking(), 15.0, WORKSPACE, seed).turned(cameras()).world_from_camera.translation
        sides.append(tuple((after[:, 1] > before[:, 1]).tolist()))
    assert sides[0] == sides[-1]
    assert len(set(sides)) == 4


def test_a_trial_asks_with_wrong_cameras_and_true_images():
    usual = replace(protocol_named("in_domain"), tasks=("reach_target",))
    asked = []
    for error_deg in (0.0, 30.0):
        protocol, policy = replace(usual, camera_error_deg=error_deg), Looking()
        config = EvaluationConfig("in_domain", protocol, "looking", Looking, size=(32, 32))
        with pytest.raises(InterruptedError):
            judge(policy, config, ("reach_target", 1_000_000))
        asked += policy.seen
        assert config.settings().get("camera_error_deg", 0.0) == error_deg
    right, wrong = asked
    assert (right.images == wrong.images).all()
    assert right.instruction == wrong.instruction
    _, radians = right.cameras.world_from_camera.distance(wrong.cameras.world_from_camera)
    assert torch.allclose(radians, torch.full((2,), math.radians(30.0)).to(radians), atol=1e-4)


@pytest.mark.parametrize("degrees", [-5.0, 181.0, math.nan, math.inf])
def test_an_error_that_is_no_angle_is_refused(degrees: float):
    with pytest.raises(ActionImagesError, match="0 to 180 degrees"):
        replace(protocol_named("in_domain"), camera_error_deg=degrees)
