"""Each foreign layout, written byte for byte, is read into our conventions: the tool projects where it was
drawn.
"""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import foreign
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from action_images.episodes.checks.check import check_dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.pictures import read_picture
from action_images.episodes.readers import droid_tables, open_foreign
from action_images.episodes.video import read_video, write_video
from action_images.geometry.rotation import from_euler_xyz
from recorded import assert_tool_is_where_it_was_drawn, blob_centre


def read_only_episode(root, format="auto", expected=None):
    name, reader = open_foreign(root, format)
    assert name == (expected or format)
    episode = reader.read(reader.ids[0])
    return episode.check()


def assert_path(episode, stride: int = 1):
    """The trajectory is scipy's, in metres, rotations and 1 = open."""
    position, rotation, opening = foreign.tool_path(
        4 * (foreign.FRAMES - 1) + 2 if stride == 4 else foreign.FRAMES
    )
    pose = episode.trajectory.world_from_tool
    assert np.allclose(pose.translation, position[::stride], atol=1e-6)
    assert np.allclose(pose.rotation, rotation.as_matrix()[::stride], atol=1e-5)
    assert np.allclose(episode.trajectory.opening, opening[::stride], atol=1e-6)
    assert opening[0] == 1
    assert opening[-1] == 0


def test_rlbench_as_generated(tmp_path):
    _, reader = open_foreign(foreign.write_rlbench(tmp_path))
    assert reader.ids == [f"close_jar/variation3/episode{i}" for i in (0, 2, 10)]
    episode = read_only_episode(tmp_path, expected="rlbench")
    assert_path(episode)
    assert_tool_is_where_it_was_drawn(episode, 0.3)
    assert episode.instruction == "close the red jar"
    assert episode.fps == 20
    assert {view.name: view.camera.batch_shape for view in episode.views} == {
        "front": (),
        "wrist": (foreign.FRAMES,),
    }
    assert (episode.views[0].camera.intrinsics.diagonal()[:2] > 0).all()


@pytest.mark.parametrize("all_steps", [False, True])
def test_the_releases_rlbench_set_at_stride_four(tmp_path, all_steps):
    episode = read_only_episode(
        foreign.write_action_images_rlbench(tmp_path, all_steps=all_steps), expected="action-images-rlbench"
    )
    assert episode.id == "open_box/variation0/episode4"
    assert episode.fps == 5
    assert_path(episode, stride=4)
    assert_tool_is_where_it_was_drawn(episode)
    assert episode.instruction == "open the box"


def test_droid_raw(tmp_path):
    episode = read_only_episode(foreign.write_droid(tmp_path), expected="droid")
    assert_path(episode)
    assert_tool_is_where_it_was_drawn(episode)
    assert {view.name: view.camera.batch_shape for view in episode.views} == {
        "ext1": (),
        "ext2": (),
        "wrist": (foreign.FRAMES,),
    }
    assert episode.instruction == "Put the pen in the cup"
    assert episode.fps == 15


def test_droid_without_its_tables_is_video_with_a_path(tmp_path):
    foreign.write_droid(tmp_path)
    for table in tmp_path.glob("*.json"):
        table.unlink()
    episode = read_only_episode(tmp_path, expected="droid")
    assert all(view.camera is None for view in episode.views)
    assert_path(episode)
    assert episode.instruction == "Move object"


def test_droids_busy_ranges_become_episodes(tmp_path):
    _, reader = open_foreign(foreign.write_droid(tmp_path, keep=[[1, 4], [5, 9]]))
    assert [name.rpartition("/")[2] for name in reader.ids] == ["keep0", "keep1"]
    first, second = (reader.read(name).check() for name in reader.ids)
    assert (first.num_frames, second.num_frames) == (3, 4)
    for part in (first, second):
        assert_tool_is_where_it_was_drawn(part)
    position, _, _ = foreign.tool_path()
    assert np.allclose(second.trajectory.world_from_tool.translation, position[5:9], atol=1e-6)


@pytest.mark.parametrize("keep", [[[5, 99]], [[4, 4]]])
def test_a_busy_range_outside_of_the_recording_is_refused(tmp_path, keep):
    _, reader = open_foreign(foreign.write_droid(tmp_path, keep=keep))
    with pytest.raises(EpisodeError, match="busy range"):
        reader.read(reader.ids[0])


