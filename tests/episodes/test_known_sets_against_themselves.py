"""What the files of RLDS, DROID, Bridge and RLBench say against each other is told or refused."""

import json
import pickle

import foreign
import h5py
import numpy as np
import pytest
import test_rlds

from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.importing import Job, import_episodes
from action_images.episodes.readers import Wanted, open_foreign

FRAMES = foreign.FRAMES


def first(root) -> Episode:
    """The first episode of a source."""
    _, reader = open_foreign(root)
    return reader.read(reader.ids[0]).check()


def rlds(root, **changes):
    """A set of one record whose features under `steps/` are changed."""
    features = test_rlds.droid_features()
    for name, change in changes.items():
        key = "steps/" + name.replace("__", "/")
        features[key] = change(features.get(key))
    test_rlds.write_records(root / "droid-train.tfrecord-00000-of-00001", [test_rlds.serialised(features)])
    return root


def at(step: int) -> list[int]:
    return [int(one == step) for one in range(FRAMES)]


def test_steps_behind_the_last_one_of_a_record_are_refused(tmp_path):
    with pytest.raises(EpisodeError, match=r"'steps/is_last' is set at step 4, and 4 steps follow; write"):
        first(rlds(tmp_path, is_last=lambda _: at(4)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"is_first": lambda _: [0] * FRAMES}, ["no step is marked as its first; was the record cut?"]),
        ({"is_last": lambda _: [0] * FRAMES}, ["no step is marked as its last; was the record cut?"]),
        ({"is_last": lambda _: at(FRAMES - 1)}, []),
    ],
)
def test_a_record_without_a_first_or_last_step_says_so(tmp_path, changes, told):
    assert list(first(rlds(tmp_path, **changes)).notes) == told


@pytest.mark.parametrize(("step", "told"), [(4, True), (FRAMES - 1, False)])
def test_a_record_that_ends_before_its_last_step_says_so(tmp_path, step, told):
    notes = first(rlds(tmp_path, is_terminal=lambda _: at(step))).notes
    said = "'steps/is_terminal' is set before the last step; does its record go on after the end, or"
    assert [note.startswith(said) for note in notes] == [True] * told


@pytest.mark.parametrize(
    ("gone", "why"),
    [
        (range(1), "some of its steps have no picture"),
        (range(3, 4), "some of its steps have no picture"),
        (range(FRAMES), "none of its steps has a picture"),
    ],
)
def test_a_view_without_pictures_in_some_steps_is_left_out_and_named(tmp_path, gone, why):
    def without(pictures):
        return [b"" if step in gone else picture for step, picture in enumerate(pictures)]

    episode = first(rlds(tmp_path, observation__wrist_image_left=without))
    assert [view.name for view in episode.views] == ["exterior_image_1_left"]
    assert f"feature 'steps/observation/wrist_image_left': {why}; it is left out" in episode.notes


@pytest.mark.parametrize(
    ("feature", "words", "told"),
    [
        ("observation__natural_language_instruction", b"open the drawer", True),
        ("observation__natural_language_instruction", b"Wipe the table", False),
        ("observation__language_instruction", b"", False),
        ("language_instruction_2", b"clean it", False),
    ],
)
def test_words_that_another_feature_contradicts_are_told(tmp_path, feature, words, told):
    episode = first(rlds(tmp_path, **{feature: lambda _: [words] * FRAMES}))
    assert episode.instruction == "wipe the table"
    said = f"feature 'steps/{feature.replace('__', '/')}' holds other words than 'steps/language_instruction'"
    assert any(note.startswith(said) for note in episode.notes) == told


def test_intrinsics_of_droid_in_another_order_are_refused_in_the_releases_form_too(tmp_path):
    root = foreign.write_droid_processed(tmp_path, gripper=True)
    path = next(root.rglob("camera.json"))
    cameras = json.loads(path.read_text())
    for entry in cameras.values():
        fx, cx, fy, cy = entry["intrinsics"]
        entry["intrinsics"] = [fx, fy, cx, cy]
    path.write_text(json.dumps(cameras))
    with pytest.raises(EpisodeError, match=r"focal lengths .* differ; the order is fx, cx, fy, cy"):
        first(root)


def test_squeezed_videos_of_the_releases_form_keep_their_intrinsics(tmp_path):
    assert first(foreign.write_droid_processed(tmp_path, gripper=True, size=(90, 90))).views[0].camera


