"""Anyone's own files: a folder of videos, cameras.json, poses and words for each episode."""

import json
import shutil

import av
import foreign
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import v3
from PIL import Image

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.importing import Job, import_episodes
from action_images.episodes.readers import Wanted, open_foreign
from action_images.episodes.video import VideoFrames, write_video
from action_images.errors import ActionImagesError
from recorded import assert_tool_is_where_it_was_drawn

SIZE = (48, 64)
EYES = {"front": (0.8, 0.1, 0.7), "side": (0.1, 0.8, 0.6)}
MATRIX = np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])
POSE = np.eye(4).tolist()
ENTRY = {"height": 48, "width": 64, "intrinsics": MATRIX.tolist(), "world_from_camera": POSE}
OTHERS = json.dumps({"format": "action-images/cameras", "version": 1, "cameras": {"top": ENTRY}})
HEADER = "x,y,z,qx,qy,qz,qw,opening"


def write_cameras(path) -> None:
    height, width = SIZE
    entries = {
        name: {
            "height": height,
            "width": width,
            "intrinsics": MATRIX.tolist(),
            "world_from_camera": foreign.looking(eye).tolist(),
        }
        for name, eye in EYES.items()
    }
    path.write_text(json.dumps({"format": "action-images/cameras", "version": 1, "cameras": entries}))


def write_episode(folder, fps=10) -> None:
    folder.mkdir(parents=True)
    position, rotation, opening = foreign.tool_path()
    for name, eye in EYES.items():
        pixels = foreign.pinhole_pixels(MATRIX, np.linalg.inv(foreign.looking(eye)), position)
        write_video(folder / f"{name}.mp4", foreign.draw(pixels, SIZE), fps)
    rows = np.concatenate([position, rotation.as_quat(), opening[:, None]], -1)
    np.savetxt(folder / "poses.csv", rows, delimiter=",", header=HEADER, comments="")
    (folder / "instruction.txt").write_text("put the cup away\n")


def test_videos_cameras_poses_and_words_enter_and_the_tool_is_where_it_was_drawn(tmp_path):
    write_episode(tmp_path / "source/tuesday/e1")
    write_cameras(tmp_path / "source/tuesday/e1/cameras.json")
    outcome = import_episodes(Job(tmp_path / "source"), tmp_path / "out", 0)
    assert (outcome.format, outcome.imported, outcome.sentences()) == ("recordings", ["tuesday/e1"], [])
    (episode,) = Dataset(tmp_path / "out")
    assert (episode.instruction, episode.fps, episode.num_frames) == ("put the cup away", 10, foreign.FRAMES)
    assert_tool_is_where_it_was_drawn(episode)


def test_cameras_above_the_episodes_are_those_of_all(tmp_path):
    for name in ("e1", "e2", "e10"):
        write_episode(tmp_path / name)
    write_cameras(tmp_path / "cameras.json")
    _, reader = open_foreign(tmp_path)
    assert reader.ids == ["e1", "e2", "e10"]
    for name in reader.ids:
        assert_tool_is_where_it_was_drawn(reader.read(name).check())


def test_poses_in_ones_own_columns_enter_by_a_declaration(tmp_path):
    write_episode(tmp_path / "source/e1")
    write_cameras(tmp_path / "source/cameras.json")
    poses = tmp_path / "source/e1/poses.csv"
    rows = np.loadtxt(poses, delimiter=",", skiprows=1) * [1000, 1000, 1000, 1, 1, 1, 1, 80]
    np.savetxt(poses, rows, delimiter=",", header="X,Y,Z,a,b,c,w,grip", comments="")
    with pytest.raises(EpisodeError, match="header must name the columns"):
        import_episodes(Job(tmp_path / "source"), tmp_path / "refused", 0)
    columns = tmp_path / "columns.json"
    entry = {"columns": list(range(8)), "rotation": "quaternion_xyzw", "position_unit": "mm"}
    columns.write_text(json.dumps({**entry, "closed": 0, "open": 80}))
    job = Job(tmp_path / "source", columns=columns)
    assert import_episodes(job, tmp_path / "out", 0).imported == ["e1"]
    assert_tool_is_where_it_was_drawn(Dataset(tmp_path / "out")[0])
    columns.write_text(json.dumps({**entry, "closed": 80, "open": 0}))
    with pytest.raises(ActionImagesError, match="columns"):
        import_episodes(job, tmp_path / "out", 0)