def test_recordings_without_a_busy_range_and_tables_that_are_not_read_are_told(tmp_path):
    _, reader = open_foreign(foreign.write_droid(tmp_path, keep=[[1, 4]]))
    assert not any("keep_ranges" in remark and "recordings" in remark for remark in reader.remarks)
    (table,) = tmp_path.glob("keep_ranges*.json")
    (folder,) = (path.parent for path in tmp_path.rglob("trajectory.h5"))
    shutil.copytree(folder, folder.parent / "another")
    _, reader = open_foreign(tmp_path)
    assert f"1 of 2 recordings are not in {table.name}; they come in whole" in reader.remarks
    (key,) = json.loads(table.read_text())
    table.write_text(json.dumps({key: []}))
    (tmp_path / "aggregated-annotations-040724.json").write_text("{}")
    _, reader = open_foreign(tmp_path)
    assert len(reader.ids) == 1
    said = " ".join(reader.remarks)
    assert f"1 recordings have no busy range in {table.name}; they are left out (the first: " in said
    assert "aggregated-annotations-040724.json is not read, " in said
    assert "another set's" not in said
    (tmp_path / "intrinsics.json").write_text(json.dumps({"another": {}}))
    remarks = open_foreign(tmp_path)[1].remarks
    assert "intrinsics.json has none of the 1 recordings; is it another set's?" in remarks


def test_droid_processed_has_a_path_only_with_a_real_gripper(tmp_path):
    episode = read_only_episode(
        foreign.write_droid_processed(tmp_path / "a", gripper=True), expected="droid-processed"
    )
    assert_path(episode)
    assert_tool_is_where_it_was_drawn(episode)
    assert episode.instruction == "Put the pen in the cup"
    bare = read_only_episode(
        foreign.write_droid_processed(tmp_path / "b", gripper=False), expected="droid-processed"
    )
    assert bare.trajectory is None
    assert all(view.camera is not None for view in bare.views)


def test_a_folder_is_the_same_by_whatever_path_it_is_given(tmp_path, monkeypatch):
    """From inside an episode's own folder too: its name is its id, and the tables lie beside it."""
    root = foreign.write_droid_processed(tmp_path / "set", gripper=True)
    (folder,) = (path for path in root.iterdir() if path.is_dir())
    for place, given in ((folder, "."), (folder / "video", ".."), (root, folder.name)):
        monkeypatch.chdir(place)
        _, reader = open_foreign(Path(given))
        assert reader.ids == [folder.name]
        assert_tool_is_where_it_was_drawn(reader.read(folder.name).check())


def test_bridge_raw_is_video_without_cameras(tmp_path):
    episode = read_only_episode(foreign.write_bridge(tmp_path), expected="bridge")
    assert_path(episode)
    assert [view.name for view in episode.views] == ["images0", "images1"]
    assert all(view.camera is None for view in episode.views)
    assert episode.instruction == "put the spoon in the pot"
    expected = torch.stack([torch.linspace(10, 50, foreign.FRAMES), torch.full((foreign.FRAMES,), 20.0)], -1)
    found = blob_centre(episode.views[0].frames.read(range(foreign.FRAMES)))
    assert (found - expected).norm(dim=-1).max() < 0.5


def test_bridge_processed_has_estimated_cameras_and_no_path(tmp_path):
    episode = read_only_episode(foreign.write_bridge_processed(tmp_path), expected="bridge-processed")
    assert episode.trajectory is None
    for view in episode.views:
        pixels, depth = view.camera.project(torch.from_numpy(foreign.BRIDGE_POINT).float())
        assert depth > 0
        assert (blob_centre(view.frames.read([4]))[0] - pixels).norm() < 0.4