def droid(root, periods) -> Episode:
    """A recording whose cameras took their pictures after so many periods of 15 Hz."""
    foreign.write_droid(root)
    with h5py.File(next(root.rglob("trajectory.h5")), "r+") as file:
        for serial in foreign.DROID_SERIALS.values():
            times = 1.69e12 + np.array(periods) * 1000 / 15
            file[f"observation/timestamp/cameras/{serial}_estimated_capture"] = times
    return first(root)


def test_rows_of_droid_that_are_far_apart_are_told(tmp_path):
    assert droid(tmp_path / "even", np.arange(FRAMES) + 0.3 * (np.arange(FRAMES) % 2)).notes == ()
    (note,) = droid(tmp_path / "gap", np.arange(FRAMES) + 5 * (np.arange(FRAMES) > 4)).notes
    assert note.startswith("by the camera's times rows are missing in places (two are more than 2 frames")
    (note,) = droid(tmp_path / "slow", 1.5 * np.arange(FRAMES)).notes
    assert note.startswith("by the camera's times its rows follow each other at another rate than 15 a")


def test_rows_of_droid_whose_times_run_backwards_are_told_by_the_clock(tmp_path):
    moved = [0, 1, 2, 5, 4, 3, 6, 7, 8]
    (note,) = droid(tmp_path / "cameras", moved).notes
    assert note.startswith("by the camera's times its rows run backwards in places; they come in as they lie")

    def with_steps(root, periods):
        root = foreign.write_droid(root)
        with h5py.File(next(root.rglob("trajectory.h5")), "r+") as file:
            file["observation/timestamp/control/step_start"] = 1.69e12 + np.array(periods) * 1000 / 15
        return first(root).notes

    (note,) = with_steps(tmp_path / "steps", moved)
    assert note.startswith("by the control steps' times its rows run backwards in places")
    assert with_steps(tmp_path / "even", np.arange(FRAMES)) == ()


def test_times_of_another_camera_and_of_the_steps_are_compared_too(tmp_path):
    root = foreign.write_droid(tmp_path)
    even = 1.69e12 + np.arange(FRAMES) * 1000 / 15
    with h5py.File(next(root.rglob("trajectory.h5")), "r+") as file:
        for number, serial in enumerate(foreign.DROID_SERIALS.values()):
            name = f"observation/timestamp/cameras/{serial}_estimated_capture"
            file[name] = even[[0, 1, 2, 4, 3, 5, 6, 7, 8]] if number == 1 else even
        file["observation/timestamp/control/step_start"] = even[::-1]
    camera, steps = first(root).notes
    assert camera.startswith("by the camera's times its rows run backwards")
    assert steps.startswith("by the control steps' times its rows run backwards")


def test_rows_of_droid_that_share_a_moment_are_told_where_each_has_a_picture(tmp_path):
    notes = droid(tmp_path, [0, 1, 1, 2, 3, 4, 5, 6, 7]).notes
    told = "has a picture for each row, by its times some rows share one; picture i is taken for row i"
    assert [f"view '{name}' {told}" in notes for name in ("ext1", "ext2", "wrist")] == [True] * 3


def test_a_recording_of_droid_whose_metadata_calls_it_a_failure_is_told(tmp_path):
    root = foreign.write_droid(tmp_path)
    path = next(root.rglob("metadata_*.json"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"success": True}))
    assert first(root).notes == ()
    path.write_text(json.dumps(content | {"success": False}))
    assert first(root).notes == ("its metadata calls it a failure: the robot did not do what it was asked",)


def test_rows_of_bridge_that_are_far_apart_are_told(tmp_path):
    root = foreign.write_bridge(tmp_path)
    assert first(root).notes == ()
    path = next(root.rglob("obs_dict.pkl"))
    record = pickle.loads(path.read_bytes())
    record["time_stamp"] = np.arange(FRAMES) * 0.2 + 3 * (np.arange(FRAMES) > 4)
    path.write_bytes(pickle.dumps(record))
    (note,) = first(root).notes
    assert note.startswith("by 'time_stamp' rows are missing in places")