def test_poses_that_a_reading_marks_as_unreliable_refuse_the_episode(tmp_path):
    write_episode(tmp_path / "e1")
    poses = tmp_path / "e1/poses.csv"
    rows = [f"{line},{number != 3:d}" for number, line in enumerate(poses.read_text().splitlines()[1:])]
    poses.write_text("\n".join([f"{HEADER},valid", *rows]))
    with pytest.raises(EpisodeError, match=r"poses.csv: 1 of 9 rows \(from 0: 3\) have valid .*not reliable"):
        open_foreign(tmp_path)[1].read("e1")


def test_a_view_that_is_called_a_depth_map_is_told_of(tmp_path):
    write_episode(tmp_path / "source/e1")
    (tmp_path / "source/e1/front.mp4").rename(tmp_path / "source/e1/head_depth.mp4")
    said = import_episodes(Job(tmp_path / "source"), tmp_path / "out", 0).sentences()
    assert any("head_depth: it is called a depth map and comes in as colour" in told for told in said)
    other = import_episodes(Job(tmp_path / "source", views=("side",)), tmp_path / "other", 0)
    assert not any("depth" in told for told in other.sentences())


def test_what_is_not_there_is_unknown_and_counted(tmp_path):
    for name in ("e1", "e2"):
        write_episode(tmp_path / name)
    for name in ("poses.csv", "instruction.txt"):
        (tmp_path / "e1" / name).unlink()
    (tmp_path / "e1/instruction.txt").write_text("\n")
    _, reader = open_foreign(tmp_path)
    episode = reader.read("e1").check()
    assert (episode.trajectory, episode.instruction) == (None, None)
    assert all(view.camera is None for view in episode.views)
    lacking = ["2 of 2 episodes have no cameras.json", "1 of 2 episodes have no poses.csv"]
    assert reader.remarks == lacking


def test_rows_with_times_have_the_pictures_that_are_shown_then(tmp_path):
    """A camera at 30 pictures a second, poses at 10, the first at 0.5 s."""
    (tmp_path / "e").mkdir()
    v3.encode(tmp_path / "e/front.mp4", range(60), np.arange(60) / 30)
    position, rotation, opening = foreign.tool_path()
    times = 0.5 + np.arange(foreign.FRAMES) / 10
    rows = np.concatenate([position, rotation.as_quat(), opening[:, None], times[:, None]], -1)
    np.savetxt(tmp_path / "e/poses.csv", rows, delimiter=",", header=f"{HEADER},time", comments="")
    episode = open_foreign(tmp_path)[1].read("e").check()
    assert episode.fps == 10
    assert v3.numbers(episode.views[0].frames.read(range(9))) == list(range(15, 42, 3))


def keep_rows(folder, count: int) -> None:
    path = folder / "poses.csv"
    path.write_text("\n".join(path.read_text().splitlines()[: count + 1]))