def write_lerobot(root, size=(48, 64), dtype="video"):
    """A v3 set of another writer: two episodes of 9 frames in one file each for data and video, joints
    beside the pose.
    """
    position, rotation, opening = foreign.tool_path()
    pose = foreign.looking((0.8, 0.1, 0.7))
    matrix = np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])
    frames = foreign.draw(foreign.pinhole_pixels(matrix, np.linalg.inv(pose), position), size)
    both = torch.cat([frames, frames.flip(0)])
    state = np.concatenate(
        [np.full((9, 2), 7.0), position, rotation.as_euler("xyz"), 0.04 * opening[:, None]], -1
    )
    states = np.concatenate([state, state[::-1]]).astype(np.float32)
    key = "observation.images.top"
    columns = {
        "observation.state": list(states),
        "episode_index": [0] * 9 + [1] * 9,
        "frame_index": [*range(9)] * 2,
        "index": range(18),
    }
    if dtype == "video":
        (root / f"videos/{key}/chunk-000").mkdir(parents=True)
        write_video(root / f"videos/{key}/chunk-000/file-000.mp4", both, 10)
    else:
        foreign.write_pngs(root / "pictures", both)
        columns[key] = [{"bytes": (root / f"pictures/{i}.png").read_bytes(), "path": None} for i in range(18)]
        shutil.rmtree(root / "pictures")
    (root / "data/chunk-000").mkdir(parents=True)
    pq.write_table(pa.table(columns), root / "data/chunk-000/file-000.parquet")
    rows = []
    for i in range(2):
        row = {
            "episode_index": i,
            "tasks": ["stack"],
            "length": 9,
            "data/chunk_index": 0,
            "data/file_index": 0,
        }
        if dtype == "video":
            row |= {
                f"videos/{key}/chunk_index": 0,
                f"videos/{key}/file_index": 0,
                f"videos/{key}/from_timestamp": 0.9 * i,
            }
        rows.append(row)
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    features = {
        key: {"dtype": dtype, "shape": [*size, 3], "names": None},
        "observation.state": {"dtype": "float32", "shape": [9], "names": None},
    }
    info = {"codebase_version": "v3.0", "fps": 10, "features": features, "total_episodes": 2}
    info |= {"data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"}
    info |= {"video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"}
    (root / "meta/info.json").write_text(json.dumps(info))
    calibration = {"views": {"top": {"intrinsics": matrix.tolist(), "world_from_camera": pose.tolist()}}}
    return calibration | {
        "tool": {
            "feature": "observation.state",
            "columns": [2, 3, 4, 5, 6, 7, 8],
            "closed": 0.0,
            "open": 0.04,
        }
    }


@pytest.mark.parametrize("dtype", ["video", "image"])
def test_a_foreign_lerobot_set_opens_as_video_and_with_a_calibration_as_more(tmp_path, dtype):
    calibration = write_lerobot(tmp_path, dtype=dtype)
    bare = read_only_episode(tmp_path, expected="lerobot")
    assert (bare.id, bare.instruction, bare.fps, bare.num_frames) == ("episode_000000", "stack", 10, 9)
    assert bare.trajectory is None
    assert bare.views[0].camera is None
    (tmp_path / "calibration.json").write_text(json.dumps(calibration))
    _, reader = open_foreign(tmp_path)
    assert_path(reader.read("episode_000000"))
    for name in reader.ids:
        assert_tool_is_where_it_was_drawn(reader.read(name).check())


