"""calibration.json of a LeRobot set: what is declared is read, what does not fit is refused."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import v3
from test_readers import write_lerobot

from action_images.calibration.from_motion.apply import check_applicable
from action_images.episodes.episode import EpisodeError
from action_images.episodes.importing import Job, import_episodes
from action_images.episodes.readers import Wanted, open_foreign
from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.geometry.rotation import to_quaternion_xyzw
from recorded import assert_tool_is_where_it_was_drawn


def opened(root, calibration):
    (root / "calibration.json").write_text(json.dumps(calibration))
    return open_foreign(root)[1].read("episode_000000").check()


@pytest.fixture
def declared(tmp_path):
    return tmp_path, write_lerobot(tmp_path)


def with_feature(root, name, rows):
    """The set with one more feature, the same in each row."""
    file = next(root.glob("data/*/*.parquet"))
    table = pq.read_table(file)
    pq.write_table(table.append_column(name, [[list(rows)] * table.num_rows]), file)
    info = json.loads((root / "meta/info.json").read_text())
    info["features"][name] = {"dtype": "float32", "shape": list(np.shape(rows)), "names": None}
    (root / "meta/info.json").write_text(json.dumps(info))


@pytest.mark.parametrize("inverse", [False, True])
def test_extrinsics_out_of_a_feature_are_those_that_are_written(declared, inverse):
    root, calibration = declared
    entry = calibration["views"]["top"]
    pose = Pose.from_matrix(torch.tensor(entry["world_from_camera"]))
    stored = pose.inverse() if inverse else pose
    numbers = [*stored.translation.tolist(), *to_quaternion_xyzw(stored.rotation).tolist()]
    with_feature(root, "observation.extrinsics.top", numbers)
    with_feature(root, "observation.intrinsic.top", np.ravel(entry["intrinsics"]).tolist())
    entry["world_from_camera"] = {
        "feature": "observation.extrinsics.top",
        "rotation": "quaternion_xyzw",
        "inverse": inverse,
    }
    entry["intrinsics"] = {"feature": "observation.intrinsic.top"}
    assert_tool_is_where_it_was_drawn(opened(root, calibration))


def test_an_inverse_that_is_a_text_is_refused(declared):
    root, calibration = declared
    entry = calibration["views"]["top"]
    with_feature(root, "observation.extrinsics.top", np.ravel(entry["world_from_camera"]).tolist())
    entry["world_from_camera"] = {"feature": "observation.extrinsics.top", "inverse": "false"}
    with pytest.raises(EpisodeError, match=r"top.world_from_camera: 'inverse' is 'false'; it is true or"):
        opened(root, calibration)


@pytest.mark.parametrize("rows", [3, 4])
@pytest.mark.parametrize("nested", [False, True])
def test_matrices_out_of_features_are_read_flat_and_row_by_row(declared, nested, rows):
    root, calibration = declared
    entry = calibration["views"]["top"]
    matrices = {"intrinsic": entry["intrinsics"], "extrinsic": entry["world_from_camera"][:rows]}
    for kind, matrix in matrices.items():
        numbers = np.array(matrix) if nested else np.ravel(matrix)
        with_feature(root, f"observation.{kind}.top", numbers.tolist())
    entry["intrinsics"] = {"feature": "observation.intrinsic.top"}
    entry["world_from_camera"] = {"feature": "observation.extrinsic.top"}
    assert_tool_is_where_it_was_drawn(opened(root, calibration))


def test_the_unit_of_a_camera_feature_holds_for_matrices_too(declared):
    root, calibration = declared
    entry = calibration["views"]["top"]
    matrix = np.array(entry["world_from_camera"])
    matrix[:3, 3] *= 1000
    with_feature(root, "observation.extrinsic.top", matrix[:3].ravel().tolist())
    entry["world_from_camera"] = {"feature": "observation.extrinsic.top", "position_unit": "mm"}
    assert_tool_is_where_it_was_drawn(opened(root, calibration))
    for unit in ("furlong", 1000, ["m"]):
        entry["world_from_camera"]["position_unit"] = unit
        with pytest.raises(EpisodeError, match=r"'position_unit' is .* one of m, cm, mm"):
            opened(root, calibration)


def test_intrinsics_for_pictures_of_twice_the_size_are_scaled_knowingly(declared):
    root, calibration = declared
    entry = calibration["views"]["top"]
    entry["intrinsics"] = (np.array(entry["intrinsics"]) * [[2], [2], [1]]).tolist()
    with pytest.raises(EpisodeError, match=r"principal point lies at 100 % .* Give 'size'"):
        opened(root, calibration)
    entry["size"] = [96, 128]
    assert_tool_is_where_it_was_drawn(opened(root, calibration))
    entry["size"] = [96, 96]
    with pytest.raises(EpisodeError, match=r"for \(96, 96\) px, the pictures are \(48, 64\) px; if .*crop"):
        opened(root, calibration)


def test_intrinsics_of_squeezed_pictures_are_those_that_the_refusal_gives(declared):
    root, calibration = declared
    entry = calibration["views"]["top"]
    right = np.array(entry["intrinsics"])
    entry["intrinsics"] = (right * [[1.5], [2], [1]]).tolist()
    entry["size"] = [96, 96]
    with pytest.raises(EpisodeError) as refusal:
        opened(root, calibration)
    by = "([0-9.]+)"
    said = re.search(rf"fx and cx by {by}, fy and cy by {by}; then give 'size': (.*)", str(refusal.value))
    factors = [float(said[1]), float(said[2]), 1.0]
    entry["intrinsics"] = (np.array(entry["intrinsics"]) * np.array(factors)[:, None]).tolist()
    entry["size"] = json.loads(said[3])
    assert_tool_is_where_it_was_drawn(opened(root, calibration))


@pytest.mark.parametrize(("times", "share"), [(1.5, 75), (0.5, 25)])
def test_intrinsics_without_a_size_are_refused_where_they_are_of_a_common_other_one(declared, times, share):
    root, calibration = declared
    entry = calibration["views"]["top"]
    middle = np.array(entry["intrinsics"])
    middle[:2, 2] = 32.0, 24.0
    entry["intrinsics"] = (middle * [[times], [times], [1]]).tolist()
    with pytest.raises(EpisodeError, match=rf"lies at {share} % .* Give 'size'.* \[48, 64\] if they are"):
        opened(root, calibration)
    entry["size"] = [48, 64]
    assert opened(root, calibration).views[0].camera.intrinsics[0, 2] == 32 * times


def test_a_camera_on_the_hand_moves_with_it(declared):
    root, calibration = declared
    path = opened(root, calibration).trajectory.world_from_tool
    on_hand = torch.eye(4)
    on_hand[:3, 3] = torch.tensor([0.0, 0.05, -0.1])
    entry = calibration["views"]["top"]
    del entry["world_from_camera"]
    entry["tool_from_camera"] = on_hand.tolist()
    camera = opened(root, calibration).views[0].camera
    expected = path @ Pose.from_matrix(on_hand)
    torch.testing.assert_close(camera.world_from_camera.matrix(), expected.matrix())


def test_an_episode_may_have_cameras_of_its_own(declared):
    root, calibration = declared
    right = calibration["views"]["top"]
    wrong = {**right, "world_from_camera": np.eye(4).tolist()}
    calibration["episodes"] = {"episode_000000": {"views": {"top": right}}}
    calibration["views"]["top"] = wrong
    assert_tool_is_where_it_was_drawn(opened(root, calibration))
    calibration["episodes"] = {"nope": {"views": {}}}
    with pytest.raises(EpisodeError, match="there is no episode 'nope'"):
        opened(root, calibration)


def test_a_calibration_file_gives_the_lens_and_its_distortion_is_undone(declared):
    root, calibration = declared
    entry = calibration["views"]["top"]
    data = np.array(entry["intrinsics"])
    data[:2, 2] -= 0.5
    lines = [
        "image_width: 64\nimage_height: 48\ncamera_name: top\ndistortion_model: plumb_bob",
        f"camera_matrix: {{rows: 3, cols: 3, data: {data.ravel().tolist()}}}",
    ]
    for coefficients in ([0.0] * 5, [-0.4, 0.0, 0.0, 0.0, 0.0]):
        told = f"distortion_coefficients: {{rows: 1, cols: 5, data: {coefficients}}}"
        (root / "top.yaml").write_text("\n".join([*lines, told]))
        entry["intrinsics"] = {"file": "top.yaml"}
        frames = opened(root, calibration).views[0].frames
        assert (type(frames).__name__ == "FramesStraightened") == any(coefficients)
    with pytest.raises(EpisodeError, match="estimate the distortion with --radial"):
        check_applicable(root)
    entry["intrinsics"] = {"file": "../top.yaml"}
    with pytest.raises(EpisodeError, match="leaves the folder"):
        opened(root, calibration)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(cameras={}), "unknown field cameras; it may have episodes, tool, views"),
        (lambda c: c["views"]["top"].update(extrinsics=1), "unknown field extrinsics"),
        (lambda c: c["tool"].update(units="mm"), "unknown field units; it may have .*position_unit"),
        (lambda c: c["tool"].update(relative=True), "relative .* no poses"),
        (lambda c: c["tool"].update(rotation="rotvec", open=1.0), "a small part of what is declared"),
        (lambda c: c["tool"].update(position_unit="mm"), 'declare "position_unit": "m"'),
        (lambda c: c["views"]["top"].update(distortion={"model": "omni"}), "'omni' is not known"),
    ],
)
def test_what_contradicts_or_is_not_known_is_refused_by_name(declared, change, message):
    root, calibration = declared
    change(calibration)
    with pytest.raises(EpisodeError, match=message):
        opened(root, calibration)


def test_the_gripper_may_be_a_feature_of_its_own(declared):
    root, calibration = declared
    path = opened(root, calibration).trajectory
    tool = calibration["tool"]
    tool["gripper"] = {"feature": "observation.state", "column": tool["columns"].pop()}
    again = opened(root, calibration).trajectory
    assert torch.equal(again.opening, path.opening)
    assert torch.equal(again.world_from_tool.translation, path.world_from_tool.translation)


def test_a_columns_file_declares_the_tool_in_place_of_calibration_json(declared):
    root, calibration = declared
    right = opened(root, calibration).trajectory
    tool = calibration.pop("tool")
    (root / "columns.json").write_text(json.dumps(tool))
    (root / "calibration.json").write_text(json.dumps(calibration))
    wanted = Wanted(columns=root / "columns.json")
    found = open_foreign(root, wanted=wanted)[1].read("episode_000000")
    assert torch.equal(found.trajectory.to_vector(8), right.to_vector(8))
    (root / "calibration.json").unlink()
    alone = open_foreign(root, wanted=wanted)[1].read("episode_000000")
    assert torch.equal(alone.trajectory.to_vector(8), right.to_vector(8))
    assert alone.views[0].camera is None
    (root / "calibration.json").write_text(json.dumps(calibration | {"tool": tool}))
    with pytest.raises(EpisodeError, match="declares the tool as well; leave one of the two out"):
        open_foreign(root, wanted=wanted)


def test_columns_may_be_called_by_their_names(declared):
    root, calibration = declared
    right = opened(root, calibration).trajectory
    info = json.loads((root / "meta/info.json").read_text())
    feature = info["features"][calibration["tool"]["feature"]]
    feature["names"] = [f"n{number}" for number in range(feature["shape"][0])]
    (root / "meta/info.json").write_text(json.dumps(info))
    numbers = calibration["tool"]["columns"]
    calibration["tool"]["columns"] = [f"n{number}" for number in numbers]
    assert torch.equal(opened(root, calibration).trajectory.to_vector(8), right.to_vector(8))
    for columns, message in [(["n0", "nope"], "names nope"), ([0, 0, *numbers[2:]], "names a column twice")]:
        calibration["tool"]["columns"] = columns
        with pytest.raises(EpisodeError, match=message):
            opened(root, calibration)


def test_a_pose_may_lie_in_a_matrix_of_four_by_four(declared):
    root, calibration = declared
    right = opened(root, calibration).trajectory
    file = next(root.glob("data/*/*.parquet"))
    table = pq.read_table(file)
    matrices = Pose(right.world_from_tool.rotation, right.world_from_tool.translation).matrix()
    stored = pa.array([matrix.tolist() for matrix in matrices.repeat(table.num_rows // len(matrices), 1, 1)])
    pq.write_table(table.append_column("pose", stored), file)
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["pose"] = {"dtype": "float32", "shape": [4, 4], "names": None}
    (root / "meta/info.json").write_text(json.dumps(info))
    tool = calibration["tool"]
    tool["gripper"] = {"feature": tool["feature"], "column": tool["columns"][-1]}
    tool |= {"feature": "pose", "columns": [3, 7, 11, 0, 1, 2, 4, 5, 6, 8, 9, 10], "rotation": "matrix"}
    again = opened(root, calibration).trajectory
    torch.testing.assert_close(again.world_from_tool.matrix(), right.world_from_tool.matrix())


def test_a_name_that_several_columns_have_is_refused_with_their_numbers(declared):
    root, calibration = declared
    info = json.loads((root / "meta/info.json").read_text())
    feature = info["features"][calibration["tool"]["feature"]]
    feature["names"] = [f"n{number}" for number in range(feature["shape"][0])]
    feature["names"][4] = "n2"
    (root / "meta/info.json").write_text(json.dumps(info))
    calibration["tool"]["columns"] = [f"n{number}" for number in calibration["tool"]["columns"]]
    with pytest.raises(EpisodeError, match="tool: 2 columns are called 'n2'; give its number: 2 or 4"):
        opened(root, calibration)


DAMAGED = {
    "cut short": (None, "not a readable parquet file"),
    "three numbers": (lambda state: state[:3], "its rows have 3 numbers of observation.state"),
    "not finite": (lambda state: [float("nan"), *state[1:]], "not finite"),
    "in mm": (lambda state: [1000 * x for x in state[:3]] + state[3:], '"position_unit": "mm"'),
    "gripper of 255": (lambda state: [*state[:7], 255.0], "the gripper reads 255 in row 0"),
    "steps": (lambda state: [0.01, 0.0, 0.0, *state[3:]], "never leaves 10 mm of its base's origin"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_one_damaged_episode_of_a_calibrated_set_never_blocks_the_others(tmp_path, name):
    change, message = DAMAGED[name]
    data = tmp_path / "data/chunk-000/file-000.parquet"

    def poses(parts):
        parts.info["features"]["observation.state"] = {"dtype": "float32", "shape": [8], "names": None}
        for row in parts.rows:
            place = 0.3 + 0.02 * row["frame_index"]
            opening = float(row["frame_index"] % 2)
            row["observation.state"] = [place, 0.1, 0.3, 1.0, 0.0, 0.0, 0.0, opening]
        parts.episodes[3]["data/file_index"] = 1

    v3.write(tmp_path, [4] * 8, edit=poses)
    rows = pq.read_table(data).to_pylist()
    damaged = [row for row in rows if row["episode_index"] == 3]
    for row in damaged:
        row["observation.state"] = (change or list)(row["observation.state"])
    other = data.with_name("file-001.parquet")
    pq.write_table(pa.Table.from_pylist([row for row in rows if row["episode_index"] != 3]), data)
    pq.write_table(pa.Table.from_pylist(damaged), other)
    if change is None:
        other.write_bytes(other.read_bytes()[:300])
    tool = {"feature": "observation.state", "columns": list(range(8)), "closed": 0, "open": 1}
    (tmp_path / "calibration.json").write_text(json.dumps({"tool": tool}))
    outcome = import_episodes(Job(tmp_path), tmp_path.with_name(f"{tmp_path.name}-out"), 0)
    assert len(outcome.imported) == 7
    assert list(outcome.refused) == ["episode_000003"]
    assert message in outcome.refused["episode_000003"]


@pytest.mark.parametrize(
    ("usual", "odd", "rotation", "message"),
    [
        (
            3.0,
            7.0,
            "euler_xyz",
            'an angle is 7; wrap the angles into one turn, or declare "rotation": "euler_xyz_deg"',
        ),
        (170.0, 1.0, "euler_xyz_deg", 'no angle is larger than 1.00; declare "rotation": "euler_xyz"'),
    ],
)
def test_angles_that_one_episode_contradicts_are_refused_there_alone(tmp_path, usual, odd, rotation, message):
    def poses(parts):
        parts.info["features"]["observation.state"] = {"dtype": "float32", "shape": [7], "names": None}
        for row in parts.rows:
            angle = odd if row["episode_index"] == 0 else usual
            opening = float(row["frame_index"] % 2)
            row["observation.state"] = [0.5, 0.1, 0.3, 0.0, 0.0, angle, opening]

    v3.write(tmp_path, [6] * 4, edit=poses)
    tool = {"feature": "observation.state", "columns": list(range(7)), "closed": 0, "open": 1}
    (tmp_path / "calibration.json").write_text(json.dumps({"tool": tool | {"rotation": rotation}}))
    _, reader = open_foreign(tmp_path)
    assert reader.read("episode_000001").trajectory is not None
    with pytest.raises(EpisodeError, match=message):
        reader.read("episode_000000")


def test_a_calibration_of_a_view_that_is_left_out_blocks_nothing(declared):
    root, calibration = declared
    info = json.loads((root / "meta/info.json").read_text())
    depth = {"dtype": "video", "shape": [48, 64, 1], "names": None, "info": {"video.is_depth_map": True}}
    info["features"]["observation.images.depth"] = depth
    (root / "meta/info.json").write_text(json.dumps(info))
    calibration["views"]["depth"] = calibration["views"]["top"]
    assert_tool_is_where_it_was_drawn(opened(root, calibration))
    calibration["views"]["nowhere"] = calibration["views"].pop("depth")
    with pytest.raises(EpisodeError, match=r"calibrates \['nowhere'\]"):
        opened(root, calibration)


def test_a_pose_may_lie_in_several_features(declared):
    root, calibration = declared
    right = opened(root, calibration).trajectory
    tool = calibration["tool"]
    file = next(root.glob("data/*/*.parquet"))
    table = pq.read_table(file)
    rows = np.array(table[tool["feature"]].to_pylist())[:, tool["columns"]]
    info = json.loads((root / "meta/info.json").read_text())
    parts = {"eef_position": rows[:, :3], "eef_rotation": rows[:, 3:-1], "gripper": rows[:, -1:]}
    for name, part in parts.items():
        table = table.append_column(name, [part.astype(np.float32).tolist()])
        info["features"][name] = {"dtype": "float32", "shape": [part.shape[1]], "names": None}
    pq.write_table(table, file)
    (root / "meta/info.json").write_text(json.dumps(info))
    tool |= {"feature": list(parts), "columns": list(range(rows.shape[1]))}
    assert torch.equal(opened(root, calibration).trajectory.to_vector(8), right.to_vector(8))
    tool["feature"] = ["eef_position", "nope"]
    with pytest.raises(EpisodeError, match="no feature 'nope'; it has"):
        opened(root, calibration)


def test_a_rotation_that_one_episode_contradicts_is_refused_for_all(tmp_path):
    """The first tool hardly turns, so any notation is smooth there."""
    turn = np.linspace(2.4, 3.9, 12)
    angles = np.stack([np.linspace(0, 0.1, 12), np.where(turn > np.pi, turn - 2 * np.pi, turn)])

    def poses(parts):
        parts.info["features"]["observation.state"] = {"dtype": "float32", "shape": [7], "names": None}
        for row in parts.rows:
            angle = angles[row["episode_index"], row["frame_index"]]
            axis = np.array([0.6, 0.64, 0.48]) * angle
            row["observation.state"] = [0.5, 0.1, 0.3, *axis, float(row["frame_index"] % 2)]

    v3.write(tmp_path, [12, 12], edit=poses)
    tool = {"feature": "observation.state", "columns": list(range(7)), "closed": 0, "open": 1}
    (tmp_path / "calibration.json").write_text(json.dumps({"tool": tool}))
    with pytest.raises(EpisodeError, match='declare "rotation": "rotvec"'):
        open_foreign(tmp_path)
    tool["rotation"] = "rotvec"
    (tmp_path / "calibration.json").write_text(json.dumps({"tool": tool}))
    assert len(open_foreign(tmp_path)[1].ids) == 2


def test_a_pose_on_the_hand_is_not_taken_for_one_in_the_world(declared):
    root, calibration = declared
    numbers = "{x: 0.5, y: -0.2, z: 0.7, qx: 0, qy: 1, qz: 0, qw: 0}"
    (root / "eye.yaml").write_text(f"parameters: {{eye_on_hand: true}}\ntransformation: {numbers}\n")
    calibration["views"]["top"]["world_from_camera"] = {"file": "eye.yaml"}
    with pytest.raises(EpisodeError, match="stands on the hand: name it as 'tool_from_camera'"):
        opened(root, calibration)


def test_a_calibration_file_that_is_a_link_out_of_the_set_is_refused(declared, tmp_path_factory):
    root, calibration = declared
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "lens.yaml"
    elsewhere.write_text("K: [[500, 0, 320], [0, 500, 240], [0, 0, 1]]\nD: [0, 0, 0, 0]\n")
    (root / "lens.yaml").symlink_to(elsewhere)
    calibration["views"]["top"]["intrinsics"] = {"file": "lens.yaml"}
    with pytest.raises(EpisodeError, match=r"lens\.yaml: is a link that leaves the data set's folder"):
        opened(root, calibration)


def test_what_nothing_declares_and_what_is_not_read_is_said(declared):
    root, calibration = declared
    with_feature(root, "observation.extrinsics.top", [0.0] * 7)
    (root / "calibration.json").write_text(json.dumps(calibration))
    said = " ".join(open_foreign(root)[1].remarks)
    assert "'observation.extrinsics.top' looks like a camera's calibration and is not read" in said
    calibration["views"]["top"]["world_from_camera"] = {"feature": "observation.extrinsics.top"}
    (root / "calibration.json").write_text(json.dumps(calibration))
    assert "looks like" not in " ".join(open_foreign(root)[1].remarks)


def test_a_late_and_a_mirrored_view_are_set_right_where_that_is_declared(declared):
    root, calibration = declared
    plain = opened(root, calibration)
    entry = calibration["views"]["top"]
    late = opened(root, calibration | {"views": {"top": entry | {"shift": 2}}})
    count = plain.num_frames - 2
    shown = plain.views[0].frames.read(range(2, plain.num_frames))
    assert torch.equal(late.views[0].frames.read(range(count)), shown)
    assert torch.equal(late.trajectory.opening, plain.trajectory.opening[:count])
    mirrored = opened(root, calibration | {"views": {"top": entry | {"mirrored": True}}})
    assert torch.equal(mirrored.views[0].frames.read([3]).flip(-1), plain.views[0].frames.read([3]))
    assert any("they are mirrored back" in note for note in mirrored.views[0].frames.notes)


def test_a_found_camera_replaces_neither_a_distorted_lens_nor_cameras_of_single_episodes(declared):
    root, calibration = declared
    plain = calibration["views"]["top"]
    bent = {"views": {"top": plain | {"distortion": [-0.2, 0, 0, 0]}}}
    own = {"episodes": {"episode_000000": {"views": {"top": plain}}}}
    for change, said in ((bent, "estimate the distortion with --radial"), (own, "remove it from 'episodes'")):
        (root / "calibration.json").write_text(json.dumps(calibration | change))
        with pytest.raises(EpisodeError, match=said):
            check_applicable(root)
        check_applicable(root, ["side"])
    straight = {"views": {"top": plain | {"distortion": [0, 0, 0, 0]}}}
    (root / "calibration.json").write_text(json.dumps(calibration | straight))
    check_applicable(root)


def test_a_shift_is_declared_once(declared):
    root, calibration = declared
    calibration["views"]["top"]["shift"] = 2
    opened(root, calibration)
    assert any("as calibration.json declares: top by 2" in told for told in open_foreign(root)[1].remarks)
    with pytest.raises(ActionImagesError, match=r"--shift top: its calibration\.json declares a shift"):
        import_episodes(Job(root, shift={"top": 1}), root.parent / "out", 0)
    calibration["views"]["top"]["shift"] = 1.5
    with pytest.raises(EpisodeError, match="'shift' is by how many whole frames"):
        opened(root, calibration)
