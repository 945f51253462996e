"""Observations and plans keep their meaning on the way through the wire, in every format of actions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from serving_policies import Moody, Winding, observation, rigs

from action_images.errors import ActionImagesError
from action_images.geometry import rotation as rotations
from action_images.serving.messages import ACTION_FORMATS, Reply, Request
from action_images.serving.protocol import decode, encode
from action_images.serving.tensors import (
    observation_from_request,
    plan_from_reply,
    reply_from_plan,
    request_from_observation,
)


def across(request: Request) -> Request:
    return Request.from_message(decode(encode(request.to_message())))


def back(reply: Reply) -> Reply:
    return Reply.from_message(decode(encode(reply.to_message())))


@pytest.mark.parametrize("seed", range(5))
def test_an_observation_arrives_bit_for_bit(seed: int):
    sent = observation(seed, "étendre")
    got = observation_from_request(across(request_from_observation(sent)), {})
    assert torch.equal(got.images, sent.images)
    assert torch.equal(got.cameras.intrinsics, sent.cameras.intrinsics)
    assert torch.equal(got.cameras.world_from_camera.matrix(), sent.cameras.world_from_camera.matrix())
    assert torch.equal(got.world_from_tool.matrix(), sent.world_from_tool.matrix())
    assert torch.equal(got.opening, sent.opening)
    assert (got.instruction, got.cameras.size) == (sent.instruction, sent.cameras.size)


def test_images_may_come_as_cameras_give_them():
    request = request_from_observation(observation())
    as_cameras = replace(request, images=np.ascontiguousarray(request.images.transpose(0, 2, 3, 1)))
    assert torch.equal(observation_from_request(across(as_cameras), {}).images, observation().images)


def test_the_tool_may_come_as_position_and_quaternion():
    seen = observation(3)
    turn = rotations.to_quaternion_xyzw(seen.world_from_tool.rotation)
    vector = torch.cat([seen.world_from_tool.translation, turn]).numpy()
    got = observation_from_request(replace(request_from_observation(seen), world_from_tool=vector), {})
    metres, radians = got.world_from_tool.distance(seen.world_from_tool)
    assert metres == 0
    assert radians < 1e-6


@pytest.mark.parametrize("name", ACTION_FORMATS)
@pytest.mark.parametrize("seed", range(3))
def test_a_plan_means_the_same_in_every_format(name: str, seed: int):
    seen = observation(seed, "wind away")
    plan = Winding(num_steps=40).plan(seen)
    reply = back(
        reply_from_plan(
            plan,
            Request(**{**vars(request_from_observation(seen)), "action_format": name, "confidence": True}),
            seen,
        )
    )
    assert reply.actions.shape == (40, len(ACTION_FORMATS[name].columns))
    got = plan_from_reply(reply, name, seen.world_from_tool)
    metres, radians = got.trajectory.world_from_tool.distance(plan.trajectory.world_from_tool)
    assert metres.max() < 2e-6
    assert radians.max() < 2e-5
    assert torch.equal(got.trajectory.opening, plan.trajectory.opening)
    assert torch.equal(got.confidence, plan.confidence)


def test_a_plan_as_matrices_arrives_bit_for_bit():
    seen = observation(2, "wind")
    plan = Winding().plan(seen)
    request = request_from_observation(seen, action_format="matrix", imagined=True)
    got = plan_from_reply(back(reply_from_plan(plan, request, seen)), "matrix", seen.world_from_tool)
    assert torch.equal(got.trajectory.world_from_tool.rotation, plan.trajectory.world_from_tool.rotation)
    assert torch.equal(
        got.trajectory.world_from_tool.translation, plan.trajectory.world_from_tool.translation
    )
    assert torch.equal(got.video, plan.video)


def test_deltas_are_steps_in_world_axes_from_the_observed_tool():
    seen = observation(1, "wind")
    plan = Winding().plan(seen)
    actions = torch.from_numpy(
        reply_from_plan(plan, request_from_observation(seen, action_format="delta"), seen).actions
    )
    position, rotation = seen.world_from_tool.translation, seen.world_from_tool.rotation
    for row, target in zip(actions, plan.trajectory.world_from_tool, strict=True):
        position, rotation = position + row[:3], rotations.from_rotation_vector(row[3:6]) @ rotation
        assert (position - target.translation).norm() < 1e-6
        assert rotations.angle_between(rotation, target.rotation) < 1e-5


@pytest.mark.parametrize("known", [1, 3, 8])
def test_a_client_that_asks_for_no_confidence_is_given_no_row_that_must_not_be_driven_to(known: int):
    seen = observation(instruction=f"unsure {known}")
    plan = Moody().plan(seen)
    assert len(reply_from_plan(plan, request_from_observation(seen), seen).actions) == known
    everything = reply_from_plan(plan, request_from_observation(seen, confidence=True), seen)
    assert len(everything.actions) == 8
    assert everything.confidence is not None
    assert (everything.confidence > 0).sum() == known


def test_a_plan_that_knows_nothing_is_no_answer():
    seen = observation(instruction="unsure 0")
    with pytest.raises(ValueError, match="does not know where to go"):
        reply_from_plan(Moody().plan(seen), request_from_observation(seen), seen)


@pytest.mark.parametrize("column", ["position", "opening", "confidence"])
@pytest.mark.parametrize("asks", [False, True])
def test_a_plan_with_numbers_that_no_arm_can_be_driven_to_is_not_sent(column: str, asks: bool):
    seen = observation(instruction="unsure 8")
    made = Moody().plan(seen)
    path, confidence = made.trajectory, made.confidence
    if column == "position":
        place = path.world_from_tool.translation.clone()
        place[3, 1] = torch.nan
        path = replace(path, world_from_tool=replace(path.world_from_tool, translation=place))
    elif column == "opening":
        path = replace(path, opening=path.opening + 1.5)
    else:
        confidence = 1.5 * torch.ones(8)
    if column != "confidence" and not asks:
        confidence = None
    asked = request_from_observation(seen, confidence=asks or column == "confidence")
    spoilt = replace(made, trajectory=path, confidence=confidence)
    with pytest.raises(ActionImagesError, match="so it is not sent"):
        reply_from_plan(spoilt, asked, seen)


def test_pictures_come_only_when_they_are_asked_for():
    seen = observation(instruction="wind")
    assert "video" not in reply_from_plan(Winding().plan(seen), request_from_observation(seen), seen).plan


def test_a_calibration_of_the_server_stands_in_for_the_cameras():
    held = rigs()
    request = across(request_from_observation(observation(), calibration="table"))
    assert request.intrinsics is None
    got = observation_from_request(request, held)
    assert torch.equal(got.cameras.intrinsics, held["table"].intrinsics)


def test_a_calibration_that_is_unknown_or_of_other_images_is_refused():
    with pytest.raises(ValueError, match="holds no calibration 'chair'; it holds: table"):
        observation_from_request(request_from_observation(observation(), calibration="chair"), rigs())
    with pytest.raises(
        ValueError, match=r"'table' is of 2 views of \(32, 48\) px .* the images are 2 of \(16, 16\)"
    ):
        observation_from_request(
            request_from_observation(observation(size=(16, 16)), calibration="table"), rigs()
        )


def test_cameras_and_tools_that_no_robot_has_are_refused():
    good = request_from_observation(observation())
    with pytest.raises(ValueError, match="negative focal length"):
        observation_from_request(replace(good, intrinsics=-good.intrinsics), {})
    with pytest.raises(ValueError, match="not orthonormal"):
        observation_from_request(replace(good, world_from_tool=np.diag([2.0, 2, 2, 1])), {})
    with pytest.raises(ValueError, match="unit length"):
        observation_from_request(replace(good, world_from_tool=np.ones(7)), {})


def test_a_batch_does_not_cross_the_wire():
    with pytest.raises(ValueError, match="one observation at a time"):
        request_from_observation(observation()[None])


def test_actions_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"8 columns, but 'euler' has x, y, z, euler_x"):
        plan_from_reply(Reply(np.zeros((2, 8))), "euler", observation().world_from_tool)