def test_a_shared_video_of_another_rate_is_refused_where_episodes_are_cut_out_of_it(tmp_path):
    write_lerobot(tmp_path)
    _, reader = open_foreign(tmp_path)
    assert [reader.read(name).views[0].frames.fps for name in reader.ids] == [10, 10]
    path = next(tmp_path.rglob("*.mp4"))
    write_video(path, read_video(path), 12)
    verdict = check_dataset(tmp_path, 0)
    assert [
        finding.episode
        for finding in verdict.findings
        if "file-000.mp4 runs at 12 frames/s, the data set at 10" in finding.message
    ] == [
        "episode_000000",
        "episode_000001",
    ]
    with pytest.raises(
        EpisodeError,
        match=r"episode_000001: .*so where the episode begins in it is not known; encode it again",
    ):
        open_foreign(tmp_path)[1].read("episode_000001")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["views"].update(side={}), "calibrates .*side"),
        (lambda c: c["views"]["top"].pop("intrinsics"), "top needs 'intrinsics'"),
        (
            lambda c: c["views"]["top"].update(intrinsics=[[-1, 0, 0], [0, -1, 0], [0, 0, 1]]),
            "negative focal length",
        ),
        (lambda c: c["tool"].pop("open"), "'open' is None; give what the gripper reads"),
        (lambda c: c["tool"].update(feature="nope"), "has no feature 'nope'"),
        (
            lambda c: c["tool"].update(columns=[0, 1, 2, 3, 4, 5, 99]),
            "99.* are named, the feature has 0 to 8",
        ),
        (lambda c: c["tool"].update(open=0.0), "reads 0 both closed and open; give two readings"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(tmp_path, change, message):
    calibration = write_lerobot(tmp_path)
    change(calibration)
    (tmp_path / "calibration.json").write_text(json.dumps(calibration))
    with pytest.raises(ValueError, match=message):
        open_foreign(tmp_path)[1].read("episode_000000")


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BROKEN = {
    "a video cut short": (
        "action-images-rlbench",
        "view0/rgb/video.mp4",
        cut_short,
        "is not a readable video",
    ),
    "a missing video": (
        "action-images-rlbench",
        "view1/rgb/video.mp4",
        lambda p: p.unlink(),
        "no such video",
    ),
    "a missing camera": (
        "action-images-rlbench",
        "view1/camera_params.json",
        lambda p: p.unlink(),
        "is missing",
    ),
    "other counts": (
        "action-images-rlbench",
        "actions.npy",
        lambda p: np.save(p, np.load(p)[:9]),
        "actions.npy 3, view0 9|has 9 entries",
    ),
    "not a number": (
        "action-images-rlbench",
        "actions.npy",
        lambda p: np.save(p, np.load(p) * np.nan),
        "not finite",
    ),
    "an array of objects": (
        "action-images-rlbench",
        "actions.npy",
        lambda p: np.save(p, np.array([{}], object)),
        "not a readable array",
    ),
    "cameras of another kind": (
        "action-images-rlbench",
        "view0/camera_params.json",
        lambda p: p.write_text(p.read_text().replace("-43.2", "43.2")),
        "RLBench intrinsics have negative",
    ),
    "a missing picture": (
        "rlbench",
        "episode0/front_rgb/3.png",
        lambda p: p.unlink(),
        "not numbered|differ in length",
    ),
    "a broken picture": ("rlbench", "episode0/front_rgb/0.png", cut_short, "not a readable picture|is not"),
    "a picture of another size": (
        "rlbench",
        "episode0/front_rgb/2.png",
        lambda p: p.write_bytes((p.parent.parent / "x.png").read_bytes()),
        "the first frame",
    ),
    "a broken pickle": ("rlbench", "episode0/low_dim_obs.pkl", cut_short, "not a pickle that can be trusted"),
    "no observations": (
        "rlbench",
        "episode0/low_dim_obs.pkl",
        lambda p: p.write_bytes(pickle.dumps([])),
        "holds no observations",
    ),
    "a broken h5": ("droid", "trajectory.h5", cut_short, "not a readable HDF5"),
    "two descriptions": ("droid", "metadata_x.json", lambda p: p.write_text("{}"), "2 files metadata_"),
    "a wrong calibration": (
        "bridge-processed",
        "extrinsic.npy",
        lambda p: np.save(p, np.zeros((1, 3, 4))),
        "2 videos, 2 intrinsics and 1",
    ),
    "commands of another length": (
        "bridge",
        "policy_out.pkl",
        lambda p: p.write_bytes(pickle.dumps([1])),
        "1 commands for 9 frames",
    ),
    "a picture too few": ("bridge", "images1/im_8.jpg", lambda p: p.unlink(), "differ in length"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_refused_with_one_clear_error(tmp_path, case):
    format, name, damage, message = BROKEN[case]
    foreign.WRITERS[format](tmp_path)
    if case == "a picture of another size":
        foreign.write_pngs(tmp_path / "other", torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
        shutil.move(tmp_path / "other/0.png", tmp_path / "close_jar/variation3/episodes/episode0/x.png")
    if case == "two descriptions":
        (path,) = tmp_path.rglob("metadata_*.json")
        path = path.with_name(name)
    else:
        (path,) = (found for found in tmp_path.rglob(name.rpartition("/")[2]) if str(found).endswith(name))
    damage(path)
    _, reader = open_foreign(tmp_path, format)
    with pytest.raises(ValueError, match=message):  # noqa: PT012 the frames are read last
        episode = reader.read(reader.ids[0]).check()
        for view in episode.views:
            view.frames.read(range(episode.num_frames))


def test_unknown_and_empty_folders_say_so(tmp_path):
    with pytest.raises(EpisodeError, match="no such folder"):
        open_foreign(tmp_path / "absent")
    with pytest.raises(EpisodeError, match="none of lerobot, action-images-rlbench, rlbench"):
        open_foreign(tmp_path)
    with pytest.raises(EpisodeError, match="not 'droid'"):
        open_foreign(tmp_path, "droid")
    with pytest.raises(EpisodeError, match="no format 'zarr'; there are: auto, lerobot"):
        open_foreign(tmp_path, "zarr")


def lists_of_one(num: int, depth: int) -> list:
    """Lists that hold the same list so many times: num^depth numbers in a file of num x depth references."""
    inner = 1.0
    for _ in range(depth):
        inner = [inner] * num
    return inner


def of_itself() -> list:
    content = []
    content += [content] * 3
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lists_of_one(3000, 3), "more than 256 MB of numbers"),
        (lists_of_one(4, 30), "should be numbers"),
        (of_itself(), "should be numbers"),
    ],
)
def test_lists_that_are_short_in_a_pickle_and_long_in_memory_are_refused(tmp_path, content, message):
    source = foreign.write_bridge(tmp_path)
    path = next(source.rglob("obs_dict.pkl"))
    path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | {"eef_transform": content}))
    assert path.stat().st_size < 100_000
    _, reader = open_foreign(source)
    with pytest.raises(EpisodeError, match=f"eef_transform: .*{message}"):
        reader.read(reader.ids[0])


