"""The cameras file keeps calibrations to the bit and refuses everything else."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from action_images.episodes.cameras_file import load_cameras, load_still_rig, save_cameras
from action_images.episodes.episode import EpisodeError
from action_images.episodes.lerobot_layout import read_json
from scenes import rig


@pytest.fixture
def content(tmp_path: Path) -> dict:
    save_cameras(tmp_path / "good.json", {"left": rig(1)[0], "wrist": rig(2)})
    return json.loads((tmp_path / "good.json").read_text())


def test_saving_then_loading_is_the_identity(tmp_path):
    cameras = {"left": rig(1, (48, 64))[0], "moving": rig(3)}
    save_cameras(tmp_path / "cameras.json", cameras)
    loaded = load_cameras(tmp_path / "cameras.json")
    assert list(loaded) == ["left", "moving"]
    for name, camera in cameras.items():
        assert loaded[name].size == camera.size
        assert torch.equal(loaded[name].intrinsics, camera.intrinsics)
        assert torch.equal(loaded[name].world_from_camera.matrix(), camera.world_from_camera.matrix())


def test_cameras_in_the_tools_frame_are_taken_only_where_that_is_asked(tmp_path):
    path = tmp_path / "tool_from_camera.json"
    save_cameras(path, {"wrist": rig(1)[0]}, in_tool=True)
    for load in (load_cameras, load_still_rig):
        with pytest.raises(EpisodeError, match=r"stand in the tool's frame.*calibrate carry"):
            load(path)
    assert list(load_cameras(path, in_tool=True)) == ["wrist"]
    # Files of earlier versions do not say it.
    save_cameras(path, {"wrist": rig(1)[0]})
    assert load_cameras(path, in_tool=True).keys() == load_cameras(path).keys()


SPOILT = {
    "'frame' is 'base'": lambda c: c.update(frame="base"),
    "lacks field 'intrinsics'": lambda c: c["cameras"]["left"].pop("intrinsics"),
    "has the unknown field 'extrinsics'": lambda c: c["cameras"]["left"].update(extrinsics=1),
    "'height' must be a whole number": lambda c: c["cameras"]["left"].update(height=12.5),
    "'width' must be a whole number of pixels from 1": lambda c: c["cameras"]["left"].update(width=10**9),
    "'intrinsics': must be 3 x 3": lambda c: c["cameras"]["left"].update(intrinsics=[[1, 2], [3, 4]]),
    "'intrinsics': must be 3 rows": lambda c: c["cameras"]["left"].update(intrinsics=[[1, 2, 3], [4, 5]]),
    "'world_from_camera': must be 4 rows": lambda c: c["cameras"]["left"].update(
        world_from_camera="identity"
    ),
    "is it transposed": lambda c: c["cameras"]["left"]["world_from_camera"].__setitem__(3, [1, 0, 0, 1]),
    "not orthonormal": lambda c: c["cameras"]["left"]["world_from_camera"].__setitem__(0, [2, 0, 0, 0]),
    "negative focal length.*from_rlbench": lambda c: c["cameras"]["left"]["intrinsics"][0].__setitem__(
        0, -50
    ),
    "format and version": lambda c: c.update(version=2),
    "must map at least one camera": lambda c: c.update(cameras={}),
    "'intrinsics' has 2 frames": lambda c: c["cameras"]["wrist"]["world_from_camera"].pop(),
}


@pytest.mark.parametrize("message", SPOILT)
def test_every_fault_is_named_with_file_camera_and_field(content, tmp_path, message):
    SPOILT[message](content)
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(EpisodeError, match=f"bad.json: .*{message}"):
        load_cameras(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("field", "told"), [("distortion", {"k1": -0.2, "k2": 0.0}), ("dist_coeffs", [["-0.2"]]), ("k1", -0.2)]
)
def test_a_distortion_in_whatever_form_is_refused_with_its_own_cure(content, tmp_path, field, told):
    content["cameras"]["wrist"][field] = told
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(
        EpisodeError, match=f"'wrist': '{field}' says that the lens is distorted.*undistort the"
    ):
        load_cameras(tmp_path / "bad.json")


def test_a_camera_that_was_copied_and_not_renamed_is_refused(tmp_path):
    save_cameras(tmp_path / "twice.json", {"left": rig(1)[0], "right": rig(2)[0]})
    text = (tmp_path / "twice.json").read_text().replace('"right"', '"left"')
    (tmp_path / "twice.json").write_text(text)
    with pytest.raises(EpisodeError, match=r"twice\.json: has the key 'left' twice in one object"):
        load_cameras(tmp_path / "twice.json")
    with pytest.raises(EpisodeError, match=r"twice\.json: has the key 'left' twice in one object"):
        read_json(tmp_path / "twice.json")


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path):
    with pytest.raises(EpisodeError, match="there is no such cameras file"):
        load_cameras(tmp_path / "none.json")
    (tmp_path / "text.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(EpisodeError, match="not a json file"):
        load_cameras(tmp_path / "text.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["cameras", "left", "intrinsics", "height"]), inner)
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values)
def test_no_json_whatever_raises_anything_else(tmp_path, value):
    for shape in (value, {"format": "action-images/cameras", "version": 1, "cameras": value}):
        (tmp_path / "fuzz.json").write_text(json.dumps(shape))
        with pytest.raises(EpisodeError):
            load_cameras(tmp_path / "fuzz.json")
