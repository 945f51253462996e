"""Notation is declared, or contradicted aloud: one path written in every way, read or refused."""

import json
import math

import pytest
import torch

from action_images.episodes.contradictions import in_gripper, in_gripper_name, in_names, in_poses, in_sides
from action_images.episodes.episode import EpisodeError
from action_images.episodes.notation import ROTATIONS, ToolNotation, notation_from_json
from action_images.episodes.trajectory_file import load_trajectory, save_trajectory
from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.geometry import rotation as rotations
from arm_scene import hand_trajectory

PATH = hand_trajectory()
POSE = PATH.world_from_tool
WRITTEN = {
    "euler_xyz": rotations.to_euler_xyz,
    "euler_xyz_deg": lambda r: rotations.to_euler_xyz(r).rad2deg(),
    "rotvec": rotations.to_rotation_vector,
    "quaternion_xyzw": rotations.to_quaternion_xyzw,
    "quaternion_wxyz": lambda r: rotations.to_quaternion_xyzw(r).roll(1, -1),
    "matrix": lambda r: r.flatten(-2),
    "rotation_6d": rotations.to_six_numbers,
    "rotation_6d_rows": lambda r: r[:, :2].flatten(-2),
}


def numbers(rotation: str, scale: float = 1.0) -> torch.Tensor:
    return torch.cat([scale * POSE.translation, WRITTEN[rotation](POSE.rotation)], -1)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize(("unit", "scale"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_what_is_declared_is_read_as_it_was_written(rotation, unit, scale):
    notation = ToolNotation(rotation, closed=-1, open=3, position_unit=unit)
    found = notation.trajectory(numbers(rotation, scale), 4 * PATH.opening - 1)
    torch.testing.assert_close(found.world_from_tool.matrix(), POSE.matrix(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.opening, PATH.opening)
    assert list(in_poses(numbers(rotation, scale), notation)) == []


def test_offsets_of_tool_and_base_are_applied_on_their_own_sides():
    flange_from_tool = Pose(
        rotations.from_euler_xyz(torch.tensor([0.1, 0.2, 0.3])), torch.tensor([0, 0, 0.1])
    )
    world_from_base = Pose(rotations.from_euler_xyz(torch.tensor([0, 0, 1.0])), torch.tensor([1.0, 2, 0]))
    base_from_flange = world_from_base.inverse() @ POSE @ flange_from_tool.inverse()
    turn = rotations.to_quaternion_xyzw(base_from_flange.rotation)
    rows = torch.cat([base_from_flange.translation, turn], -1)
    entry = {"closed": 0, "open": 1, "tool_offset": flange_from_tool.matrix().tolist()}
    entry["base_offset"] = world_from_base.matrix().tolist()
    found = notation_from_json(entry, 7, "here").poses(rows)
    torch.testing.assert_close(found.matrix(), POSE.matrix(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("written", "declared", "likely"),
    [
        ("euler_xyz_deg", "euler_xyz", "euler_xyz_deg"),
        ("euler_xyz", "euler_xyz_deg", "euler_xyz"),
        ("rotvec", "euler_xyz", "rotvec"),
        ("euler_xyz", "rotvec", "euler_xyz"),
    ],
)
def test_numbers_that_contradict_name_the_likely_rotation(written, declared, likely):
    said = list(in_poses(numbers(written), ToolNotation(declared, closed=0, open=1)))
    assert any(f'"rotation": "{likely}"' in one for one in said), said


def test_single_rows_out_of_reach_are_no_other_unit():
    far = numbers("quaternion_xyzw")
    far[2, :3] = 999
    said = next(in_poses(far, ToolNotation("quaternion_xyzw", closed=0, open=1)))
    assert "m away in row 2 alone; drop or repair" in said


def test_positions_out_of_reach_or_at_the_origin_are_contradicted():
    plain = ToolNotation("quaternion_xyzw", closed=0, open=1)
    assert '"position_unit": "mm"' in next(in_poses(numbers("quaternion_xyzw", 1000), plain))
    steps = numbers("quaternion_xyzw", 0.01)
    assert "relative (delta) actions" in next(in_poses(steps, plain))
    assert list(in_poses(steps, plain, said_absolute=True)) == []


@pytest.mark.parametrize(
    ("names", "declared", "said"),
    [
        (["x", "y", "z", "qw", "qx", "qy", "qz"], "quaternion_xyzw", '"rotation": "quaternion_wxyz"'),
        (["x", "y", "z", "qx", "qy", "qz", "qw"], "quaternion_wxyz", '"rotation": "quaternion_xyzw"'),
        (["x", "y", "z", "roll", "pitch", "yaw"], "rotvec", '"rotation": "euler_xyz"'),
        (["x", "y", "z", "rx", "ry", "rz", "finger"], "quaternion_xyzw", '"rotation": "rotvec"'),
        (["joint_1", "joint_2", "joint_3", "a", "b", "c"], "euler_xyz", "joint angles"),
        (["dx", "dy", "dz", "roll", "pitch", "yaw"], "euler_xyz", "are steps by their names"),
    ],
)
def test_names_that_contradict_are_told_with_the_likely_declaration(names, declared, said):
    assert said in next(in_names(names, ToolNotation(declared, closed=0, open=1)))


@pytest.mark.parametrize(
    ("rotation", "names"),
    [
        ("quaternion_xyzw", "x y z qx qy qz qw"),
        ("quaternion_wxyz", "x y z qw qx qy qz"),
        ("euler_xyz", "x y z roll pitch yaw"),
        ("rotvec", "x y z rx ry rz"),
        ("euler_xyz", "x y z rx ry rz"),
    ],
)
def test_names_that_agree_are_not_asked_about(rotation, names):
    assert list(in_names(names.split(), ToolNotation(rotation, closed=0, open=1))) == []


@pytest.mark.parametrize(
    ("lowest", "highest", "said"),
    [
        (0, 255, "far outside"),
        (-1, 1, "far outside"),
        (0, 0.04, "a small part"),
        (0.02, 1.0, None),
        (-0.01, 1.02, None),
        (1, 1, None),
    ],
)
def test_grippers_in_other_units_are_contradicted(lowest, highest, said):
    found = list(in_gripper(lowest, highest, ToolNotation("euler_xyz", closed=0, open=1)))
    assert (said is None and not found) or said in found[0]


def test_readings_far_beyond_open_are_refused_and_never_clamped_silently():
    notation = ToolNotation("euler_xyz", closed=0, open=0.04)
    assert notation.opening(torch.tensor([0.041, -0.001])).tolist() == [1, 0]
    with pytest.raises(ActionImagesError, match=r"reads 1 in row 1, far outside"):
        notation.opening(torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"closed": 0, "open": 1, "relative": True}, "relative .* no poses"),
        ({"closed": 0, "open": 1, "rotation": "euler_zyx"}, "it is one of euler_xyz, euler_xyz_deg"),
        ({"closed": 0, "open": 1, "rotation": "matrix"}, "7 columns are named .* 12 columns"),
        ({"closed": 0, "open": 1, "position_unit": "inch"}, "it is one of m, cm, mm"),
        ({"closed": 0, "open": 0}, "both closed and open"),
        ({"closed": 0}, "'open' is None"),
        ({"closed": 0, "open": 1, "tool_offset": [[1, 0], [0, 1]]}, "'tool_offset' should be a rigid"),
    ],
)
def test_declarations_that_are_none_are_refused(entry, message):
    with pytest.raises(EpisodeError, match=message):
        notation_from_json(entry, 7, "here")


def test_a_table_of_other_columns_is_read_by_a_declaration_and_refused_without(tmp_path):
    rows = torch.cat([PATH.opening[:, None] * 100, numbers("euler_xyz_deg", 1000)], -1)
    names = ["grip", "X", "Y", "Z", "roll", "pitch", "yaw"]
    lines = [",".join(names), *[",".join(map(str, row)) for row in rows.tolist()]]
    (tmp_path / "path.csv").write_text("\n".join(lines))
    with pytest.raises(EpisodeError, match="header must name the columns"):
        load_trajectory(tmp_path / "path.csv")
    entry = {"columns": [*names[1:], "grip"], "rotation": "euler_xyz_deg", "position_unit": "mm"}
    columns = tmp_path / "columns.json"
    columns.write_text(json.dumps({**entry, "closed": 0, "open": 100}))
    found = load_trajectory(tmp_path / "path.csv", columns)
    torch.testing.assert_close(found.world_from_tool.matrix(), POSE.matrix(), atol=1e-4, rtol=0)
    for change, message in [
        ({"closed": 0, "open": 1}, "far outside what is declared"),
        ({"closed": 0, "open": 100, "position_unit": "m"}, '"position_unit": "mm"'),
        ({"closed": 0, "open": 100, "rotation": "euler_xyz"}, '"rotation": "euler_xyz_deg"'),
        ({"closed": 0, "open": 100, "rotation": "rotvec"}, '"rotation": "euler_xyz", or "ignore_names"'),
        (
            {"closed": 0, "open": 100, "rotation": "rotvec", "ignore_names": True},
            '"rotation": "euler_xyz_deg"',
        ),
        ({"closed": 0, "open": 100, "units": "mm"}, "unknown field units"),
    ]:
        columns.write_text(json.dumps({**entry, **change}))
        with pytest.raises(EpisodeError, match=message):
            load_trajectory(tmp_path / "path.csv", columns)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_declared_table_is_written_as_it_is_read(tmp_path, rotation, by_name):
    count = ROTATIONS[rotation].num_columns
    names = ["x", "y", "z", *(f"turn{number}" for number in range(count)), "grip"]
    offset = Pose(rotations.from_euler_xyz(torch.tensor([0.1, 0.2, 0.3])), torch.tensor([0.0, 0.1, 0.2]))
    entry = {"columns": names if by_name else [*range(1, count + 4), 0], "rotation": rotation}
    entry |= {"position_unit": "mm", "closed": 90, "open": 10, "tool_offset": offset.matrix().tolist()}
    (tmp_path / "columns.json").write_text(json.dumps(entry))
    for ending in ("csv", "json") if by_name else ("csv", "json", "npy"):  # npy has no names
        path = tmp_path / f"path.{ending}"
        save_trajectory(path, PATH, columns=tmp_path / "columns.json")
        found = load_trajectory(path, tmp_path / "columns.json")
        torch.testing.assert_close(found.world_from_tool.matrix(), POSE.matrix(), atol=1e-4, rtol=0)
        torch.testing.assert_close(found.opening, PATH.opening)
    entry["columns"] = [*range(1, count + 4), count + 7]
    (tmp_path / "columns.json").write_text(json.dumps(entry))
    with pytest.raises(EpisodeError, match="number them 0 to"):
        save_trajectory(tmp_path / "gaps.csv", PATH, columns=tmp_path / "columns.json")


def test_a_plain_file_in_degrees_or_millimetres_is_refused(tmp_path):
    rows = torch.cat([numbers("euler_xyz_deg"), PATH.opening[:, None]], -1)
    (tmp_path / "a.json").write_text(json.dumps(rows.tolist()))
    with pytest.raises(EpisodeError, match=r'"rotation": "euler_xyz_deg"; --columns declares'):
        load_trajectory(tmp_path / "a.json")
    rows = torch.cat([numbers("euler_xyz", 1000), PATH.opening[:, None]], -1)
    (tmp_path / "b.json").write_text(json.dumps(rows.tolist()))
    with pytest.raises(EpisodeError, match='"position_unit": "mm"'):
        load_trajectory(tmp_path / "b.json")


def test_matrices_whose_last_row_is_junk_are_no_poses():
    matrix = torch.eye(4).repeat(3, 1, 1)
    matrix[1, 3] = torch.tensor([0.1, 0.2, 0.3, 1.0])
    with pytest.raises(
        ActionImagesError, match=r"pose\[1\] has a last row that is not 0 0 0 1; is it transposed"
    ):
        Pose.from_matrix(matrix)
    assert Pose.from_matrix(matrix[:, :3]).batch_shape == (3,)
    assert math.isclose(float(Pose.from_matrix(torch.eye(4)).matrix()[3, 3]), 1)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("z y x roll pitch yaw", "not in the order x y z"),
        ("pos_x pos_z pos_y roll pitch yaw", "not in the order x y z"),
        ("x y z yaw pitch roll", "not in the order roll pitch yaw"),
        ("x y z rx ry rz", 'declare "rotation": "rotvec" or "euler_xyz"'),
        ("x_mm y_mm z_mm roll pitch yaw", 'declare "position_unit": "mm"'),
        ("x y z roll_deg pitch_deg yaw_deg", 'declare "rotation": "euler_xyz_deg"'),
        ("vx vy vz wx wy wz", "are steps by their names"),
    ],
)
def test_names_in_another_order_or_unit_are_told(names, said):
    notation = ToolNotation("euler_xyz", closed=0, open=1)
    assert said in " ".join(in_names(names.split(), notation, is_declared=False))
    right = ["x", "y", "z", "roll", "pitch", "yaw"]
    assert list(in_names(right, notation, is_declared=False)) == []


