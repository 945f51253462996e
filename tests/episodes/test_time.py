"""Time is time: a row has the picture that its file shows then, or its episode is refused with the gap."""

import json
import math
import re
from decimal import Decimal

import foreign
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import v3
from hypothesis import given, settings
from hypothesis import strategies as st

from action_images.cli import main as command
from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.readers import Wanted, open_foreign
from action_images.episodes.shift import shifted


def read(root, wanted=None):
    """Each episode's pictures by their numbers, or why it is refused."""
    _, reader = open_foreign(root, "lerobot", wanted or Wanted())
    return [pictures_or_reason(reader, episode_id) for episode_id in reader.ids]


def pictures_or_reason(reader, episode_id):
    try:
        frames = reader.read(episode_id).check().views[0].frames
        return v3.numbers(frames.read(range(len(frames))))
    except EpisodeError as error:
        return str(error)


def test_pictures_that_a_camera_dropped_refuse_their_episode_and_no_other(tmp_path):
    """The file keeps real times, so the episodes behind the gap begin where the table says."""
    root = v3.write(tmp_path, [20, 15, 10], fps=30)
    kept = [number for number in range(47) if number not in (8, 9)]
    v3.encode(v3.video_path(root), kept, [number / 30 for number in kept])
    first, second, third = read(root)
    assert "shows no picture at 0.267 s (frame 8), the nearest is 33 ms away; 2 of 20 frames" in first
    assert second == list(range(20, 35))
    assert third == list(range(35, 45))


@settings(max_examples=15)
@given(dropped=st.sets(st.integers(0, 44), max_size=5), extra=st.integers(0, 4))
def test_whatever_is_dropped_no_row_has_the_picture_of_another(tmp_path_factory, dropped, extra):
    root = v3.write(tmp_path_factory.mktemp("set"), [20, 15, 10], fps=30)
    kept = [number for number in range(45 + extra) if number not in dropped]
    v3.encode(v3.video_path(root), kept, [number / 30 for number in kept])
    for begin, length, found in zip((0, 20, 35), (20, 15, 10), read(root), strict=True):
        if isinstance(found, list):
            assert found == list(range(begin, begin + length))
        else:
            assert dropped


def test_a_file_at_29_97_in_a_set_that_says_30_is_read_by_its_own_times(tmp_path):
    """from_timestamp is where the file has the episode: times 30 it would be of another moment."""
    lengths = [90, 90, 40]
    first = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    rate = 30_000 / 1001
    root = v3.write(tmp_path, lengths, fps=30, starts=(first / rate * 1).tolist())
    v3.encode(v3.video_path(root), range(220), np.arange(220) / rate)
    assert read(root) == [
        list(range(begin, begin + length)) for begin, length in zip(first, lengths, strict=True)
    ]


def test_a_header_of_another_rate_is_no_matter_where_pictures_are_rows(tmp_path):
    """As DROID's files: 60 pictures a second in the header, 15 in truth, one episode in the file."""
    root = v3.write(tmp_path, [30], fps=15)
    v3.encode(v3.video_path(root), range(30), np.arange(30) / 60, rate=60)
    assert read(root) == [list(range(30))]
    (note,) = open_foreign(root)[1].read("episode_000000").notes
    assert note.startswith("top: its video runs at 60 frames/s, the data set at 15; picture i belongs to")


def test_a_shared_file_whose_header_has_another_rate_refuses_all_its_episodes(tmp_path):
    root = v3.write(tmp_path, [20, 20], fps=15)
    v3.encode(v3.video_path(root), range(40), np.arange(40) / 60, rate=60)
    assert all(
        "runs at 60 frames/s, the data set at 15, so where the episode begins" in one for one in read(root)
    )


def test_a_file_that_shows_more_pictures_than_rows_gives_those_of_the_rows_times(tmp_path):
    root = v3.write(tmp_path, [20, 20], fps=10)
    v3.encode(v3.video_path(root), range(120), np.arange(120) / 30, rate=30)
    assert read(root) == [list(range(0, 60, 3)), list(range(60, 120, 3))]


