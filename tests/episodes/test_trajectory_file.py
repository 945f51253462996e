"""Trajectory files: three formats, one content."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from action_images.episodes.episode import EpisodeError
from action_images.episodes.trajectory_file import (
    COLUMNS,
    load_trajectory,
    load_with_unreliable,
    save_trajectory,
)
from scenes import trajectory


@pytest.mark.parametrize("ending", [".npy", ".csv", ".json"])
def test_saving_then_loading_is_the_identity(tmp_path, ending):
    path, file = trajectory(7), tmp_path / f"path{ending}"
    save_trajectory(file, path)
    back = load_trajectory(file)
    torch.testing.assert_close(
        back.world_from_tool.matrix(), path.world_from_tool.matrix(), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(back.opening, path.opening, atol=1e-6, rtol=0)


@pytest.mark.parametrize("ending", [".csv", ".json"])
def test_further_columns_are_kept_and_do_not_disturb_loading(tmp_path, ending):
    save_trajectory(tmp_path / f"path{ending}", trajectory(3), {"confidence": torch.ones(3)})
    assert load_trajectory(tmp_path / f"path{ending}").num_frames == 3
    assert "confidence" in (tmp_path / f"path{ending}").read_text()


def test_seven_columns_are_euler_angles(tmp_path):
    (tmp_path / "path.csv").write_text(
        "opening,x,y,z,euler_x,euler_y,euler_z\n1,0.1,0.2,0.3,0,0,1.5707963267948966\n"
    )
    path = load_trajectory(tmp_path / "path.csv")
    torch.testing.assert_close(
        path.world_from_tool.rotation[0, :, 0], torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0
    )
    assert path.opening.tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "ends in .npy, .csv or .json"),
        ("a.csv", b"x,y,z\n1,2,3\n", "header must name the columns"),
        ("a.csv", b"", "header must name the columns"),
        ("a.csv", b"x,y,z,qx,qy,qz,qw,opening\n1,2\n", "needs the 8 columns"),
        ("a.csv", b"x,y,z,qx,qy,qz,qw,opening\n", "at least one row"),
        ("a.csv", b"x,y,z,qx,qy,qz,qw,opening\n0,0,0,0,0,0,1,nan\n", r"row \[0\].*not finite"),
        ("a.csv", b"x,y,z,qx,qy,qz,qw,opening\n0,0,0,0,0,0,1,1\n0,0,0,0,0,0,1,open\n", r"row \[1\].*'open'"),
        (
            "a.csv",
            b"x,y,z,qx,qy,qz,qw,opening\n0,0,0,0,0,0,1,1\n\n0,0,0\n",
            r"row \[1\] needs the 8 columns.* has 3",
        ),
        (
            "a.csv",
            b"x,y,z,qx,qy,qz,qw,opening\n0,0,0,0,0,0,1," + b"1" * 200_000,
            "line 2: field larger than field limit",
        ),
        ("a.json", b"[[1,2,3]]", "7 or 8 numbers"),
        ("a.json", b"[[0,0,0,0,0,0,1,1],[0,0,0]]", r"row \[1\] needs the 8 columns.* has 3"),
        ("a.json", b"[[0,0,0,0,0,0,1,1],7]", r"row \[1\] needs the 8 columns.* has no"),
        ("a.json", b"[[0,0,0,0,0,0,1,[1]]]", r"row \[0\]: "),
        ("a.json", b"[7]", "not a table of numbers"),
        ("a.json", b"7", "not a table of numbers"),
        ("a.json", b"[]", "at least one row"),
        ("a.json", b'{"rows": []}', "'columns' and 'rows'"),
        ("a.json", b"[" * 100_000, "not a table of numbers"),
        ("a.npy", b"\x93NUMPY\x01\x00", "not a table of numbers"),
    ],
)
def test_what_is_no_trajectory_is_refused_with_the_file(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EpisodeError, match=f"{name}: .*{message}"):
        load_trajectory(tmp_path / name)


def test_pickles_inside_npy_are_not_opened(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(EpisodeError, match=r"evil\.npy"):
        load_trajectory(tmp_path / "evil.npy")


def test_poses_that_are_not_known_are_null_in_json(tmp_path):
    path = trajectory(2)
    path.world_from_tool.translation[1] = torch.nan
    save_trajectory(tmp_path / "path.json", path)
    rows = json.loads((tmp_path / "path.json").read_text(), parse_constant=pytest.fail)["rows"]
    assert rows[1][:3] == [None] * 3
    with pytest.raises(EpisodeError):
        load_trajectory(tmp_path / "path.json")


def test_seven_numbers_that_are_a_pose_without_a_gripper_are_not_taken_for_angles(tmp_path):
    turns = torch.nn.functional.normalize(torch.rand(5, 4) + 0.1, dim=-1)
    np.save(tmp_path / "a.npy", torch.cat([torch.rand(5, 3), turns], -1).numpy())
    with pytest.raises(EpisodeError, match=r"unit length in every row.*add the gripper's opening"):
        load_trajectory(tmp_path / "a.npy")


@pytest.mark.parametrize("ending", [".csv", ".json"])
@pytest.mark.parametrize("column", ["valid", "confidence"])
def test_rows_whose_pose_is_not_reliable_are_named_and_never_taken_for_poses(tmp_path, ending, column):
    file, path = tmp_path / f"path{ending}", trajectory(5)
    save_trajectory(file, path, {column: torch.tensor([1.0, 0.0, 0.5, 0.0, 1.0])})
    with pytest.raises(EpisodeError, match=r"2 of 5 rows \(from 0: 1, 3\) have valid or confidence 0"):
        load_trajectory(file)
    again, unreliable = load_with_unreliable(file)
    assert unreliable == [1, 3]
    assert again.num_frames == 5


def test_marks_of_reliable_poses_may_be_words_but_nothing_unreadable(tmp_path):
    file = tmp_path / "path.csv"
    file.write_text("x,y,z,qx,qy,qz,qw,opening,valid\n.5,.2,.3,0,0,0,1,0,True\n.5,.2,.3,0,0,0,1,0,False\n")
    assert load_with_unreliable(file)[1] == [1]
    file.write_text(file.read_text().replace("False", "perhaps"))
    with pytest.raises(EpisodeError, match=r"row \[1\].*'perhaps'"):
        load_with_unreliable(file)


def test_a_field_that_is_not_known_is_refused(tmp_path):
    rows = [[0.3, 0.2, 0.1, 0, 0, 0, 1, 0.5]] * 2
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({"columns": COLUMNS[8], "rows": rows, "unit": "mm"}))
    with pytest.raises(EpisodeError, match="has the field 'unit', which is not known"):
        load_trajectory(path)


def test_row_numbers_that_pandas_wrote_under_no_name_are_compared(tmp_path):
    lines = [f"{number},0.3,0.2,0.1,0,0,0,1,0.5" for number in (0, 3, 1, 2)]
    path = tmp_path / "poses.csv"
    path.write_text("\n".join([",".join(["", *COLUMNS[8]]), *lines]))
    with pytest.raises(EpisodeError, match="the column without a name goes from 0 to 3 in row 1"):
        load_trajectory(path)


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("episode", "0 0 1", "the column 'episode' names 2 episodes"),
        ("Trial", "a b b", "the column 'trial' names 2 episodes"),
        ("frame_id", "base base camera", "the column 'frame_id' names 2 frames"),
        ("header.frame_id", "camera_link " * 3, "says 'camera_link', a camera's frame by its name"),
        ("frame_id", "left_cam " * 3, "says 'left_cam', a camera's frame by its name"),
        ("unit", "mm mm mm", "the column 'unit' says 'mm', and metres are read"),
        ("angle_unit", "deg " * 3, "the column 'angle_unit' says 'deg', and radians are read"),
        ("episode", "3 3 3", None),
        ("frame_id", "camelot " * 3, None),
        ("frame_id", "1 2 3", None),
        ("unit", "Metres m meter", None),
        ("angle_unit", "rad " * 3, None),
    ],
)
def test_words_in_a_table_that_contradict_how_it_is_read_are_refused(tmp_path, name, words, said):
    lines = [f"0.3,0.2,{number},0,0,0,1,0.5,{word}" for number, word in enumerate(words.split())]
    path = tmp_path / "poses.csv"
    path.write_text("\n".join([",".join([*COLUMNS[8], name]), *lines]))
    with nullcontext() if said is None else pytest.raises(EpisodeError, match=said):
        load_trajectory(path)