@pytest.mark.parametrize(
    ("bend", "message"),
    [
        (lambda folder: v3.encode(folder / "front.mp4", range(9), np.arange(9) / 12), "run at other rates"),
        (lambda folder: v3.encode(folder / "front.mp4", range(8), np.arange(8) / 10), "differ in length"),
        (
            lambda folder: keep_rows(folder, 5),
            "9 pictures, its poses 5 rows; give one row for each picture, or",
        ),
        (
            lambda folder: v3.encode(
                folder / "front.mp4", range(9), [*np.arange(5) / 10, *np.arange(8, 12) / 10]
            ),
            "has gaps .400 ms between pictures 4 and 5, 100 ms elsewhere",
        ),
        (lambda folder: (folder / "front.mp4").rename(folder / "top.mp4"), None),
        (
            lambda folder: [(folder / f"{name}.mp4").rename(folder / f"{name}2.mp4") for name in EYES],
            "same names",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path, bend, message):
    write_episode(tmp_path / "e")
    write_cameras(tmp_path / "e/cameras.json")
    bend(tmp_path / "e")
    _, reader = open_foreign(tmp_path)
    if message is None:  # a camera without a calibration is a view without one
        assert {view.name: view.camera is None for view in reader.read("e").views} == {
            "side": False,
            "top": True,
        }
        return
    with pytest.raises(EpisodeError, match=message):
        reader.read("e")


def test_a_view_without_a_calibration_may_be_the_only_one_asked_for(tmp_path):
    write_episode(tmp_path / "e")
    write_cameras(tmp_path / "e/cameras.json")
    (tmp_path / "e/front.mp4").rename(tmp_path / "e/top.mp4")
    (view,) = open_foreign(tmp_path, "auto", Wanted(("top",)))[1].read("e").views
    assert (view.name, view.camera) == ("top", None)


def test_a_folder_that_fits_two_formats_needs_a_format(tmp_path):
    v3.write(tmp_path, [5])
    write_episode(tmp_path / "mine/e1")
    with pytest.raises(EpisodeError, match="fits the formats lerobot and recordings; import each by name"):
        open_foreign(tmp_path)
    assert "mine/e1" in open_foreign(tmp_path, "recordings")[1].ids
    assert open_foreign(tmp_path, "lerobot")[1].ids == ["episode_000000"]


def test_a_cameras_file_in_a_lerobot_set_makes_no_recordings_of_its_videos(tmp_path):
    v3.write(tmp_path, [5])
    write_cameras(tmp_path / "cameras.json")
    assert open_foreign(tmp_path)[0] == "lerobot"


def test_a_folder_of_pictures_alone_is_no_recording(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "front.png")
    with pytest.raises(EpisodeError, match="is none of lerobot"):
        open_foreign(tmp_path)


def shorter(path, less: int) -> None:
    frames = VideoFrames(path).read(range(len(VideoFrames(path)) - less))
    write_video(path, list(frames), 15)


def with_capture_times(root, repeated=()) -> None:
    """The times (ms) at which the cameras took what each row saw.

    Repeated rows saw the moment of the row before.
    """
    import h5py

    steps = np.array([0 if row in repeated else 67 for row in range(foreign.FRAMES)])
    with h5py.File(next(root.rglob("trajectory.h5")), "a") as file:
        for serial in foreign.DROID_SERIALS.values():
            name = f"observation/timestamp/cameras/{serial}_estimated_capture"
            file[name] = (1_683_274_830_000 + np.cumsum(steps)).astype(np.int64)


@pytest.mark.parametrize("has_times", [False, True])
def test_a_droid_recording_with_one_picture_less_than_rows_loses_its_last_row(tmp_path, has_times):
    root = foreign.write_droid(tmp_path)
    shorter(next(root.rglob("22008760.mp4")), 1)
    if has_times:
        with_capture_times(root)
    episode = open_foreign(root)[1].read(open_foreign(root)[1].ids[0]).check()
    assert episode.num_frames == foreign.FRAMES - 1
    assert_tool_is_where_it_was_drawn(episode)
    assert "the last rows have no picture; they are left out" in episode.notes


def test_rows_of_droid_that_saw_the_same_moment_share_its_picture(tmp_path):
    root = foreign.write_droid(tmp_path)
    with_capture_times(root, repeated=(4,))
    whole = {}
    for path in root.rglob("*.mp4"):
        whole[path.stem] = VideoFrames(path).read([0, 1, 2, 3, 5, 6, 7, 8])
    for path in root.rglob("*.mp4"):
        write_video(path, list(whole[path.stem]), 60, crf=1)
    episode = open_foreign(root)[1].read(open_foreign(root)[1].ids[0]).check()
    assert episode.num_frames == foreign.FRAMES
    frames = episode.views[0].frames.read(range(9))
    assert torch.equal(frames[3], frames[4])
    assert not torch.equal(frames[4], frames[5])


def test_a_droid_recording_that_lacks_more_is_refused_with_what_is_known(tmp_path):
    root = foreign.write_droid(tmp_path)
    shorter(next(root.rglob("22008760.mp4")), 3)
    with pytest.raises(EpisodeError, match=r"view 'ext1' has 6 pictures for the 9 rows of trajectory\.h5"):
        open_foreign(root)[1].read(open_foreign(root)[1].ids[0])


@pytest.mark.parametrize("name", ["droid_language_annotations.json", "aggregated-annotations-030724.json"])
def test_droids_words_are_read_under_every_published_name_and_any_task_is_none(tmp_path, name):
    root = foreign.write_droid(tmp_path)
    (root / "aggregated-annotations-030724.json").unlink()
    notes = next(root.rglob("metadata_*.json"))
    notes.write_text(json.dumps(json.loads(notes.read_text()) | {"current_task": "Do any task, then reset"}))
    reader = open_foreign(root)[1]
    assert reader.read(reader.ids[0]).instruction is None
    assert any("not found" in remark and "droid_language_annotations" in remark for remark in reader.remarks)
    (root / name).write_text(json.dumps({foreign.DROID_UUID: {"language_instruction1": "wipe the table"}}))
    reader = open_foreign(root)[1]
    assert reader.read(reader.ids[0]).instruction == "wipe the table"
    assert any("found beside the episodes" in remark and name in remark for remark in reader.remarks)


def test_headers_are_compared_without_spaces_and_case(tmp_path):
    write_episode(tmp_path / "e1")
    poses = tmp_path / "e1/poses.csv"
    poses.write_text(poses.read_text().replace(HEADER, " X, y , z, qx, QY, qz, qw, Opening"))
    assert open_foreign(tmp_path)[1].read("e1").trajectory is not None
    poses.write_text(poses.read_text().replace("Opening", "grip"))
    with pytest.raises(EpisodeError, match=r"header must name the columns .*; it has  X, y , z.*grip"):
        open_foreign(tmp_path)[1].read("e1")


def test_what_lies_beside_the_known_files_is_named_and_so_is_a_column_like_time(tmp_path):
    write_episode(tmp_path / "e1")
    (tmp_path / "e1/Instruction.txt").write_text("wipe")
    poses = tmp_path / "e1/poses.csv"
    rows = [line + f",{number}" for number, line in enumerate(poses.read_text().splitlines()[1:])]
    poses.write_text("\n".join([f"{HEADER},timestamp", *rows]))
    _, reader = open_foreign(tmp_path)
    assert reader.remarks[-1] == "found in the episodes' folders and not read: Instruction.txt (1)"
    (note,) = reader.read("e1").notes
    assert "the column 'timestamp' of poses.csv is not read, row i belongs to picture i" in note


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda times: times + 1.7e9,
            "'time' begins at 17000000.*, the videos end at 0.800 s.*subtract that",
        ),
        (lambda times: 1000 * times, "'time' grows by 100 from row to row; give seconds, not milliseconds"),
    ],
)
def test_times_that_are_no_seconds_from_the_videos_begin_are_refused(tmp_path, change, message):
    write_episode(tmp_path / "e1")
    poses = tmp_path / "e1/poses.csv"
    times = change(np.arange(foreign.FRAMES) / 10)
    rows = [
        f"{line},{time:.12g}" for line, time in zip(poses.read_text().splitlines()[1:], times, strict=True)
    ]
    poses.write_text("\n".join([f"{HEADER},time", *rows]))
    with pytest.raises(EpisodeError, match=message):
        open_foreign(tmp_path)[1].read("e1")