def test_rows_that_claim_the_same_pictures_are_both_refused(tmp_path):
    """A merge that forgot to move the times of what it appended."""
    root = v3.write(tmp_path, [20, 20, 20], starts=[0.0, 2.0, 0.0])
    first, second, third = read(root)
    assert "meta/episodes gives it pictures that it also gives to episode_000002" in first
    assert second == list(range(20, 40))
    assert "also gives to episode_000000" in third


def test_pictures_lost_at_even_times_refuse_every_episode_of_the_file(tmp_path):
    """A writer of constant rate closed the gap: which rows have lost theirs cannot be told."""
    root = v3.write(tmp_path, [20, 20, 20])
    v3.encode(v3.video_path(root), [n for n in range(60) if n not in (5, 6)], np.arange(58) / 10)
    assert all("has 58 pictures for the 60 rows" in found for found in read(root))


def test_a_recording_with_one_picture_less_than_rows_says_so(tmp_path):
    root = v3.write(tmp_path, [20])
    v3.encode(v3.video_path(root), range(19), np.arange(19) / 10)
    (told,) = read(root)
    assert "has 19 pictures for 20 rows" in told
    assert "restore" not in told


def test_a_file_that_begins_late_is_refused_with_the_time(tmp_path):
    root = v3.write(tmp_path, [20])
    v3.encode(v3.video_path(root), range(20), 0.2 + np.arange(20) / 10)
    assert "shows its first picture at 0.200 s, the first episode in it begins at 0.000 s" in read(root)[0]


def test_a_file_that_is_late_as_a_whole_refuses_all_of_its_episodes(tmp_path):
    """The pictures of the second episode's time are those of the first."""
    root = v3.write(tmp_path, [20, 20])
    v3.encode(v3.video_path(root), range(40), 0.5 + np.arange(40) / 10)
    assert all("shows its first picture at 0.500 s" in found for found in read(root))


def test_times_that_jitter_by_less_than_half_a_frame_are_those_of_their_rows(tmp_path):
    root = v3.write(tmp_path, [20, 20])
    v3.encode(v3.video_path(root), range(40), np.arange(40) / 10 + 0.04 * (np.arange(40) % 2))
    assert read(root) == [[*range(20)], [*range(20, 40)]]


def leave_out(parts, gone=range(5, 10), *, numbers="anew"):
    """Rows left out after recording: frames are gone from the table, not from the video.

    The first episode's rows are numbered anew, or keep their numbers.
    """
    parts.rows[:] = [row for row in parts.rows if row["episode_index"] or row["frame_index"] not in gone]
    first = [row for row in parts.rows if not row["episode_index"]]
    for frame, row in enumerate(first):
        row["frame_index"] = frame if numbers == "anew" else row["frame_index"]
    parts.episodes[0]["length"] = len(first)


def test_rows_that_are_not_neighbours_in_time_are_refused(tmp_path):
    (found,) = read(v3.write(tmp_path, [20], edit=leave_out))
    told = "frames 4 and 5 are 0.600 s apart by 'timestamp', 0.100 s are a frame"
    assert f"{told}; where rows were left out and the others keep their times, 'import --gaps cut'" in found


CUT = Wanted(gaps="cut")


@pytest.mark.parametrize("numbers", ["anew", "kept"])
def test_rows_that_are_not_neighbours_are_cut_apart_by_choice(tmp_path, numbers):
    root = v3.write(tmp_path, [20, 12], edit=lambda parts: leave_out(parts, numbers=numbers))
    assert "'import --gaps cut'" in read(root)[0]
    _, reader = open_foreign(root, "lerobot", CUT)
    assert reader.ids == ["episode_000000/part0", "episode_000000/part1", "episode_000001"]
    assert read(root, CUT) == [[*range(5)], [*range(10, 20)], [*range(20, 32)]]
    assert "the rows of 1 episodes leave out 5 frames; they are cut there" in reader.remarks
    assert not any(reader.read(name).notes for name in reader.ids)