def test_six_numbers_that_are_no_columns_of_a_rotation_are_refused():
    interleaved = POSE.rotation[:, :, :2].flatten(-2)
    with pytest.raises(ActionImagesError, match="no two columns of a rotation; check 'columns'"):
        ToolNotation("rotation_6d", 0, 1).poses(torch.cat([POSE.translation, interleaved], -1))


@pytest.mark.parametrize("declared", ["euler_xyz", "rotvec"])
def test_small_angles_in_degrees_are_told_by_how_fast_they_turn(declared):
    time = torch.linspace(0, 6, 30)
    angles = torch.stack([4 * time.sin(), 3 * time.cos(), 5 * (time + 1).sin()], -1)
    rows = torch.cat([torch.tensor([0.5, 0, 0.2]).expand(30, 3), angles], -1)
    (said,) = in_poses(rows, ToolNotation(declared, 0, 1))
    assert 'Declare "rotation": "euler_xyz_deg"' in said
    assert not list(in_poses(rows, ToolNotation("euler_xyz_deg", 0, 1)))
    assert '"fast_turns": true' in said
    assert not list(in_poses(rows, ToolNotation(declared, 0, 1, fast_turns=True)))


def test_fast_turns_are_declared_by_true_or_false():
    entry = {"closed": 0, "open": 1}
    assert notation_from_json({**entry, "fast_turns": True}, 6, "here").fast_turns
    with pytest.raises(EpisodeError, match=r"here: 'fast_turns' is 'yes'; it is true or false"):
        notation_from_json({**entry, "fast_turns": "yes"}, 6, "here")