def test_an_observation_that_a_pickle_holds_millions_of_times_is_refused(tmp_path):
    source = foreign.write_rlbench(tmp_path)
    (source / "close_jar/variation3/episodes/episode0/low_dim_obs.pkl").write_bytes(
        pickle.dumps([{}] * 300_000)
    )
    _, reader = open_foreign(source)
    with pytest.raises(EpisodeError, match="holds 300000 observations, beyond the 200000 that are read"):
        reader.read(reader.ids[0])


def test_an_npz_entry_that_unpacks_to_any_size_is_refused_by_what_it_claims(tmp_path):
    source = foreign.write_droid_processed(tmp_path, gripper=True)
    path = next(source.rglob("action.npz"))
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("action.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (20_000_000, 6)}
        )
        file.write(bytes(1 << 20))
    _, reader = open_foreign(source)
    with pytest.raises(
        EpisodeError, match=r"action\.npz: its 'action' claims \(20000000, 6\) numbers, more than 256 MB"
    ):
        reader.read(reader.ids[0])


def test_links_out_of_an_h5_file_are_not_followed(tmp_path):
    foreign.write_droid(tmp_path)
    (path,) = tmp_path.rglob("trajectory.h5")
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["numbers"] = np.zeros((9, 6))
    for link in (
        h5py.ExternalLink(str(tmp_path / "secret.h5"), "numbers"),
        h5py.SoftLink("/observation/robot_state/gripper_position"),
    ):
        with h5py.File(path, "a") as file:
            del file["observation/robot_state/cartesian_position"]
            file["observation/robot_state/cartesian_position"] = link
        _, reader = open_foreign(tmp_path)
        with pytest.raises(EpisodeError, match="is a link to somewhere else"):
            reader.read(reader.ids[0])


def test_a_folder_name_never_becomes_a_path_out_of_the_data_set(tmp_path):
    foreign.write_bridge_processed(tmp_path / "set")
    (tmp_path / "set/000123").rename(tmp_path / "set/..odd name; rm -rf")
    _, reader = open_foreign(tmp_path / "set")
    (episode_id,) = reader.ids
    assert episode_id.startswith("_.odd_name__rm_-rf-")
    assert reader.former_ids == {episode_id: "_.odd_name__rm_-rf"}
    assert reader.read(reader.ids[0]).check().num_frames == foreign.FRAMES


def test_euler_angles_are_those_that_droid_means():
    """Extrinsic xyz, as scipy's lower-case 'xyz': checked on a path with all three turning."""
    angles = np.array([[0.3, -0.7, 1.1]])
    assert np.allclose(
        from_euler_xyz(torch.from_numpy(angles)), Rotation.from_euler("xyz", angles).as_matrix()
    )


