"""What tables and LeRobot sets say against themselves is told: order of rows, rotations, names, ends."""

import json

import foreign
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import test_lerobot_calibration
import test_readers
import test_recordings
import torch
import v3

from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.readers import open_foreign
from action_images.episodes.trajectory_file import COLUMNS, load_trajectory
from action_images.geometry import Pose
from action_images.geometry.rotation import to_quaternion_xyzw
from recorded import assert_tool_is_where_it_was_drawn

FRAMES = foreign.FRAMES


def first(root) -> Episode:
    """The first episode of a source."""
    _, reader = open_foreign(root)
    return reader.read(reader.ids[0]).check()


NAMES = ",".join(COLUMNS[8])


def table(path, header: str, *columns) -> None:
    """A csv of our columns with others before them."""
    position, rotation, opening = foreign.tool_path()
    ours = [position, rotation.as_quat(), opening[:, None]]
    rows = np.concatenate([*(np.reshape(column, (FRAMES, -1)) for column in columns), *ours], 1)
    np.savetxt(path, rows, delimiter=",", header=f"{header},{NAMES}", comments="")


@pytest.mark.parametrize(
    ("name", "numbers", "told"),
    [
        ("frame", [0, 1, 2, 4, 3, 5, 6, 7, 8], "'frame' goes from 2 to 4 in row 3"),
        ("Frame_Index", [0, 1, 2, 3, 10, 11, 12, 13, 14], "'frame_index' goes from 3 to 10 in row 4"),
        ("frame", range(8, -1, -1), "'frame' goes from 8 to 7 in row 1"),
        ("frame", [0, 1, 1, 2, 3, 4, 5, 6, 7], "'frame' goes from 1 to 1 in row 2"),
        ("index", [5, 1, 2, 3, 4, 0, 6, 7, 8], "'index' goes from 5 to 1"),
        ("frame", range(9), None),
        ("frame", range(1, 10), None),
        ("frame", range(0, 27, 3), None),
        ("index", [7] * 9, None),
        ("step", [0, 0, 0, 1, 1, 1, 2, 2, 2], None),
    ],
)
def test_rows_whose_own_numbers_are_not_in_order_are_refused(tmp_path, name, numbers, told):
    path = tmp_path / "poses.csv"
    table(path, name, list(numbers))
    if told is None:
        assert load_trajectory(path).num_frames == FRAMES
        return
    with pytest.raises(EpisodeError, match=rf"{told}.*row i belongs to picture i; sort the rows"):
        load_trajectory(path)


def test_a_table_of_numbered_rows_that_has_none_is_refused_as_any_other(tmp_path):
    path = tmp_path / "poses.csv"
    path.write_text(f"frame,euler_x,euler_y,euler_z,{NAMES}\n")
    with pytest.raises(EpisodeError, match="at least one row"):
        load_trajectory(path)


def test_numbers_of_frames_do_not_count_where_rows_have_times(tmp_path):
    test_recordings.write_episode(tmp_path / "e1")
    numbers = np.array([0, 1, 2, 3, 10, 11, 12, 13, 14])
    table(tmp_path / "e1/poses.csv", "frame,time", numbers, np.arange(FRAMES) / 10)
    assert first(tmp_path).num_frames == FRAMES


@pytest.mark.parametrize(("order", "differs"), [("xyz", False), ("XYZ", True)])
def test_angles_beside_a_quaternion_must_be_the_same_rotation(tmp_path, order, differs):
    path = tmp_path / "poses.csv"
    _, rotation, _ = foreign.tool_path()
    table(path, "euler_x,euler_y,euler_z", rotation.as_euler(order))
    if not differs:
        assert load_trajectory(path).num_frames == FRAMES
        return
    with pytest.raises(EpisodeError, match=r"differ by \d+ degrees in row \d \(from 0\); keep the"):
        load_trajectory(path)