@pytest.mark.parametrize(
    ("content", "text", "note"),
    [
        ("put it away\n".encode("utf-16"), "put it away", None),
        (b"\xef\xbb\xbfput it away", "put it away", None),
        (b"put it away\nclean up", "put it away", "several lines; the first one is taken"),
        (b"N/A\n", None, "a placeholder; that is no instruction"),
    ],
)
def test_words_are_read_as_they_were_written(tmp_path, content, text, note):
    write_episode(tmp_path / "e1")
    (tmp_path / "e1/instruction.txt").write_bytes(content)
    episode = open_foreign(tmp_path)[1].read("e1")
    assert episode.instruction == text
    assert (note or "") in " ".join(episode.notes)
    assert bool(episode.notes) == bool(note)


def test_words_in_another_code_are_refused(tmp_path):
    write_episode(tmp_path / "e1")
    (tmp_path / "e1/instruction.txt").write_bytes("kühlen".encode("latin-1"))
    with pytest.raises(EpisodeError, match="is no text in UTF-8; save it so"):
        open_foreign(tmp_path)[1].read("e1")


def test_two_videos_of_one_name_are_refused_and_a_second_table_is_named(tmp_path):
    write_episode(tmp_path / "e1")
    (tmp_path / "e1/poses.json").write_text("[]")
    reader = open_foreign(tmp_path)[1]
    assert reader.remarks[-1] == "found in the episodes' folders and not read: poses.json (1)"
    shutil.copy(tmp_path / "e1/front.mp4", tmp_path / "e1/front.mov")
    with pytest.raises(EpisodeError, match="has 2 videos called 'front'; keep one of them"):
        open_foreign(tmp_path)[1].read("e1")