def test_columns_without_a_gripper_are_refused_with_the_cure():
    with pytest.raises(EpisodeError, match=r"2 columns are left for the rotation.*or declare 'gripper'"):
        notation_from_json({"closed": 0, "open": 1}, 5, "here")


@pytest.mark.parametrize("name", ["ignore_names", "fast_turns", "relative"])
def test_flags_are_true_or_false_and_no_texts(name):
    with pytest.raises(EpisodeError, match=f"here: '{name}' is 'false'; it is true or false"):
        notation_from_json({"closed": 0, "open": 1, name: "false"}, 6, "here")


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        ("x,y,z,a,b,c,g,X", ["x", "y", "z", "a", "b", "c", "g"], "has 2 columns called 'x'; rename one"),
        ("x,y,z,a,b,c,g", ["x", "X", "z", "a", "b", "c", "g"], "'columns' names a column twice"),
        ("x,y,z,a,b,c,g", ["x", 0, "z", "a", "b", "c", "g"], "'columns' names a column twice"),
    ],
)
def test_a_column_is_never_taken_in_place_of_another_of_its_name(tmp_path, header, columns, message):
    row = [str(0.3 + number / 100) for number in range(header.count(",") + 1)]
    (tmp_path / "a.csv").write_text(f"{header}\n{','.join(row)}\n")
    entry = {"columns": columns, "rotation": "euler_xyz", "closed": 0, "open": 1}
    (tmp_path / "c.json").write_text(json.dumps(entry))
    with pytest.raises(EpisodeError, match=message):
        load_trajectory(tmp_path / "a.csv", tmp_path / "c.json")