def test_a_demonstration_in_the_folder_of_another_variation_is_told(tmp_path):
    root = foreign.write_rlbench(tmp_path)
    assert first(root).notes == ()
    (root / "close_jar/variation3").rename(root / "close_jar/variation5")
    (note,) = first(root).notes
    assert note.startswith("its observations are of another variation than its folder, whose words are taken")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([0.5, 0, 0.4, 90.0, 0, 0], "an angle of DROID's table of camera poses is 90, DROID's are in rad"),
        ([500.0, 0, 400.0, 1.5, 0, 0], "a position of DROID's table of camera poses is 640 m away"),
    ],
)
def test_camera_poses_of_droid_in_other_units_are_refused(tmp_path, numbers, message):
    root = foreign.write_droid(tmp_path)
    poses = {foreign.DROID_UUID: {foreign.DROID_SERIALS["ext1"]: numbers}}
    (root / "cam2base_extrinsic_superset.json").write_text(json.dumps(poses))
    with pytest.raises(EpisodeError, match=message):
        first(root)


def test_positions_of_droid_in_mm_are_refused(tmp_path):
    def in_mm(numbers):
        return (np.reshape(numbers, (-1, 6)) * [1e4, 1e4, 1e4, 1, 1, 1]).flatten().tolist()

    with pytest.raises(EpisodeError, match=r"position of 'cartesian_position' is .* m away, DROID's are"):
        first(rlds(tmp_path, observation__cartesian_position=in_mm))


def test_numbers_that_are_called_as_droids_in_another_set_are_told(tmp_path):
    features = test_rlds.serialised(test_rlds.droid_features())
    test_rlds.write_records(tmp_path / "mine-train.tfrecord-00000-of-00001", [features])
    _, reader = open_foreign(tmp_path, "auto", Wanted(fps=10))
    (note,) = reader.read(reader.ids[0]).notes
    assert note.endswith("are read as DROID's: x y z in m, Euler xyz in rad, 0 open")


def test_both_eyes_side_by_side_are_refused(tmp_path):
    with pytest.raises(EpisodeError, match="is 320 px wide and 90 px high, both eyes side by side; give the"):
        first(foreign.write_droid(tmp_path, size=(90, 320)))


def test_folders_of_depth_beside_bridges_pictures_are_named(tmp_path):
    root = foreign.write_bridge(tmp_path)
    place = next(root.rglob("images0"))
    (place.parent / "depth_images0").mkdir()
    told = "folder 'depth_images0' is none of images0, images1, ...; it is left out"
    assert first(root).notes == (told,)


def test_a_distortion_in_the_releases_form_of_droid_is_refused_and_other_fields_are_named(tmp_path):
    root = foreign.write_droid_processed(tmp_path, gripper=True)
    path = next(root.rglob("camera.json"))
    cameras = json.loads(path.read_text())
    cameras["ext1"] |= {"extrinsics": [0] * 6, "distCoeffs": [0.0, 0.0]}
    path.write_text(json.dumps(cameras))
    assert first(root).notes == ("camera.json has the fields distCoeffs, extrinsics, which are not read",)
    for name, told in (("distCoeffs", [[-0.2, 0.01]]), ("distortion", {"k1": -0.2}), ("k1", -0.2)):
        cameras["ext1"][name] = told
        path.write_text(json.dumps(cameras))
        with pytest.raises(EpisodeError, match=f"ext1: '{name}' says that the lens is distorted; undistort"):
            first(root)
        del cameras["ext1"][name]


def test_one_camera_in_two_roles_is_refused(tmp_path):
    root = foreign.write_droid(tmp_path)
    path = next(root.rglob("metadata_*.json"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"ext2_cam_serial": content["ext1_cam_serial"]}))
    with pytest.raises(EpisodeError, match="names camera 22008760 as 'ext1' and as 'ext2'; correct it"):
        first(root)


def test_words_that_are_no_text_are_refused(tmp_path):
    with pytest.raises(EpisodeError, match="'steps/language_instruction' is no text in UTF-8; write it so"):
        first(rlds(tmp_path, language_instruction=lambda _: [b"w\xffsh"] * FRAMES))


def test_a_gripper_that_reads_nothing_in_a_row_is_refused_by_the_row(tmp_path):
    with pytest.raises(EpisodeError, match="the gripper's reading in row 3 is not finite; drop the episode"):
        first(rlds(tmp_path, observation__gripper_position=lambda _: [0.1] * 3 + [np.nan] + [0.2] * 5))


def test_positions_of_bridge_in_mm_are_told(tmp_path):
    root = foreign.write_bridge(tmp_path / "source")
    path = next(root.rglob("obs_dict.pkl"))
    record = pickle.loads(path.read_bytes())
    record["eef_transform"][:, :3, 3] *= 1000
    path.write_bytes(pickle.dumps(record))
    said = import_episodes(Job(root), tmp_path / "out", 0).sentences()
    assert any(one.startswith("the tool is more than 20 m away from the world's origin") for one in said)