def test_several_gaps_without_timestamps_are_told_by_the_numbers_of_frames(tmp_path):
    def edit(parts):
        leave_out(parts, gone=(3, 4, 11), numbers="kept")
        for row in parts.rows:
            del row["timestamp"]

    root = v3.write(tmp_path, [20], edit=edit)
    assert "goes from frame 2 to 5" in read(root)[0]
    assert read(root, CUT) == [[0, 1, 2], [*range(5, 11)], [*range(12, 20)]]


def test_gaps_are_cut_within_the_parts_of_tasks(tmp_path):
    options = {"tasks": lambda _, frame: int(frame >= 8), "texts": ("wipe", "stack")}
    root = v3.write(tmp_path / "within", [20], edit=lambda parts: leave_out(parts, range(3, 5)), **options)
    _, reader = open_foreign(root, "lerobot", CUT)
    assert reader.ids == [f"episode_000000/{part}" for part in ("task0/part0", "task0/part1", "task1")]
    assert read(root, CUT) == [[0, 1, 2], [5, 6, 7], [*range(8, 20)]]
    assert [reader.read(name).instruction for name in reader.ids] == ["wipe", "wipe", "stack"]
    between = tmp_path / "between"
    v3.write(between, [20], edit=lambda parts: leave_out(parts, range(6, 8)), **options)
    assert read(between, CUT) == [[*range(6)], [*range(8, 20)]]


def test_the_tools_path_is_cut_where_its_pictures_are(tmp_path):
    def edit(parts):
        for row in parts.rows:
            row["observation.state"] = [0.4 + 0.01 * row["index"], 0, 0.3, 0, 0, 0, 1, row["index"] % 2]
        parts.info["features"]["observation.state"] = {
            "dtype": "float32",
            "shape": [8],
            "names": ["x", "y", "z", "qx", "qy", "qz", "qw", "opening"],
        }
        leave_out(parts)

    root = v3.write(tmp_path, [20], edit=edit)
    _, reader = open_foreign(root, "lerobot", CUT)
    episode = reader.read("episode_000000/part1").check()
    shown = np.array(v3.numbers(episode.views[0].frames.read(range(10))))
    assert np.allclose(episode.trajectory.world_from_tool.translation[:, 0], 0.4 + 0.01 * shown)


@pytest.mark.parametrize("edit", ["frame_index", "slow"])
def test_gaps_that_times_do_not_tell_are_refused_all_the_same(tmp_path, edit):
    def change(parts):
        leave_out(parts, numbers="kept" if edit == "frame_index" else "anew")
        for number, row in enumerate(parts.rows):
            row["timestamp"] = number / 10 if edit == "frame_index" else 1.5 * row["timestamp"]

    (found,) = read(v3.write(tmp_path, [20], edit=change), CUT)
    leaves = "'frame_index' leaves numbers out behind row 4, the next is 0.100 s on by 'timestamp'; one of"
    assert (leaves if edit == "frame_index" else "'timestamp' grows by 0.15") in found


def test_gaps_are_cut_by_the_command_and_by_it_alone_where_rows_have_times(tmp_path, capsys):
    root = v3.write(tmp_path / "source", [20, 12], edit=leave_out)
    arguments = ["import", str(root), "--out", str(tmp_path / "out"), "--workers", "0", "--gaps"]
    assert command([*arguments, "refuse"]) == 0
    assert "1 imported, 0 already there, 1 refused" in capsys.readouterr().out
    assert command([*arguments, "cut"]) == 0
    assert "2 imported, 1 already there, 0 refused" in capsys.readouterr().out
    assert [episode.num_frames for episode in Dataset(tmp_path / "out")] == [12, 5, 10]
    assert json.loads((tmp_path / "out/import.json").read_text())["refused"] == {}
    with pytest.raises(EpisodeError, match="format 'bridge'; its episodes are never cut at gaps"):
        open_foreign(foreign.write_bridge(tmp_path / "bridge"), "auto", CUT)


