"""A foreign client's fields become those of an observation, as the mapping file says."""

import json
import math

import numpy as np
import pytest
import torch
from openpi_client import action_chunk_broker, websocket_client_policy
from serving_policies import Winding, observation, running

from action_images.control import Hold
from action_images.episodes import notation
from action_images.errors import ActionImagesError
from action_images.geometry import rotation as rotations
from action_images.serving.messages import Request
from action_images.serving.observation_map import BEYOND, ObservationMap
from action_images.serving.protocol import WireError

LIBERO = {
    "images": ["observation/image", "observation/wrist_image"],
    "prompt": "prompt",
    "world_from_tool": {
        "key": "observation/state",
        "position": [0, 1, 2],
        "rotation": [3, 4, 5],
        "kind": "rotation_vector",
    },
    "opening": {"key": "observation/state", "columns": [6], "closed": 0.0, "open": 0.04},
    "constants": {"calibration": "table", "num_steps": 10, "action_format": "euler"},
}


def saved(tmp_path, content) -> ObservationMap:
    (tmp_path / "map.json").write_text(json.dumps(content))
    return ObservationMap.load(tmp_path / "map.json")


def libero(seed: int = 5) -> dict:
    """An observation as LIBERO's client of openpi sends it."""
    seen = observation(seed)
    tool = seen.world_from_tool
    state = [*tool.translation.tolist(), *rotations.to_rotation_vector(tool.rotation).tolist(), 0.03, -0.03]
    images = seen.images.movedim(1, -1).numpy()
    return {
        "observation/image": images[0],
        "observation/wrist_image": images[1],
        "observation/state": np.array(state, np.float32),
        "prompt": "put the bowl away",
    }


def test_openpis_keys_become_an_observation(tmp_path):
    request = Request.from_message(saved(tmp_path, LIBERO).renamed(libero()))
    seen = observation(5)
    assert np.array_equal(request.images, seen.images.movedim(1, -1).numpy())
    assert request.prompt == "put the bowl away"
    assert request.opening == pytest.approx(0.75)
    rotation = rotations.from_quaternion_xyzw(torch.tensor(request.world_from_tool[3:]))
    assert torch.allclose(rotation.float(), seen.world_from_tool.rotation, atol=1e-5)
    assert np.allclose(request.world_from_tool[:3], seen.world_from_tool.translation)
    assert (request.calibration, request.num_steps, request.action_format) == ("table", 10, "euler")


@pytest.mark.parametrize(
    "kind", ["quaternion_xyzw", "quaternion_wxyz", "rotation_vector", "euler_xyz", "euler_xyz_deg"]
)
def test_every_kind_of_rotation_is_the_same_rotation(tmp_path, kind: str):
    rotation = rotations.from_rotation_vector(torch.tensor([0.4, -1.1, 2.0], dtype=torch.float64))
    quaternion = rotations.to_quaternion_xyzw(rotation)
    numbers = {
        "quaternion_xyzw": quaternion,
        "quaternion_wxyz": quaternion[[3, 0, 1, 2]],
        "rotation_vector": rotations.to_rotation_vector(rotation),
        "euler_xyz": rotations.to_euler_xyz(rotation),
        "euler_xyz_deg": rotations.to_euler_xyz(rotation).rad2deg(),
    }[kind].tolist()
    tool = {**LIBERO["world_from_tool"], "kind": kind, "rotation": [3 + i for i in range(len(numbers))]}
    opening = {**LIBERO["opening"], "columns": [3 + len(numbers)]}
    mapping = saved(tmp_path, {**LIBERO, "world_from_tool": tool, "opening": opening})
    state = np.array([0.1, 0.2, 0.3, *numbers, 0.02])
    renamed = mapping.renamed({**libero(), "observation/state": state})
    found = rotations.from_quaternion_xyzw(torch.tensor(renamed["world_from_tool"][3:]))
    assert torch.allclose(found, rotation, atol=1e-9)