def test_axes_of_a_tool_in_lerobots_way_of_naming_are_no_joints():
    euler = ToolNotation("euler_xyz", closed=0, open=1)
    turned = ["roll.pos", "pitch.pos", "yaw.pos"]
    assert not [*in_names(["x.pos", "y.pos", "z.pos", *turned], euler)]
    assert not [*in_names(["ee.x.pos", "ee.y.pos", "ee.z.pos", *turned], euler)]
    joints = ["shoulder_pan.pos", "shoulder_lift.pos", "elbow_flex.pos"]
    assert "are joint angles" in next(in_names([*joints, *turned], euler))
    turned = ["qw.pos", "qx.pos", "qy.pos", "qz.pos"]
    told = next(in_names(["x.pos", "y.pos", "z.pos", *turned], ToolNotation("quaternion_xyzw", 0, 1)))
    assert 'declare "rotation": "quaternion_wxyz"' in told


def test_entries_of_a_matrix_are_named_row_by_row():
    rows = [f"r{row}{column}" for row in (1, 2, 3) for column in (1, 2, 3)]
    columns = [f"r{row}{column}" for column in (1, 2, 3) for row in (1, 2, 3)]
    notation = ToolNotation("matrix", closed=0, open=1)
    assert list(in_names(["x", "y", "z", *rows], notation)) == []
    assert "are not a matrix row by row" in next(in_names(["x", "y", "z", *columns], notation))


def test_columns_of_two_arms_are_no_pose():
    assert list(in_sides(["right_x", "right_y", "right_z", "gripper"])) == []
    assert list(in_sides(["x", "upright", "lefty"])) == []
    told = next(in_sides(["right_x", "right_y", "right_z", "left_gripper"]))
    assert told.startswith("the column left_gripper is of a left arm, and right_x of a right one")


def test_a_grippers_width_is_large_when_it_is_open():
    notation = ToolNotation("euler_xyz", closed=0.08, open=0)
    assert "large when it is open" in next(in_gripper_name("gripper_width", notation))