def test_rows_have_their_own_times_where_the_set_says_them(tmp_path):
    def late(parts):
        for row in parts.rows:
            row["timestamp"] += 0.03 * (row["frame_index"] % 2)

    assert read(v3.write(tmp_path, [20], edit=late)) == [[*range(20)]]


def with_column(root, name: str, change) -> None:
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    place = table.column_names.index(name)
    pq.write_table(table.set_column(place, name, change(table[name].to_pylist())), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda times: pa.array([[time] for time in times]),
        lambda times: pa.array([[time] for time in times], pa.list_(pa.float32(), 1)),
        lambda times: pa.array([Decimal(str(time)) for time in times]),
    ],
)
def test_times_are_read_however_they_are_stored(tmp_path, change):
    root = v3.write(tmp_path, [20])
    with_column(root, "timestamp", lambda times: change([time + 0.75 for time in times]))
    assert "'timestamp' begins at 0.75" in read(root)[0]
    with_column(root, "frame_index", lambda numbers: pa.array([[number] for number in numbers]))
    assert "'timestamp' begins at 0.75" in read(root)[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda times: pa.array([math.nan, *times[1:]]),
        lambda times: pa.array([None, *times[1:]]),
        lambda times: pa.array([str(time) for time in times]),
        lambda times: pa.array([int(1000 * time) for time in times], pa.duration("ms")),
    ],
)
def test_times_that_cannot_be_read_are_refused_and_never_made_up(tmp_path, change):
    root = v3.write(tmp_path, [20])
    with_column(root, "timestamp", change)
    assert "'timestamp' is not a finite number in every row" in read(root)[0]


def test_rows_without_times_begin_at_frame_0(tmp_path):
    def edit(parts):
        for row in parts.rows:
            del row["timestamp"]
            row["frame_index"] += 5 * row["episode_index"]

    first, second = read(v3.write(tmp_path, [12, 12], edit=edit))
    assert first == list(range(12))
    assert "'frame_index' begins at 5 and there is no 'timestamp'" in second


def test_rows_out_of_order_are_put_in_the_order_of_frame_index(tmp_path):
    root = v3.write(tmp_path, [12, 12])
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(np.random.default_rng(0).permutation(24))), path)
    dataset = Dataset(root)
    assert [values[0] for values in dataset.column(1, "observation.state")] == list(range(12, 24))
    assert v3.numbers(dataset[1].views[0].frames.read(range(12))) == list(range(12, 24))


@pytest.mark.parametrize(("number", "message"), [(3, "has frame 3 twice"), (77, "goes from frame 10 to 77")])
def test_rows_that_are_not_numbered_one_after_the_other_are_refused(tmp_path, number, message):
    def bend(parts):
        parts.rows[4 if number == 3 else 11]["frame_index"] = number

    root = v3.write(tmp_path, [12, 12], edit=bend)
    first, second = read(root)
    assert message in first
    assert second == list(range(12, 24))


@pytest.mark.parametrize(
    "change", [lambda number: number, str, lambda _number: None, lambda number: [number]]
)
def test_rows_of_exchanged_episodes_are_told_by_an_index_that_is_one(tmp_path, change):
    root = v3.write(tmp_path, [12, 12])
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    numbers = [(place + 12) % 24 for place in range(24)]
    changed = pa.array([change(number) for number in numbers])
    table = table.drop_columns(["index"]) if "index" in table.column_names else table
    pq.write_table(table.append_column("index", changed), path)
    said = [told for told in open_foreign(root)[1].remarks if "were rows of two episodes exchanged" in told]
    assert len(said) == (change(1) in (1, [1]))