def test_pictures_have_the_colours_that_other_readers_see(tmp_path):
    colours = (
        torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8).repeat_interleave(16, 1).repeat_interleave(16, 2)
    )
    for name, tolerance in (("a.png", 0), ("a.jpg", 4)):
        Image.fromarray(colours.movedim(0, -1).contiguous().numpy()).save(
            tmp_path / name, quality=95, subsampling=0
        )
        reference = torch.from_numpy(np.array(Image.open(tmp_path / name).convert("RGB"))).movedim(-1, 0)
        assert (read_picture(tmp_path / name).int() - reference.int()).abs().max() <= tolerance


def resize(root, size):
    for path in root.rglob("*.png"):
        Image.open(path).resize(size).save(path)


def test_rlbench_pictures_that_were_resized_have_their_camera_scaled_and_cropped_ones_are_refused(tmp_path):
    resize(foreign.write_rlbench(tmp_path), (96, 96))
    reader = open_foreign(tmp_path)[1]
    episode = reader.read(reader.ids[0]).check()
    assert_tool_is_where_it_was_drawn(episode, 0.6)
    assert "its pictures are (96, 96) px, its camera was for (48, 48)" in episode.notes[0]
    resize(tmp_path, (96, 48))
    with pytest.raises(EpisodeError, match="they were cropped"):
        reader.read(reader.ids[0])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_note_that_a_picture_is_turned_is_followed_as_viewers_do(tmp_path, orientation):
    folder = foreign.write_bridge(tmp_path)
    stored = {1: None, 3: Image.ROTATE_180, 6: Image.ROTATE_90, 8: Image.ROTATE_270}[orientation]
    right = open_foreign(folder)[1]
    shown = right.read(right.ids[0]).views[0].frames.read([2]).float()
    for path in folder.rglob("im_*.jpg"):
        picture = Image.open(path)
        picture = picture if stored is None else picture.transpose(stored)
        note = Image.Exif()
        note[0x112] = orientation
        picture.save(path, exif=note, quality=95)
    frames = open_foreign(folder)[1].read(right.ids[0]).views[0].frames
    assert (frames.read([2]).float() - shown).abs().mean() < 4
    assert bool(frames.notes) == (orientation != 1)


def test_grippers_and_angles_in_other_units_are_refused_not_clamped(tmp_path):
    foreign.write_droid(tmp_path)
    (path,) = tmp_path.rglob("trajectory.h5")
    reader = open_foreign(tmp_path)[1]
    with h5py.File(path, "a") as file:
        file["observation/robot_state/gripper_position"][:] *= 85
    with pytest.raises(EpisodeError, match="gripper reads 0 to 85"):
        reader.read(reader.ids[0])
    with h5py.File(path, "a") as file:
        file["observation/robot_state/gripper_position"][:] /= 85
        file["observation/robot_state/cartesian_position"][:, 3:] *= 57.3
    with pytest.raises(EpisodeError, match="DROID's are in rad"):
        reader.read(reader.ids[0])


def test_recordings_of_failures_are_counted_and_intrinsics_in_another_order_refused(tmp_path):
    foreign.write_droid(tmp_path)
    shutil.copytree(tmp_path / "AUTOLab/success", tmp_path / "AUTOLab/failure")
    reader = open_foreign(tmp_path)[1]
    assert any("1 recordings lie in folders named 'failure'" in told for told in reader.remarks)
    table = tmp_path / "intrinsics.json"
    numbers = json.loads(table.read_text())[foreign.DROID_UUID]
    other = {serial: [fx, fy, cx, cy] for serial, (fx, cx, fy, cy) in numbers.items()}
    table.write_text(json.dumps({foreign.DROID_UUID: other}))
    with pytest.raises(EpisodeError, match="the order is fx, cx, fy, cy"):
        open_foreign(tmp_path)[1].read(reader.ids[0])


def test_droids_intrinsics_may_be_for_squeezed_pictures():
    still = droid_tables.pose(torch.zeros(6))
    camera = droid_tables.pinhole([1200, 640, 900, 360], still, (240, 320))
    assert camera.intrinsics.tolist() == [[300, 0, 160], [0, 300, 120], [0, 0, 1]]
    with pytest.raises(EpisodeError, match="focal lengths 1200 and 900 px differ"):
        droid_tables.pinhole([1200, 640, 900, 360], still, (180, 320))
