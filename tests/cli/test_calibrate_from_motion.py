"""`calibrate from_motion`, run as a user runs it: on pictures of a hand of bright dots before a still
ground."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_images.calibration.from_motion.apply import apply, redeclared
from action_images.calibration.from_motion.clicks import Click, counted_as_read
from action_images.calibration.from_motion.gather import Followable, gather
from action_images.calibration.from_motion.judge import CONVENTION, judge
from action_images.calibration.from_motion.pinhole import Pinhole
from action_images.calibration.from_motion.predicted import distance_px, tool_points
from action_images.calibration.from_motion.report import usable_cameras
from action_images.calibration.from_motion.search import calibrate_from_motion
from action_images.calibration.opencv import CalibrationError
from action_images.calibration.own_folder import FIXED
from action_images.cli import main
from action_images.episodes.cameras_file import load_cameras, save_cameras
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode, FramesInMemory, View
from action_images.episodes.picture_numbers import changes_of, numbers_of
from action_images.episodes.readers import Reader, Wanted, open_foreign
from action_images.geometry import Pose, Trajectory
from motion_scene import hand, paths, truth

SIZE = (160, 160)
CAMERAS = {"left": truth(SIZE, fov_deg=34), "right": truth(SIZE, azimuth=-0.6, fov_deg=34)}
POSES = paths(7, num_frames=48)
TOOL = {
    "feature": "observation.state",
    "columns": list(range(8)),
    "rotation": "quaternion_xyzw",
    "closed": 0.0,
    "open": 1.0,
    "ignore_names": True,
}


def video(camera: Pinhole, path: np.ndarray) -> torch.Tensor:
    """Frames (frame 3 h w): a dot (sigma 1.3 px) at each point of the hand, each as bright as it likes."""
    height, width = SIZE
    points = 1.6 * hand(30, seed=3)
    ground = np.kron(np.random.default_rng(0).uniform(30, 60, (8, 8)), np.ones((20, 20)))
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    frames = np.repeat(ground[None], len(path), axis=0)
    for number, point in enumerate(points):
        pixels, _ = camera.project(path[:, :3, :3] @ point + path[:, :3, 3])
        across, down = (
            np.exp(-((axis - pixels[:, place, None]) ** 2) / (2 * 1.3**2))
            for place, axis in enumerate((x, y))
        )
        frames += (50 + 6 * number) * down[:, :, None] * across[:, None]
    grey = torch.from_numpy(frames.clip(0, 255).round().astype(np.uint8))
    return grey[:, None].repeat(1, 3, 1, 1)


def write_set(folder: Path, poses: list[np.ndarray] = POSES) -> Path:
    """Episodes without cameras; their poses may be others than the pictures show."""
    with DatasetWriter(folder, 20.0) as writer:
        for number, (shown, said) in enumerate(zip(POSES[: len(poses)], poses, strict=True)):
            pose = Pose.from_matrix(torch.from_numpy(said).float())
            views = tuple(
                View(name, FramesInMemory(video(camera, shown)), None) for name, camera in CAMERAS.items()
            )
            path = Trajectory(pose, torch.ones(len(said)))
            writer.add(Episode(f"task/{number}", "move", 20.0, views, path))
    return folder


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("motion") / "set")


def miss_px(folder: Path, name: str) -> float:
    found = Pinhole.of(load_cameras(folder / "cameras.json")[name])
    return distance_px(found, CAMERAS[name], tool_points(POSES))


def test_cameras_are_found_written_and_shown_and_a_second_run_follows_nothing_again(
    demonstrations, tmp_path, capsys
):
    out = tmp_path / "out"
    command = ["calibrate", "from_motion", str(demonstrations), "--out", str(out), "--as-declared"]
    assert main([*command, "--workers", "0"]) == 0
    assert all(miss_px(out, name) < 1.0 for name in CAMERAS)
    assert json.loads((out / "cameras.json").read_text())["source"] == "from motion"
    told = json.loads((out / "report.json").read_text())
    left = told["views"]["left"]
    assert left["predicted"]["px"] > miss_px(out, "left")
    assert [episode["id"] for episode in left["episodes"]] == Dataset(demonstrations).ids
    page = (out / "from_motion.html").read_text()
    assert page.count("data:image/jpeg") >= 6
    assert "click once" in capsys.readouterr().out
    kept = {path: path.stat().st_mtime_ns for path in (out / "tracks").glob("*.npz")}
    assert len(kept) == 7
    assert main([*command, "--workers", "0"]) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in (out / "tracks").glob("*.npz")}


def test_the_cameras_of_a_board_are_neither_overwritten_nor_removed(demonstrations, tmp_path, capsys):
    file = tmp_path / "cameras.json"
    save_cameras(file, {"left": CAMERAS["left"].camera(SIZE)}, source=FIXED)
    before = file.read_bytes()
    assert main(["calibrate", "from_motion", str(demonstrations), "--out", str(tmp_path)]) == 2
    assert "give another --out" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert not (tmp_path / "report.json").exists()


def test_a_wrong_tool_frame_is_shown_by_one_click(demonstrations, tmp_path, capsys):
    pixel = CAMERAS["left"].project(POSES[0][5, :3, :3] @ [0, 0, -0.1] + POSES[0][5, :3, 3])[0]
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(f"episode,frame,view,x,y\ntask/0,5,left,{pixel[0]},{pixel[1]}\n")
    command = ["calibrate", "from_motion", str(demonstrations), "--out", str(tmp_path / "out")]
    main([*command, "--as-declared", "--workers", "0", "--views", "left", "--clicks", str(clicks)])
    assert "'tool_offset'" in capsys.readouterr().out


def test_clicks_count_the_frames_of_all_views_also_where_an_early_view_is_left_out(tmp_path, capsys):
    folder, early = write_set(tmp_path / "set"), 8
    camera = CAMERAS["right"].camera(SIZE)
    declared = {
        "intrinsics": camera.intrinsics.tolist(),
        "world_from_camera": camera.world_from_camera.matrix().tolist(),
        "shift": -early,
    }
    (folder / "calibration.json").write_text(json.dumps({"tool": TOOL, "views": {"right": declared}}))
    readers = {views: reader_of(folder, views) for views in ((), ("left",), ("left", "right"))}
    whole, alone = (readers[views].read("task/0").view("left").frames for views in ((), ("left",)))
    clicks = [Click("task/0", 5, "left", (1.0, 2.0))]
    named = [replace(clicks[0], picture=numbers_of(whole)[5], changes=changes_of(whole))]
    for those in (clicks, named):
        counted = {views: counted_as_read(those, folder, views, reader) for views, reader in readers.items()}
        assert torch.equal(whole.read([5]), alone.read([counted["left",][0].frame]))
        assert those == counted[()] == counted["left", "right"]
    row = 20
    pixel = CAMERAS["left"].project(POSES[0][row, :3, 3])[0]
    file = tmp_path / "clicks.csv"
    file.write_text(f"episode,frame,view,x,y\ntask/0,{row - early},left,{pixel[0]},{pixel[1]}\n")
    command = ["calibrate", "from_motion", str(folder), "--out", str(tmp_path / "out"), "--views", "left"]
    assert main([*command, "--as-declared", "--workers", "0", "--clicks", str(file)]) == 0
    assert "'tool_offset'" not in capsys.readouterr().out


def test_clicks_that_name_their_pictures_keep_them_when_the_set_is_declared_otherwise(tmp_path):
    folder = write_set(tmp_path / "set", POSES[:3])
    before = reader_of(folder, ()).read("task/0").view("left").frames
    click = Click("task/0", 20, "left", (30.0, 2.0), numbers_of(before)[20], changes_of(before))
    camera = CAMERAS["left"].camera(SIZE)
    entry = {
        "intrinsics": camera.intrinsics.tolist(),
        "world_from_camera": camera.world_from_camera.matrix().tolist(),
    }

    def declared(**more: object) -> Reader:
        content = {"tool": TOOL, "views": {"left": entry | more}}
        (folder / "calibration.json").write_text(json.dumps(content))
        return reader_of(folder, ())

    later = declared(shift=5, mirrored=True)
    (again,) = counted_as_read([click], folder, (), later)
    assert (again.frame, again.pixel) == (15, (SIZE[1] - 30.0, 2.0))
    shown = later.read("task/0").view("left").frames
    assert torch.equal(shown.read([15]).flip(-1), before.read([20]))
    assert counted_as_read([again], folder, (), declared()) == [click]
    with pytest.raises(CalibrationError, match=r"'left' in frame 20 of task/0: .*click again"):
        counted_as_read([click], folder, (), declared(distortion=[-0.2, 0, 0, 0]))
    with pytest.raises(CalibrationError, match="picture 20 of the video is not read now"):
        counted_as_read([click], folder, (), declared(shift=25))


def reader_of(folder: Path, views: tuple[str, ...]) -> Reader:
    return open_foreign(folder, "auto", Wanted(views))[1]


def test_what_was_declared_wrongly_is_declared_rightly_where_that_is_asked(tmp_path):
    folder = write_set(tmp_path / "set")
    tool = {**TOOL, "rotation": "quaternion_wxyz"}
    (folder / "calibration.json").write_text(json.dumps({"tool": tool}))
    gathered = gather(Followable(folder, ("left",)), tmp_path / "out", num_workers=0)
    result = calibrate_from_motion(gathered, conventions=["quaternion xyzw"])
    assert redeclared(folder, result.convention) == "quaternion_xyzw"
    findings = judge(result)
    assert usable_cameras(result, findings) == {}
    apply(folder, result, usable_cameras(result, findings, declared=[CONVENTION]))
    written = json.loads((folder / "calibration.json").read_text())
    assert written["tool"] == TOOL
    assert list(written["views"]) == ["left"]
    out = tmp_path / "imported"
    assert main(["import", str(folder), "--views", "left", "--out", str(out), "--workers", "0"]) == 0
    found = Pinhole.of(Dataset(out)[0].view("left").camera)
    assert distance_px(found, CAMERAS["left"], tool_points(POSES)) < 1.0


@pytest.mark.parametrize("declared", [{"shift": 5}, {"mirrored": True}, {"distortion": [-0.2, 0, 0, 0]}])
def test_tracks_of_pictures_that_are_now_declared_otherwise_are_made_anew(tmp_path, declared):
    folder = write_set(tmp_path / "set", POSES[:3])
    camera = CAMERAS["left"].camera(SIZE)
    entry = {
        "intrinsics": camera.intrinsics.tolist(),
        "world_from_camera": camera.world_from_camera.matrix().tolist(),
    }
    asked, out = Followable(folder, ("left",)), tmp_path / "out"
    first = None
    for extra in ({}, declared):
        content = {"tool": TOOL, "views": {"left": entry | extra}}
        (folder / "calibration.json").write_text(json.dumps(content))
        again = gather(asked, out, num_workers=0).episodes[0]
        fresh = gather(asked, tmp_path / f"fresh{len(extra)}", num_workers=0).episodes[0]
        assert len(again.poses) == 48 - extra.get("shift", 0)
        pixels, expected = (one.followed["left"].tracks[0].pixels for one in (again, fresh))
        assert np.array_equal(pixels, expected)
        assert again.shown != first
        first = again.shown


def test_a_set_of_ours_has_no_calibration_json_to_write_into(demonstrations, tmp_path, capsys):
    command = ["calibrate", "from_motion", str(demonstrations), "--out", str(tmp_path / "out"), "--apply"]
    assert main(command) == 2
    assert "give cameras.json when you import this set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("episode,frame,x,y\ntask/0,1,2,3\n", "episode,frame,view,x,y"),
        ("episode,frame,view,x,y\ntask/0,one,left,2,3\n", "row 1"),
        ("episode,frame,view,x,y,picture,changes\ntask/0,1,left,2,3,,as stored\n", "row 1"),
        ("episode,frame,view,x,y\nelsewhere,1,left,2,3\n", "no episode 'elsewhere'"),
    ],
)
def test_clicks_that_are_none_are_refused(demonstrations, tmp_path, capsys, rows, said):
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(rows)
    command = ["calibrate", "from_motion", str(demonstrations), "--out", str(tmp_path / "out")]
    assert main([*command, "--clicks", str(clicks), "--workers", "0"]) == 2
    assert said in capsys.readouterr().err


def test_rough_cameras_of_another_size_and_views_that_do_not_exist_are_refused(
    demonstrations, tmp_path, capsys
):
    left, clicks = CAMERAS["left"], tmp_path / "clicks.csv"
    clicks.write_text("episode,frame,view,x,y\ntask/0,1,lefft,2,3\n")
    files = {
        "large": {"left": left.camera((200, 200))},
        "typo": {"lefft": left.camera(SIZE)},
        "one": {"left": left.camera(SIZE)},
    }
    for name, cameras in files.items():
        save_cameras(tmp_path / f"{name}.json", cameras)
    command = ["calibrate", "from_motion", str(demonstrations), "--out", str(tmp_path / "out")]
    for options, said in (
        (["--rough", "large.json"], "its pictures are 160 x 160 px, its camera is for 200 x 200"),
        (["--rough", "typo.json"], "there is no view 'lefft'; the set has left, right"),
        (["--rough", "typo.json", "--views", "left"], "there is no view 'lefft'; the set has left, right"),
        (["--rough", "one.json", "--keep-focal"], "has no camera 'right'"),
        (["--clicks", "clicks.csv"], "clicks.csv: there is no view 'lefft'"),
    ):
        option, file, *others = options
        given = [option, str(tmp_path / file), *others]
        assert main([*command, *given, "--episodes", "3", "--workers", "0"]) == 2
        assert said in capsys.readouterr().err


def test_options_that_contradict_one_another_are_refused(demonstrations, tmp_path, capsys):
    command = ["calibrate", "from_motion", str(demonstrations), "--out", str(tmp_path / "out")]
    lens = ["--same-lens", "--focal", "100"]
    aspect = ["--aspect", "0.9", "--rough", "rough.json"]
    for options in (["--focal", "-1"], ["--keep-focal"], lens, aspect, ["--aspect", "0"]):
        assert main([*command, *options]) == 2
        assert options[0] in capsys.readouterr().err
