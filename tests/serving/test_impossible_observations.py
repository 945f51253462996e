"""Observations that no robot can have made are refused by the name of the field that is wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from serving_policies import PATIENCE_S, Winding, observation, running, uri

from action_images.control import Hold
from action_images.errors import ActionImagesError
from action_images.robot import Observation
from action_images.serving.client import Refused, RemotePolicy
from action_images.serving.messages import Request
from action_images.serving.plausible import check_observation, check_tool_is_seen, doubts
from action_images.serving.tensors import observation_from_request, request_from_observation


@pytest.fixture(scope="module")
def server():
    with running(Winding) as running_server:
        yield running_server


def request(**changes) -> Request:
    """What a robot sends, but for these fields."""
    return replace(request_from_observation(observation()), **changes)


def with_junk(matrix: np.ndarray) -> np.ndarray:
    """The same pose with another last row."""
    return np.concatenate([matrix[..., :3, :], np.full_like(matrix[..., 3:, :], 9)], -2)


@pytest.mark.parametrize("field", ["world_from_tool", "world_from_camera"])
@pytest.mark.parametrize("spoil", [lambda matrix: matrix.swapaxes(-1, -2), with_junk])
def test_a_matrix_whose_last_row_is_not_0_0_0_1_is_refused(field: str, spoil):
    good = request()
    wrong = replace(good, **{field: np.ascontiguousarray(spoil(getattr(good, field)))})
    says = rf"'{field}': pose.* last row that is not 0 0 0 1.* transposed"
    with pytest.raises(ActionImagesError, match=says):
        observation_from_request(wrong, {})


def moved(seen: Observation, factor: float) -> Observation:
    """The tool this much farther away."""
    tool = seen.world_from_tool
    return replace(seen, world_from_tool=replace(tool, translation=factor * tool.translation))


def test_millimetres_are_refused():
    check_observation(observation())
    with pytest.raises(ActionImagesError, match=r"'world_from_tool' lies .* are these millimetres"):
        check_observation(moved(observation(), 1000.0))


def test_a_tool_in_no_view_is_told_with_pixels():
    seen = observation()
    check_tool_is_seen(seen)
    flipped = seen.cameras.world_from_camera.rotation * torch.tensor([1.0, -1.0, -1.0])
    poses = replace(seen.cameras.world_from_camera, rotation=flipped)
    inverted = seen.cameras.world_from_camera.inverse()
    inverted = seen.cameras.world_from_camera.inverse()
    for wrong in (
        moved(seen, 20.0),
        replace(seen, cameras=replace(seen.cameras, world_from_camera=poses)),
        replace(seen, cameras=replace(seen.cameras, world_from_camera=inverted)),
    ):
        with pytest.raises(ActionImagesError, match=r"in no view \(view 0: .* px\)\. .*inverted.*OpenGL"):
            check_tool_is_seen(wrong)


def test_pictures_that_show_nothing_are_remarked_on():
    seen = observation()
    cast = (seen.images.float() / 255).to(torch.uint8)
    (black, other) = doubts(replace(seen, images=cast))
    assert "'images' of view 0 is black, no level is above 1 of 255" in black
    assert "cast to uint8" in other
    grey = torch.stack([seen.images[0], torch.full_like(seen.images[1], 127)])
    assert doubts(replace(seen, images=grey)) == (
        "'images' of view 1 is of a single colour; was the camera on?",
    )


@pytest.mark.parametrize("factor", [0.5, 1.6])
def test_intrinsics_of_another_size_whose_centre_is_in_the_image_are_remarked_on(server, factor):
    seen = observation()
    scale = torch.tensor([[factor], [factor], [1.0]])
    wrong = replace(seen, cameras=replace(seen.cameras, intrinsics=seen.cameras.intrinsics * scale))
    assert doubts(seen) == ()
    assert "another image size" in doubts(wrong)[0]
    with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
        reply = policy.infer(request_from_observation(wrong, action_format="matrix"))
    assert [told for told in reply.warnings if "'intrinsics' of view 0" in told]


def test_intrinsics_of_larger_images_are_refused():
    seen = observation()
    scale = torch.tensor([[4.0], [4.0], [1.0]])
    wrong = replace(seen, cameras=replace(seen.cameras, intrinsics=seen.cameras.intrinsics * scale))
    with pytest.raises(ActionImagesError, match=r"'intrinsics' of view 0 .* 96, 64 px.*another image size"):
        check_observation(wrong)


def test_the_server_refuses_them_in_one_sentence(server):
    with RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
        for wrong, says in (
            (request(world_from_tool=with_junk(request().world_from_tool)), "last row that is not 0 0 0 1"),
            (request_from_observation(moved(observation(), 1000.0)), "are these millimetres"),
            (request_from_observation(moved(observation(), 20.0)), "the tool lies in no view"),
        ):
            with pytest.raises(Refused, match=says):
                policy.infer(replace(wrong, action_format="matrix"))
        assert policy.plan(observation()).trajectory.num_frames == 8


def test_a_policy_that_does_not_look_is_not_asked_where_the_tool_is_seen():
    with running(Hold) as server, RemotePolicy(uri(server), timeout_s=PATIENCE_S) as policy:
        assert policy.plan(moved(observation(), 20.0)).trajectory.num_frames == 16