def test_no_turn_at_all_is_a_rotation_vector_too(tmp_path):
    state = np.zeros(8)
    renamed = saved(tmp_path, LIBERO).renamed({**libero(), "observation/state": state})
    assert renamed["world_from_tool"].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert not math.isnan(renamed["opening"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"observation/state": None}, "lacks the field 'observation/state'"),
        ({"observation/state": np.zeros(3)}, "at least 6 numbers|at least 7 numbers"),
        ({"observation/wrist_image": np.zeros((8, 8, 3), np.uint8)}, "images of one size"),
        ({"observation/image": "a cat"}, "images of one size"),
    ],
)
def test_what_a_client_leaves_out_is_named_as_the_client_calls_it(tmp_path, change, says):
    with pytest.raises(WireError, match=says):
        saved(tmp_path, LIBERO).renamed({**libero(), **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": []}, "unknown field 'image'"),
        ({"opening": {"key": "a", "columns": [0], "closed": 1, "open": 1}}, "the same number for closed"),
        (
            {"opening": {"key": "a", "columns": [0], "close": 1, "open": 0}},
            "'opening' has the unknown field 'close'",
        ),
        ({"world_from_tool": {**LIBERO["world_from_tool"], "kind": "bent"}}, "no rotation 'bent'"),
        ({"world_from_tool": {**LIBERO["world_from_tool"], "rotation": [3, 4]}}, "must list 3 columns"),
        ({"constants": {"images": 1}}, "'images' cannot be a constant"),
    ],
)
def test_a_mapping_file_that_cannot_be_meant_is_refused_by_name(tmp_path, change, says):
    with pytest.raises(ActionImagesError, match=rf"map\.json: .*{says}"):
        saved(tmp_path, {**LIBERO, **change})


def state(*, angle: float = 0.0, reading: float = 0.02) -> dict:
    """LIBERO's observation with one angle and one reading of the gripper."""
    return {**libero(), "observation/state": np.array([0, 0, 0, angle, 0, 0, reading])}


@pytest.mark.parametrize("reading", [85.0, 0.043, -0.003])
def test_a_gripper_far_outside_the_declared_range_is_refused_as_import_does(tmp_path, reading: float):
    with pytest.raises(WireError, match=r"has the gripper at .*declare its real values"):
        saved(tmp_path, LIBERO).renamed(state(reading=reading))


def test_a_gripper_slightly_beyond_counts_as_fully_open_or_closed(tmp_path):
    assert BEYOND == notation.BEYOND
    mapping = saved(tmp_path, LIBERO)
    assert mapping.renamed(state(reading=0.0415))["opening"] == 1.0
    assert mapping.renamed(state(reading=-0.0015))["opening"] == 0.0


@pytest.mark.parametrize("kind", ["rotation_vector", "euler_xyz"])
def test_angles_in_degrees_are_refused_where_radians_are_declared(tmp_path, kind: str):
    mapping = saved(tmp_path, {**LIBERO, "world_from_tool": {**LIBERO["world_from_tool"], "kind": kind}})
    with pytest.raises(WireError, match="an angle of 180 rad; are these degrees"):
        mapping.renamed(state(angle=-180.0))


def test_replies_have_the_clients_own_values_of_the_gripper_if_declared(tmp_path):
    mapping = saved(tmp_path, {**LIBERO, "reply_opening": {"closed": 1, "open": -1}})
    actions = np.array([[0.5, 1.0], [0.5, 0.0]], np.float32)
    assert mapping.answered({"actions": actions})["actions"].tolist() == [[0.5, -1.0], [0.5, 1.0]]
    assert mapping.remark is None
    assert "replies have 0 and 1; declare 'reply_opening'" in str(saved(tmp_path, LIBERO).remark)


def test_a_mapping_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "map.json").write_text("{")
    with pytest.raises(ActionImagesError, match=r"map\.json: .*docs/serving\.md"):
        ObservationMap.load(tmp_path / "map.json")
    with pytest.raises(ActionImagesError, match="no such mapping file"):
        ObservationMap.load(tmp_path / "gone.json")


def test_openpis_broker_runs_through_its_horizon_on_openpis_keys(tmp_path):
    with running(Winding, observation_map=saved(tmp_path, LIBERO)) as server:
        policy = websocket_client_policy.WebsocketClientPolicy("127.0.0.1", server.port)
        broker = action_chunk_broker.ActionChunkBroker(policy, action_horizon=10)
        rows = [broker.infer(libero()) for _ in range(21)]
        policy._ws.close()
    # The plan has 8 steps: two more rows hold still, and say that they are none.
    assert [float(row["confidence"]) > 0 for row in rows] == ([True] * 8 + [False] * 2) * 2 + [True]
    assert np.array_equal(rows[8]["actions"], rows[7]["actions"])
    assert np.array_equal(rows[10]["actions"], rows[0]["actions"])
    assert rows[0]["actions"].shape == (7,)


def test_a_longer_plan_is_cut_to_the_rows_that_are_asked_for(tmp_path):
    mapping = saved(tmp_path, {**LIBERO, "reply_opening": {"closed": 1, "open": -1}})
    with running(Hold, observation_map=mapping) as server:
        policy = websocket_client_policy.WebsocketClientPolicy("127.0.0.1", server.port)
        answer = policy.infer({**libero(), "num_steps": 5})
        policy._ws.close()
    assert answer["actions"].shape == (5, 7)
    assert answer["actions"][:, -1] == pytest.approx(-0.5)
    assert answer["confidence"].tolist() == [1] * 5