def test_a_late_camera_is_set_right_by_a_shift_and_no_other_is_touched(tmp_path):
    root = v3.write(tmp_path, [20], views=(v3.VIEW, "observation.images.side"))
    late = [max(0, number - 3) for number in range(20)]
    v3.encode(v3.video_path(root), late, np.arange(20) / 10)
    _, reader = open_foreign(root)
    whole = reader.read("episode_000000").check()
    right = shifted(whole, {"top": 3}).check()
    shown = {view.name: v3.numbers(view.frames.read(range(right.num_frames))) for view in right.views}
    assert shown == {"top": list(range(17)), "side": list(range(17))}
    early = shifted(whole, {"side": -2}).check()
    assert v3.numbers(early.view("side").frames.read(range(18))) == list(range(18))
    with pytest.raises(EpisodeError, match="none is left after the shift"):
        shifted(whole, {"top": 20})
    with pytest.raises(EpisodeError, match="no view 'left'"):
        shifted(whole, {"left": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda time: time + 1.7e9,
            "'timestamp' begins at 17000000.*; it counts seconds from the episode's begin",
        ),
        (lambda time: time + 0.5, "'timestamp' begins at 0.5"),
        (lambda time: 1000 * time, "'timestamp' grows by 100 from frame to frame, 0.1 s are a frame"),
        (lambda time: time / 3, "'timestamp' grows by 0.03333 from frame to frame"),
        (lambda time: time * 1.5, "'timestamp' grows by 0.15 from frame to frame.*correct fps in info.json"),
        (lambda time: round(time * 1.02, 3), "'timestamp' grows by 0.102 from frame to frame"),
    ],
)
def test_times_of_rows_that_do_not_count_seconds_from_the_begin_are_refused(tmp_path, change, message):
    def edit(parts):
        for row in parts.rows:
            row["timestamp"] = change(row["timestamp"])

    (found,) = read(v3.write(tmp_path, [12], edit=edit))
    assert re.search(message, found), found


def test_a_file_that_goes_on_after_its_last_row_is_said_where_it_is_imported(tmp_path):
    def edit(parts):
        parts.rows[:] = parts.rows[:-4]
        parts.episodes[1]["length"] = 8

    _, reader = open_foreign(v3.write(tmp_path, [12, 12], edit=edit))
    assert reader.read(reader.ids[0]).notes == ()
    (note,) = reader.read(reader.ids[1]).notes
    assert note.startswith("top: its video goes on for 4 frames after the last row")


def test_pictures_between_episodes_and_before_the_first_are_said(tmp_path):
    def edit(parts):
        parts.rows[:] = [row for row in parts.rows if row["episode_index"] or row["frame_index"] < 8]
        parts.episodes[0]["length"] = 8
        parts.episodes[0]["videos/observation.images.top/from_timestamp"] = 0.1

    _, reader = open_foreign(v3.write(tmp_path, [12, 12], edit=edit))
    (note,) = reader.read(reader.ids[0]).notes
    assert "goes on for 3 frames after the last row and shows 1 frames before the first row" in note
    assert reader.read(reader.ids[1]).notes == ()


def test_a_size_that_info_claims_and_pictures_do_not_have_is_said(tmp_path):
    root = v3.write(tmp_path, [12])
    info = json.loads((root / "meta/info.json").read_text())
    shape = info["features"][v3.VIEW]["shape"]
    info["features"][v3.VIEW]["shape"] = [480, 640, shape[2]]
    (root / "meta/info.json").write_text(json.dumps(info))
    _, reader = open_foreign(root)
    (note,) = reader.read(reader.ids[0]).notes
    assert note.startswith(f"top: its pictures are {shape[0]} x {shape[1]} px, info.json says 480 x 640")


@pytest.mark.parametrize(
    ("stop", "said"),
    [(1.6, "meta/episodes gives it 1.600 s of the video .*its rows need 1.200 s"), (1.2, None), (None, None)],
)
def test_where_an_episode_ends_in_its_video_is_compared_with_its_rows(tmp_path, stop, said):
    def edit(parts):
        for row in parts.episodes:
            row["videos/observation.images.top/to_timestamp"] = stop

    _, reader = open_foreign(v3.write(tmp_path, [12], edit=edit))
    notes = reader.read(reader.ids[0]).notes
    assert len(notes) == (said is not None)
    assert all(re.search(said, note) for note in notes)