def write_film(path, level: int, count: int = 5, fps: float = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, torch.full((count, 3, 32, 32), level, dtype=torch.uint8), fps)


def write_told(root, words: str, level: int = 50) -> None:
    """An episode of one film, in a folder that has the name of its words."""
    write_film(root / words / "left.mp4", level)
    (root / words / "instruction.txt").write_text(words)


def test_folders_whose_names_become_the_same_keep_their_ids_when_others_are_added(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    for words in ("抓取", "打开", "pick_cup"):
        write_told(source, words)
    first = import_episodes(Job(source), out, 0)
    assert len(first.imported) == 3
    assert "pick_cup" in first.imported
    for words in ("倒水", "pick cup"):
        write_told(source, words)
    again = import_episodes(Job(source), out, 0)
    assert (sorted(again.already_there), len(again.imported)) == (sorted(first.imported), 2)
    told = [episode.instruction for episode in Dataset(out)]
    wanted = ["抓取", "打开", "pick_cup", "倒水", "pick cup"]
    assert sorted(map(str, told)) == sorted(wanted)


def renamed(out, names: dict[str, str]) -> None:
    """Episodes of `out` called as an earlier version called them, and without what it did not write."""
    (table,) = out.glob("meta/episodes/*/*.parquet")
    rows = pq.read_table(table)
    ids = pa.array([names[name] for name in rows["episode_id"].to_pylist()])
    pq.write_table(rows.set_column(rows.column_names.index("episode_id"), "episode_id", ids), table)
    (out / "meta/import/source.json").unlink()


def test_a_set_that_an_earlier_version_began_is_recognised_or_refused(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    write_told(source, "pick cup")
    write_told(source, "wipe")
    first = import_episodes(Job(source), out, 0).imported
    renamed(out, dict(zip(first, ("pick_cup", "wipe"), strict=True)))
    again = import_episodes(Job(source), out, 0)
    assert (again.imported, again.already_there) == ([], first)
    assert f"1 episodes are there by the ids that an earlier version gave them ({first[0]} as pick_cup)" in (
        again.remarks
    )
    write_told(source, "pick_cup")
    with pytest.raises(EpisodeError, match=r"called 'pick_cup'; 2 of the source may be meant.*folder"):
        import_episodes(Job(source), out, 0)


def test_cameras_that_were_corrected_between_two_runs_are_refused(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    for name in ("e1", "e2"):
        write_episode(source / name)
    write_cameras(source / "cameras.json")
    import_episodes(Job(source), out, 0, limit=1)
    cameras = (source / "cameras.json").read_text()
    (source / "cameras.json").write_text(cameras.replace("50.0", "44.0"))
    with pytest.raises(EpisodeError, match=r"cameras.json was otherwise when 'e1' was imported; restore it"):
        import_episodes(Job(source), out, 0)
    (source / "cameras.json").unlink()
    with pytest.raises(EpisodeError, match="now missing, was otherwise when 'e1' was imported"):
        import_episodes(Job(source), out, 0)
    (source / "cameras.json").write_text(cameras)
    (source / "e2/cameras.json").write_text(cameras.replace("50.0", "44.0"))
    assert import_episodes(Job(source), out, 0).imported == ["e2"]


def test_a_folder_with_videos_alone_is_an_episode_unless_it_lies_within_another(tmp_path):
    write_told(tmp_path, "e1")
    for name in ("e2/left.mp4", "tuesday/e3/left.mp4", "e1/depth/left.mp4", "overview.mp4"):
        write_film(tmp_path / name, 90)
    reader = open_foreign(tmp_path)[1]
    assert reader.ids == ["e1", "e2", "tuesday/e3"]
    assert reader.read("e2").check().instruction is None
    assert "2 of 3 episodes have no instruction.txt" in reader.remarks
    told = "folders with videos that lie within an episode's folder or around one are not read"
    assert f"{told}: ., e1/depth" in reader.remarks


def write_timed(folder, shown: list[float], rows, video: str = "left.mp4", table: str = "poses.csv") -> None:
    """A film whose pictures are shown at these times (s), and poses with these in the column `time`."""
    folder.mkdir(parents=True, exist_ok=True)
    v3.encode(folder / video, range(len(shown)), shown)
    names = [*HEADER.split(","), "time"]
    numbers = [[0.3, 0.2, 0.1, 0, 0, 0, 1, 0.5, time] for time in rows]
    if table == "poses.json":
        text = json.dumps({"columns": names, "rows": numbers})
    else:
        text = "\n".join([",".join(names), *(",".join(map(str, row)) for row in numbers)])
    (folder / table).write_text(text)


def shown_in(root) -> tuple[float, list[int], tuple[str, ...]]:
    episode = open_foreign(root)[1].read("e").check()
    frames = episode.views[0].frames
    return episode.fps, v3.numbers(frames.read(range(len(frames)))), episode.notes


@pytest.mark.parametrize("digits", [2, 3, 9])
def test_the_rate_of_rows_is_not_that_of_their_rounding(tmp_path, digits):
    rows = [round(number / 30, digits) for number in range(12)]
    write_timed(tmp_path / "e", (np.arange(12) / 30).tolist(), rows)
    assert shown_in(tmp_path) == (30.0, list(range(12)), ())


def test_times_of_rows_are_read_from_any_table(tmp_path):
    shown, rows = (np.arange(30) / 10).tolist(), [0.5 + number / 10 for number in range(12)]
    write_timed(tmp_path / "e", shown, rows, table="poses.json")
    assert shown_in(tmp_path)[1] == list(range(5, 17))
    (tmp_path / "e/poses.json").unlink()
    write_timed(tmp_path / "e", shown, rows)
    poses = tmp_path / "e/poses.csv"
    poses.write_text("\n" + poses.read_text())
    assert shown_in(tmp_path)[1] == list(range(5, 17))
    poses.write_text(poses.read_text().replace("0.5,0.7", "0.5,soon"))
    with pytest.raises(EpisodeError, match=r"the column 'time' needs a number in every row \(row \[2\]"):
        shown_in(tmp_path)


def test_times_of_rows_count_from_the_first_picture_whatever_the_files_clock_says(tmp_path):
    write_timed(tmp_path / "e", (1.4 + np.arange(30) / 10).tolist(), np.arange(12) / 10, video="left.ts")
    fps, numbers, notes = shown_in(tmp_path)
    assert (fps, numbers) == (10.0, list(range(12)))
    begin = VideoFrames(tmp_path / "e/left.ts").times[0]
    assert notes == (f"the videos' first pictures are at {begin:.3f} s; 'time' is counted from there",)
    v3.encode(tmp_path / "e/right.mp4", range(30), np.arange(30) / 10)
    with pytest.raises(EpisodeError, match=r"'right' begins at 0.000 s of its file's clock, 'left' at"):
        shown_in(tmp_path)


def test_rows_at_a_higher_rate_than_the_pictures_are_refused_with_the_cure(tmp_path):
    write_timed(tmp_path / "e", (np.arange(12) / 10).tolist(), (np.arange(30) / 30).tolist())
    with pytest.raises(EpisodeError, match="the rows at 30 a second; keep about 10 rows a second"):
        shown_in(tmp_path)


def test_a_film_whose_rate_changes_is_refused_and_one_that_drifts_a_little_is_told(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e/instruction.txt").write_text("wipe")
    steps = np.array([0] + [0.047] * 31 + [0.017] * 28)
    v3.encode(tmp_path / "e/left.mp4", range(60), np.cumsum(steps))
    with pytest.raises(EpisodeError, match=r"has no even rate \(17 to 47 ms between pictures\); give poses"):
        shown_in(tmp_path)
    v3.encode(tmp_path / "e/left.mp4", range(60), np.cumsum([0.1] * 30 + [0.08] * 30))
    with pytest.raises(EpisodeError, match="has no even rate"):
        shown_in(tmp_path)
    v3.encode(tmp_path / "e/left.mp4", range(120), np.cumsum([0.1] * 60 + [0.095] * 60))
    (note,) = shown_in(tmp_path)[2]
    assert note.startswith("view 'left': its pictures are up to 0.8 frames off an even rate (95 to 100 ms")


def test_videos_that_begin_apart_are_refused_with_and_without_times(tmp_path):
    write_episode(tmp_path / "e")
    (tmp_path / "e/side.mp4").unlink()
    times = [0.5 + 0.1 * place for place in range(foreign.FRAMES)]
    v3.encode(tmp_path / "e/side.mkv", range(foreign.FRAMES), times, rate=10)
    with pytest.raises(EpisodeError, match=r"'front' begins at 0.000 s .* 'side' at 0.500 s.*, and row i"):
        open_foreign(tmp_path)[1].read("e")


def test_a_set_is_never_written_into_its_source(tmp_path):
    write_episode(tmp_path / "mine/e")
    before = sorted(tmp_path.rglob("*"))
    for out in (tmp_path / "mine", tmp_path / "mine/set"):
        with pytest.raises(EpisodeError, match="never written into its source"):
            import_episodes(Job(tmp_path / "mine"), out, 0)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_film_of_depth_is_no_film_of_colours(tmp_path):
    write_episode(tmp_path / "e")
    with av.open(str(tmp_path / "e/wrist.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for _ in range(foreign.FRAMES):
            depth = np.full((48, 64), 700, np.uint16)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(depth, format="gray16le")))
        container.mux(stream.encode())
    with pytest.raises(EpisodeError, match=r"wrist\.mkv: .*more than 8 bits \(gray16le\).*leave it out"):
        open_foreign(tmp_path)[1].read("e")
    wanted = Wanted(("front", "side"))
    assert len(open_foreign(tmp_path, wanted=wanted)[1].read("e").views) == 2