def test_an_episode_that_is_done_before_its_last_row_says_so(tmp_path):
    def edit(parts):
        parts.info["features"]["next.done"] = {"dtype": "bool", "shape": [1], "names": None}
        for row in parts.rows:
            is_early = row["episode_index"] == 1 and row["frame_index"] == 5
            row["next.done"] = is_early or row["frame_index"] == 11

    _, reader = open_foreign(v3.write(tmp_path, [12, 12], edit=edit))
    assert reader.read("episode_000000").notes == ()
    (note,) = reader.read("episode_000001").notes
    assert note.startswith("'next.done' is true before its last row; is it several episodes")
    path = tmp_path / "data/chunk-000/file-000.parquet"
    content = pq.read_table(path)
    lists = pa.array([[done] for done in content["next.done"].to_pylist()])
    pq.write_table(content.set_column(content.column_names.index("next.done"), "next.done", lists), path)
    _, reader = open_foreign(tmp_path)
    assert [len(reader.read(name).notes) for name in reader.ids] == [0, 1]
    pq.write_table(content.drop_columns(["next.done"]), path)
    assert first(tmp_path).notes == ()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([["x", "y", "z", "qw", "qx", "qy", "qz", "gripper"]], "refused"),
        (["x", "y", "z"], "named"),
        (["x", "y", "z", "qx", "qy", "qz", "qw", "gripper"], "nothing"),
        (None, "nothing"),
    ],
)
def test_names_of_columns_are_compared_or_it_is_told_that_they_are_not(tmp_path, names, told):
    def edit(parts):
        parts.info["features"]["observation.state"] = {"dtype": "float32", "shape": [8], "names": names}
        for row in parts.rows:
            turn = row["frame_index"] / 50
            pose = [0.4 + turn, 0, 0.3, np.sin(turn), 0, 0, np.cos(turn)]
            row["observation.state"] = [*pose, row["frame_index"] % 2]

    root = v3.write(tmp_path, [12], edit=edit)
    tool = {"feature": "observation.state", "columns": [*range(8)], "closed": 0, "open": 1}
    (root / "calibration.json").write_text(json.dumps({"tool": tool}))
    if told == "refused":
        with pytest.raises(EpisodeError, match='declare "rotation": "quaternion_wxyz"'):
            open_foreign(root)
        return
    said = "feature 'observation.state' has names, but not one for each column; they are not read"
    assert (said in open_foreign(root)[1].remarks) == (told == "named")


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (["x", "y", "z", "qw", "qx", "qy", "qz"], {}, 'declare "rotation": "quaternion_wxyz"'),
        (["x", "y", "z", "qw", "qx", "qy", "qz"], {"ignore_names": True}, None),
        (["x", "y", "z", "qx", "qy", "qz", "qw"], {}, None),
        (["x_mm", "y_mm", "z_mm", "qx", "qy", "qz", "qw"], {}, 'declare "position_unit": "mm"'),
        (None, {"fast_turns": "yes"}, "'fast_turns' is 'yes'; it is true or false"),
    ],
)
def test_names_of_a_cameras_feature_are_compared_as_the_tools_are(tmp_path, names, more, message):
    calibration = test_readers.write_lerobot(tmp_path)
    pose = Pose.from_matrix(torch.tensor(calibration["views"]["top"]["world_from_camera"]))
    numbers = [*pose.translation.tolist(), *to_quaternion_xyzw(pose.rotation).tolist()]
    test_lerobot_calibration.with_feature(tmp_path, "cam", numbers)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    info["features"]["cam"]["names"] = names
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    camera = {"feature": "cam", "rotation": "quaternion_xyzw", **more}
    calibration["views"]["top"]["world_from_camera"] = camera
    if message is None:
        assert_tool_is_where_it_was_drawn(test_lerobot_calibration.opened(tmp_path, calibration))
        return
    with pytest.raises(EpisodeError, match=message):
        test_lerobot_calibration.opened(tmp_path, calibration)


@pytest.mark.parametrize(
    ("name", "closed", "opened", "refused"),
    [
        ("gripper_closed", 0, 1, "large when it is closed"),
        ("Gripper.Closedness", 0, 1, "large when it is closed"),
        ("gripper_open", 1, 0, "large when it is open"),
        ("opening", 1, 0, "large when it is open"),
        ("gripper_closed", 1, 0, None),
        ("gripper_opening", 0, 1, None),
        ("gripper_open_close", 1, 0, None),
        ("gripper", 1, 0, None),
        ("enclosure", 0, 1, None),
    ],
)
def test_the_name_of_the_grippers_column_fits_its_readings(tmp_path, name, closed, opened, refused):
    columns = [*COLUMNS[8][:7], name]
    position, rotation, opening = foreign.tool_path()
    rows = np.concatenate([position, rotation.as_quat(), opening[:, None]], 1)
    np.savetxt(tmp_path / "poses.csv", rows, delimiter=",", header=",".join(columns), comments="")
    declared = {"columns": columns, "closed": closed, "open": opened}
    for more, message in (({}, refused), ({"ignore_names": True}, None)):
        (tmp_path / "columns.json").write_text(json.dumps(declared | more))
        if message is None:
            assert load_trajectory(tmp_path / "poses.csv", tmp_path / "columns.json").num_frames == FRAMES
        else:
            with pytest.raises(EpisodeError, match=f"named {name}, which is {message}.*exchange the two"):
                load_trajectory(tmp_path / "poses.csv", tmp_path / "columns.json")


@pytest.mark.parametrize(("names", "feature"), [(None, "gripper_closed"), (["closed"], "gripper")])
def test_the_name_of_the_grippers_feature_fits_its_readings(tmp_path, names, feature):
    def edit(parts):
        parts.info["features"]["pose"] = {"dtype": "float32", "shape": [7], "names": None}
        parts.info["features"][feature] = {"dtype": "float32", "shape": [1], "names": names}
        for row in parts.rows:
            row["pose"] = [0.4 + row["frame_index"] / 50, 0, 0.3, 0, 0, 0, 1]
            row[feature] = [float(row["frame_index"] % 2)]

    root = v3.write(tmp_path, [12], edit=edit)
    tool = {"feature": "pose", "columns": [*range(7)]}
    for closed, opened in ((1, 0), (0, 1)):
        tool["gripper"] = {"feature": feature, "closed": closed, "open": opened}
        (root / "calibration.json").write_text(json.dumps({"tool": tool}))
        if closed:
            assert first(root).trajectory is not None
        else:
            with pytest.raises(EpisodeError, match="closed, which is large when it is closed"):
                open_foreign(root)


def test_videos_that_go_on_for_longer_than_the_rows_are_told(tmp_path):
    test_recordings.write_timed(tmp_path / "e", (np.arange(60) / 10).tolist(), np.arange(12) / 10)
    (note,) = first(tmp_path).notes
    assert note.startswith("its videos go on after the last row for longer than 'time' covers; is it in")
