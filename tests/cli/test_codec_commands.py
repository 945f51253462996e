"""The commands of the codec, run as a user runs them."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from action_images.cli import COMMANDS, main
from action_images.codec import RELEASED, draw_uint8
from action_images.episodes.cameras_file import save_cameras
from action_images.episodes.episode import EpisodeError
from action_images.episodes.loose_files import loose_episode
from action_images.episodes.trajectory_file import load_trajectory, save_trajectory
from action_images.episodes.video import read_video, write_video
from action_images.files.lock import alone_in
from scenes import rig, trajectory

SIZE = (96, 128)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    cameras = rig(2, SIZE)
    save_cameras(tmp_path / "cameras.json", {"left": cameras[0], "right": cameras[1][None].expand(12)})
    save_trajectory(tmp_path / "path.csv", trajectory(3).at(torch.linspace(0, 2, 12)))
    return tmp_path


def draw(scene: Path, *more: str) -> int:
    return main(
        ["draw", f"{scene}/path.csv", "--cameras", f"{scene}/cameras.json", "--out", f"{scene}/out", *more]
    )


def test_a_second_drawing_into_one_folder_is_refused_and_changes_nothing(scene, capsys):
    with alone_in(scene / "out"):
        assert draw(scene) == 2
        assert [path.name for path in (scene / "out").iterdir()] == [".lock"]
    assert "another process is writing here" in capsys.readouterr().err


def test_what_a_killed_drawing_left_is_removed_by_the_next(scene):
    left = [
        scene / "out" / ".left.mp4.abcdefgh.action-images-part.mp4",
        scene / "out/left/.00003.png.abcdefgh.action-images-part.png",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert draw(scene, "--png") == 0
    assert not any(path.exists() for path in left)


def test_a_rate_of_zero_is_refused_and_not_taken_for_none(scene, capsys):
    assert draw(scene, "--fps", "0") == 2
    assert "--fps 0: give a number above zero" in capsys.readouterr().err


def test_drawing_then_reading_gives_the_path_back(scene, capsys):
    assert draw(scene) == 0
    videos = [f"{scene}/out/{name}.mp4" for name in ("right", "left")]
    assert (
        main(
            [
                "read",
                *videos,
                "--cameras",
                f"{scene}/cameras.json",
                "--out",
                f"{scene}/read.json",
                "--max-std-mm",
                "5",
            ]
        )
        == 0
    )
    before, after = load_trajectory(scene / "path.csv"), load_trajectory(scene / "read.json")
    metres, _ = before.world_from_tool.distance(after.world_from_tool)
    assert metres.median() < 1e-3
    assert "12" in capsys.readouterr().out


def test_longer_axes_are_read_as_they_were_drawn_and_no_others(scene):
    assert draw(scene, "--axis-length", "0.2") == 0
    command = [
        "read",
        f"{scene}/out/left.mp4",
        f"{scene}/out/right.mp4",
        "--cameras",
        f"{scene}/cameras.json",
        "--max-std-mm",
        "5",
    ]
    before = load_trajectory(scene / "path.csv").world_from_tool
    assert main([*command, "--out", f"{scene}/read.csv", "--axis-length", "0.2"]) == 0
    metres, _ = before.distance(load_trajectory(scene / "read.csv").world_from_tool)
    assert metres.median() < 1e-3
    assert main([*command, "--out", f"{scene}/wrong.csv"]) == 1


def test_pngs_are_the_images_without_loss(scene):
    assert draw(scene, "--png", "--released") == 0
    expected = draw_uint8(load_trajectory(scene / "path.csv"), rig(2, SIZE), RELEASED)
    with Image.open(scene / "out" / "left" / "00007.png") as image:
        assert np.array_equal(np.asarray(image), expected[0, 7].movedim(0, -1).numpy())


def test_a_folder_with_another_drawing_is_refused_and_left_as_it_is(scene, capsys):
    assert draw(scene, "--png") == 0
    assert draw(scene, "--png") == 0
    save_cameras(scene / "cameras.json", {"left": rig(2, SIZE)[0]})
    assert draw(scene, "--png") == 2
    assert "out: has right.mp4, of another drawing" in " ".join(capsys.readouterr().err.split())
    save_trajectory(scene / "path.csv", trajectory(3).at(torch.linspace(0, 2, 10)))
    (scene / "out/right.mp4").unlink()
    assert draw(scene, "--png") == 2
    assert "has left/00010.png and 1 more" in " ".join(capsys.readouterr().err.split())
    assert draw(scene) == 2
    shutil.rmtree(scene / "out/left")
    assert draw(scene) == 0
    assert draw(scene, "--over", f"{scene}/out") == 2
    assert "has the scene's videos" in " ".join(capsys.readouterr().err.split())


def test_reading_is_refused_before_it_begins(scene, capsys):
    for name in ("a", "b"):
        (scene / name).mkdir()
        (scene / name / "left.mp4").touch()
    one, other = f"{scene}/a/left.mp4", f"{scene}/b/left.mp4"
    given = ["--cameras", f"{scene}/cameras.json"]
    assert main(["read", one, other, *given, "--out", f"{scene}/read.csv"]) == 2
    assert "are of one camera; give one video for each camera" in " ".join(capsys.readouterr().err.split())
    assert main(["read", one, *given, "--out", f"{scene}/read.npy"]) == 2
    assert "read.npy: this trajectory is written as .csv or .json" in " ".join(
        capsys.readouterr().err.split()
    )
    entry = {"columns": [0, 1, 2, 3, 4, 5, 9], "rotation": "rotvec", "closed": 0, "open": 1}
    (scene / "columns.json").write_text(json.dumps(entry))
    rest = ["--out", f"{scene}/read.csv", "--columns", f"{scene}/columns.json"]
    assert main(["read", one, *given, *rest]) == 2
    assert "columns.json: a table of these columns alone" in " ".join(capsys.readouterr().err.split())


def test_the_overlay_shows_the_scene_and_the_spots(scene):
    (scene / "scene").mkdir()
    for name in ("left", "right"):
        write_video(scene / "scene" / f"{name}.mp4", torch.full((12, 3, *SIZE), 90, dtype=torch.uint8), 10)
    assert draw(scene, "--over", f"{scene}/scene") == 0
    overlay = read_video(scene / "out" / "overlay" / "left.mp4")
    assert abs(overlay[0, :, 2, 2].float().mean() - 90) < 4
    assert overlay[0, 0].max() > 180


def test_frames_that_cannot_be_read_end_in_code_1_and_are_named(scene, capsys):
    assert draw(scene) == 0
    video = read_video(scene / "out" / "left.mp4")
    video[5] = 0
    write_video(scene / "out" / "left.mp4", video, 10)
    command = [
        "read",
        f"{scene}/out/left.mp4",
        f"{scene}/out/right.mp4",
        "--cameras",
        f"{scene}/cameras.json",
    ]
    assert main([*command, "--out", f"{scene}/read.csv", "--max-std-mm", "5"]) == 1
    assert "not valid: frames [5]" in capsys.readouterr().out
    again = ["draw", f"{scene}/read.csv", "--cameras", f"{scene}/cameras.json", "--out", f"{scene}/again"]
    assert main(again) == 0
    assert "1 of 12 rows have no reliable pose" in " ".join(capsys.readouterr().out.split())
    drawn = read_video(scene / "again" / "left.mp4")[:, :2].flatten(1).amax(-1)
    assert drawn[4] > 200
    assert drawn[5] < 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["draw", "none.csv", "--cameras", "cameras.json", "--out", "o"],
            "none.csv: there is no such file",
        ),
        (
            ["draw", "path.csv", "--cameras", "none.json", "--out", "o"],
            "none.json: there is no such file",
        ),
        (
            ["draw", "path.csv", "--cameras", "cameras.json", "--out", "o", "--over", "none"],
            "none: there is no such folder",
        ),
        (
            ["read", "top.mp4", "side.mp4", "--cameras", "cameras.json", "--out", "o.csv"],
            "no camera for top.mp4, side.mp4",
        ),
        (["inspect-codec", "--views", "1"], "2 to 8 views"),
        (["nonsense"], "no command 'nonsense'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(scene, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(scene)
    for name in ("top.mp4", "side.mp4"):
        Path(name).touch()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_moving_camera_must_move_as_long_as_the_path(scene, capsys):
    save_trajectory(scene / "path.csv", trajectory(3))
    assert draw(scene) == 2
    assert "camera 'right' moves over 12 frames" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../left", "..", ".", ""])
def test_a_camera_name_cannot_leave_the_folder(scene, capsys, name):
    save_cameras(scene / "cameras.json", {name: rig(1, SIZE)[0]})
    before = sorted(scene.iterdir())
    assert draw(scene, "--png") == 2
    assert sorted(scene.iterdir()) == before
    told = capsys.readouterr().err
    assert f"cameras.json: camera {name!r} cannot name a file; rename it there" in " ".join(told.split())
    with pytest.raises(EpisodeError, match="cannot name a file"):
        loose_episode(scene, scene / "cameras.json", None, None)


def test_inspecting_the_codec_leaves_a_picture_and_its_numbers(tmp_path, capsys):
    out = tmp_path / "report"
    command = [
        "inspect-codec",
        "--sizes",
        "64",
        "--corruptions",
        "8bit",
        "noise:0.05",
        "--clips",
        "1",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    rows = json.loads((out / "codec_error.json").read_text())["rows"]
    assert [row["corruption"] for row in rows] == ["8bit", "noise:0.05"]
    assert (out / "codec_error.png").stat().st_size > 10_000
    assert "rank correlation" in capsys.readouterr().out


def test_the_overview_names_every_command_and_loads_no_torch():
    code = "import sys; from action_images.cli import main; main([]); assert 'torch' not in sys.modules"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(f"  {command} " in printed for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"usage: action-images {command}" in capsys.readouterr().out


def test_draw_says_in_how_many_frames_the_tool_lies_inside_and_what_may_be_wrong(scene, capsys):
    assert draw(scene) == 0
    assert "left: the tool is inside the picture in 12 of 12 frames" in capsys.readouterr().out
    content = json.loads((scene / "cameras.json").read_text())
    pose = torch.tensor(content["cameras"]["left"]["world_from_camera"])
    content["cameras"]["left"]["world_from_camera"] = torch.linalg.inv(pose).tolist()
    (scene / "cameras.json").write_text(json.dumps(content))
    assert draw(scene) == 0
    told = capsys.readouterr().out
    assert "left: the tool is inside the picture in 0 of 12 frames; the camera may be the inverse" in told


def test_draw_says_that_an_opening_is_likely_in_metres(scene, capsys):
    assert draw(scene) == 0
    assert "the gripper's opening moves" not in capsys.readouterr().out
    head, *rows = (scene / "path.csv").read_text().splitlines()
    place = head.split(",").index("opening")
    cells = [row.split(",") for row in rows]
    for number, row in enumerate(cells):
        row[place] = str(0.08 * number / (len(rows) - 1))
    (scene / "path.csv").write_text("\n".join([head, *map(",".join, cells)]))
    assert draw(scene) == 0
    assert "the gripper's opening moves between 0 and 0.08 alone" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["draw", "read"])
def test_pictures_of_another_size_than_the_calibrations_are_refused(scene, capsys, command):
    (scene / "other").mkdir()
    for name in ("left", "right"):
        write_video(scene / "other" / f"{name}.mp4", torch.zeros(12, 3, 48, 64, dtype=torch.uint8), 10)
    if command == "draw":
        assert draw(scene, "--over", f"{scene}/other") == 2
    else:
        videos = [f"{scene}/other/{name}.mp4" for name in ("left", "right")]
        rest = ["--cameras", f"{scene}/cameras.json", "--out", f"{scene}/read.csv"]
        assert main(["read", *videos, *rest]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "left.mp4: its pictures are 48 x 64 px, its camera is for 96 x 128" in told


def test_draw_reads_other_columns_by_a_declaration(scene, capsys):
    rows = np.loadtxt(scene / "path.csv", delimiter=",", skiprows=1)
    rows[:, :3] *= 1000
    np.savetxt(scene / "path.csv", rows, delimiter=",", header="X,Y,Z,a,b,c,w,grip", comments="")
    entry = {"columns": list(range(8)), "rotation": "quaternion_xyzw", "position_unit": "mm"}
    (scene / "columns.json").write_text(json.dumps({**entry, "closed": 0, "open": 1, "relative": False}))
    assert draw(scene) == 2
    assert draw(scene, "--columns", f"{scene}/columns.json") == 0
    assert "12 of 12 frames" in capsys.readouterr().out


def test_read_writes_the_columns_that_draw_and_against_read(scene, capsys):
    names = ["X", "Y", "Z", "a", "b", "c", "grip"]
    entry = {"columns": names, "rotation": "rotvec", "position_unit": "mm", "closed": 0, "open": 100}
    entry["relative"] = False  # the scene is small, and around the base's origin
    (scene / "columns.json").write_text(json.dumps(entry))
    declared = ["--columns", f"{scene}/columns.json"]
    assert draw(scene) == 0
    videos = [f"{scene}/out/{name}.mp4" for name in ("left", "right")]
    rest = ["--cameras", f"{scene}/cameras.json", "--out", f"{scene}/read.csv", "--max-std-mm", "5"]
    assert main(["read", *videos, *rest, *declared]) == 0
    rest = ["--cameras", f"{scene}/cameras.json", "--out", f"{scene}/again.csv", "--max-std-mm", "5"]
    capsys.readouterr()
    assert main(["read", *videos, *rest, *declared, "--against", f"{scene}/read.csv"]) == 0
    (told,) = (line for line in capsys.readouterr().out.splitlines() if "rotation, degrees" in line)
    assert float(told.split()[4]) < 0.01
    before = load_trajectory(scene / "path.csv")
    after = load_trajectory(scene / "read.csv", scene / "columns.json")
    assert before.world_from_tool.distance(after.world_from_tool)[0].median() < 1e-3


def test_a_scene_whose_videos_run_at_different_rates_is_refused_unless_one_is_given(scene, capsys):
    (scene / "scene").mkdir()
    for name, fps in (("left", 10), ("right", 20)):
        write_video(scene / "scene" / f"{name}.mp4", torch.full((12, 3, *SIZE), 90, dtype=torch.uint8), fps)
    assert draw(scene, "--over", f"{scene}/scene") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "right.mp4 runs at 20 frames/s" in said
    assert "left.mp4 at 10; if picture i of both is row i, give the rate of both with --fps" in said
    assert not (scene / "out").exists()
    assert draw(scene, "--over", f"{scene}/scene", "--fps", "10") == 0


def test_a_printed_command_can_be_typed_though_its_path_has_spaces(scene, capsys):
    spaced = scene / "my path.csv"
    (scene / "path.csv").rename(spaced)
    assert main(["info", str(spaced)]) == 0
    printed = capsys.readouterr().out.split("Next:\n")[1]
    assert shlex.split(printed)[:3] == ["action-images", "draw", str(spaced)]
