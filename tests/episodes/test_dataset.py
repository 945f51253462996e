"""What is stored is what is read; a killed writer leaves a whole data set."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from action_images.episodes import lerobot_layout as layout
from action_images.episodes import writer
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode, EpisodeError, FramesInMemory, View
from action_images.geometry import Camera, Pose
from recorded import (
    assert_tool_is_where_it_was_drawn,
    digests,
    make_cameras,
    make_episode,
    make_trajectory,
    write_set,
)


@pytest.fixture(scope="module")
def dataset_path(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def dataset(dataset_path) -> Dataset:
    return Dataset(dataset_path)


def test_what_is_stored_is_what_is_read(dataset):
    for i, episode in enumerate(dataset):
        made = make_episode(f"reach/variation{i % 2}/e{i}", 12 + i, seed=i, instruction=f"reach {i % 3}")
        episode.check()
        assert (episode.id, episode.instruction, episode.fps, episode.num_frames) == (
            made.id,
            made.instruction,
            made.fps,
            12 + i,
        )
        metres, angle = episode.trajectory.world_from_tool.distance(made.trajectory.world_from_tool)
        assert metres.max() < 1e-6
        assert angle.max() < 1e-5
        assert torch.equal(episode.trajectory.opening, made.trajectory.opening)
        for view, original in zip(episode.views, made.views, strict=True):
            assert view.name == original.name
            assert view.camera.batch_shape == ()
            assert torch.equal(view.camera.intrinsics, original.camera.intrinsics)
            assert torch.equal(
                view.camera.world_from_camera.rotation, original.camera.world_from_camera.rotation
            )
            error = view.frames.read(range(12)).float() - original.frames.read(range(12)).float()
            assert error.abs().mean() < 2
        assert_tool_is_where_it_was_drawn(episode)


def test_what_an_episode_does_not_know_stays_unknown(tmp_path):
    bare = make_episode(instruction=None, trajectory=None)
    bare = Episode(bare.id, None, bare.fps, (bare.views[0], View("left", bare.views[1].frames, None)), None)
    with DatasetWriter(tmp_path, fps=20) as out:
        out.add(bare)
    episode = Dataset(tmp_path)[0]
    assert episode.instruction is None
    assert episode.trajectory is None
    assert episode.views[0].camera is not None
    assert episode.views[1].camera is None


def test_a_moving_camera_keeps_its_path(tmp_path):
    trajectory = make_trajectory(9)
    camera = make_cameras()["front"]
    path = Camera(
        camera.intrinsics.expand(9, 3, 3), trajectory.world_from_tool @ camera.world_from_camera, camera.size
    )
    frames = FramesInMemory(torch.zeros(9, 3, *camera.size, dtype=torch.uint8))
    with DatasetWriter(tmp_path, fps=15) as out:
        out.add(Episode("wrist/0", "look", 15, (View("wrist", frames, path),), trajectory))
    read = Dataset(tmp_path)[0].views[0].camera
    assert read.batch_shape == (9,)
    assert torch.allclose(read.world_from_camera.matrix(), path.world_from_camera.matrix(), atol=1e-6)


def test_the_layout_is_lerobots(dataset_path):
    info = json.loads((dataset_path / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"], info["fps"]) == (6, 87, 3, 20)
    assert info["splits"] == {"train": "0:6"}
    rows = pq.read_table(dataset_path / info["data_path"].format(chunk_index=0, file_index=0))
    assert set(rows.column_names) == {
        key for key, feature in info["features"].items() if feature["dtype"] != "video"
    }
    for key, feature in info["features"].items():
        if feature["dtype"] != "video":
            kind = rows.schema.field(key).type
            expected = getattr(pa, feature["dtype"])()
            assert kind == (
                expected if feature["shape"] == [1] else pa.list_(expected, feature["shape"][0])
            ), key
    assert rows["index"].to_pylist() == list(range(87))
    assert rows["frame_index"].to_pylist()[:13] == [*range(12), 0]
    assert np.allclose(rows["timestamp"].to_numpy()[:12], np.arange(12) / 20)
    episodes = pq.read_table(dataset_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["dataset_to_index"] for row in episodes] == [12, 25, 39, 54, 70, 87]
    assert [row["tasks"] for row in episodes][:4] == [["reach 0"], ["reach 1"], ["reach 2"], ["reach 0"]]
    for i, row in enumerate(episodes):
        for view in ("front", "left"):
            key = f"videos/observation.images.{view}"
            place = {"chunk_index": row[f"{key}/chunk_index"], "file_index": row[f"{key}/file_index"]}
            assert (
                dataset_path / info["video_path"].format(video_key=f"observation.images.{view}", **place)
            ).is_file()
            assert row[f"{key}/from_timestamp"] == 0
            assert row[f"{key}/to_timestamp"] == pytest.approx((12 + i) / 20)
    tasks = pq.read_table(dataset_path / "meta/tasks.parquet")
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert tasks.to_pylist()[1] == {"task": "reach 1", "task_index": 1}
    assert rows["task_index"].to_pylist()[12] == 1
    state, action = np.array(rows["observation.state"].to_pylist()), np.array(rows["action"].to_pylist())
    assert np.array_equal(action[:11], state[1:12])
    assert np.array_equal(action[11], state[11])


def test_the_statistics_are_those_of_all_rows(dataset_path):
    described = json.loads((dataset_path / "meta/stats.json").read_text())
    rows = np.array(
        pq.read_table(dataset_path / "data/chunk-000/file-000.parquet")["observation.state"].to_pylist()
    )
    state = described["observation.state"]
    assert np.allclose(state["mean"], rows.mean(0), atol=1e-6)
    assert np.allclose(state["std"], rows.std(0), atol=1e-6)
    assert np.allclose(state["min"], rows.min(0))
    assert np.allclose(state["max"], rows.max(0))
    assert state["count"] == [87]
    assert np.array(described["observation.images.front"]["mean"]).shape == (3, 1, 1)
    assert 0 < described["observation.images.front"]["mean"][0][0][0] < 1


def test_the_same_episodes_give_the_same_bytes_however_often_the_writer_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "ROWS_PER_FILE", 20)
    monkeypatch.setattr(writer, "EPISODES_PER_FILE", 2)
    episodes = [make_episode(f"e{i}", 8 + i, seed=i, size=(16, 16)) for i in range(5)]
    with DatasetWriter(tmp_path / "once", fps=20) as out:
        for episode in episodes:
            out.add(episode)
    for episode in episodes:
        with DatasetWriter(tmp_path / "often", fps=20) as out:
            out.add(episode)
    assert digests(tmp_path / "once") == digests(tmp_path / "often")
    assert len(list((tmp_path / "once/data").rglob("*.parquet"))) == 2
    assert len(list((tmp_path / "once/meta/episodes").rglob("*.parquet"))) == 3
    assert [episode.num_frames for episode in Dataset(tmp_path / "often")] == [8, 9, 10, 11, 12]


KILLED_WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from recorded import make_episode
from action_images.episodes.dataset import DatasetWriter
with DatasetWriter(Path(sys.argv[1]), fps=20) as out:
    for i in range(12):
        if f"e{i}" not in out.ids:
            out.add(make_episode(f"e{i}", 8, seed=i, size=(16, 16)))
            print(i, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_data_set_that_grows_on_to_the_same_bytes(tmp_path):
    def run(path: Path, kill_after: float | None) -> None:
        arguments = [sys.executable, "-c", KILLED_WRITER, str(path), str(Path(__file__).parents[1])]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        if kill_after is not None:
            process.stdout.readline()  # the first episode of this run is in
            time.sleep(kill_after)
            os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)

    killed = tmp_path / "killed"
    sizes = []
    for kill_after in (0.003, 0.011, 0.026):
        run(killed, kill_after)
        episodes = list(Dataset(killed))
        sizes.append(len(episodes))
        assert [episode.id for episode in episodes] == [f"e{i}" for i in range(len(episodes))]
        for episode in episodes:
            episode.check()
            assert_tool_is_where_it_was_drawn(episode, 1.5)
    assert sizes == sorted(sizes)
    run(killed, None)
    run(tmp_path / "whole", None)
    assert digests(killed) == digests(tmp_path / "whole")


def test_half_written_files_of_a_killed_writer_are_not_seen(dataset_path, tmp_path):
    """Each moment of a commit, staged: a video and rows without their episode do no harm."""
    path = tmp_path / "set"
    shutil.copytree(dataset_path, path)
    before = digests(path)
    out = DatasetWriter(path, fps=20)
    out._with_episode = None  # the commit dies before the episode table
    with pytest.raises(TypeError):
        out.add(make_episode("new", 9))
    out._lock.release()
    assert Dataset(path).ids == [f"reach/variation{i % 2}/e{i}" for i in range(6)]
    assert [episode.num_frames for episode in Dataset(path)] == [12, 13, 14, 15, 16, 17]
    with DatasetWriter(path, fps=20) as again:
        again.add(make_episode("other", 10, instruction="reach 0"))
    assert [episode.num_frames for episode in Dataset(path)][-2:] == [17, 10]
    assert not (path / writer.STAGING).exists()
    assert set(digests(path)) - set(before) == {
        f"videos/observation.images.{view}/chunk-000/file-006.mp4" for view in ("front", "left")
    }


@pytest.mark.parametrize("folder", ["tasks", "data", "episodes"])
@pytest.mark.parametrize("number", [0, 2, 3])
def test_after_a_write_that_failed_the_next_episode_is_right(tmp_path, monkeypatch, folder, number):
    """A full disk at each table of an episode, also where it begins a new file of rows and of episodes."""
    monkeypatch.setattr(writer, "ROWS_PER_FILE", 20)
    monkeypatch.setattr(writer, "EPISODES_PER_FILE", 2)
    whole = writer.write_table
    episodes = [make_episode(f"e{i}", 8 + i, seed=i, size=(16, 16), instruction=f"do {i}") for i in range(5)]

    def full(path: Path, table: pa.Table, index: str | None = None) -> None:
        if folder in path.relative_to(tmp_path / "full").as_posix():
            raise OSError(28, "No space left on device")
        whole(path, table, index)

    with DatasetWriter(tmp_path / "full", fps=20) as out, DatasetWriter(tmp_path / "enough", fps=20) as other:
        for i, episode in enumerate(episodes):
            if i == number:
                monkeypatch.setattr(writer, "write_table", full)
                with pytest.raises(OSError, match="No space left"):
                    out.add(episode)
                monkeypatch.setattr(writer, "write_table", whole)
                assert len(out.ids) == number
            out.add(episode)
            other.add(episode)
    assert digests(tmp_path / "full") == digests(tmp_path / "enough")
    with DatasetWriter(tmp_path / "full", fps=20) as again:
        again.add(make_episode("e5", 9, size=(16, 16)))
    assert [episode.check().num_frames for episode in Dataset(tmp_path / "full")] == [8, 9, 10, 11, 12, 9]


@pytest.mark.parametrize("folder", ["meta/episodes", "data", "videos"])
def test_a_set_that_lost_its_info_is_not_taken_for_a_new_one(dataset_path, tmp_path, folder):
    path = tmp_path / "set"
    shutil.copytree(dataset_path / folder, path / folder)
    before = digests(path)
    with pytest.raises(
        EpisodeError,
        match=r"set: has .* but no meta/info\.json; restore that file, or write to another folder",
    ):
        DatasetWriter(path, fps=20)
    assert {name: digest for name, digest in digests(path).items() if name != "meta/.lock"} == before


def test_a_set_that_lost_its_episode_tables_is_not_begun_anew(dataset_path, tmp_path):
    path = tmp_path / "set"
    shutil.copytree(dataset_path, path)
    shutil.rmtree(path / "meta/episodes")
    with pytest.raises(
        EpisodeError, match=r"tells of 6 episodes, meta/episodes has none; restore that folder"
    ):
        DatasetWriter(path, fps=20)


def test_a_writer_killed_in_its_first_episode_begins_again(tmp_path):
    out = DatasetWriter(tmp_path / "set", fps=20)
    out._with_task = None  # the commit dies after its videos
    with pytest.raises(TypeError):
        out.add(make_episode("new", 9, size=(16, 16)))
    out._lock.release()
    assert list((tmp_path / "set/videos").rglob("*.mp4"))
    with DatasetWriter(tmp_path / "set", fps=10) as again:
        again.add(make_episode("other", 10, fps=10.0))
    dataset = Dataset(tmp_path / "set")
    assert (dataset[0].check().num_frames, dataset.fps) == (10, 10)


def test_two_writers_at_once_are_refused(tmp_path):
    with DatasetWriter(tmp_path, fps=20), pytest.raises(EpisodeError, match="another process is writing"):
        DatasetWriter(tmp_path, fps=20)
    DatasetWriter(tmp_path, fps=20).close()


REFUSED = {
    "in .* already": lambda _: make_episode("task/e0"),
    "has the views": lambda _: make_episode("new", size=(32, 32)),
    "frames/s": lambda _: make_episode("new", fps=15.0),
    "without '..'": lambda _: make_episode("../../etc/passwd"),
    "share one length": lambda _: make_episode("new", trajectory=make_trajectory(5)),
    "has no views": lambda _: make_episode("new", views=()),
    "share a name": lambda e: make_episode("new", views=(e.views[0], e.views[0])),
    "view name": lambda e: make_episode("new", views=(View("../x", e.views[0].frames, None),)),
    "the camera is for": lambda e: make_episode(
        "new", views=(View("front", e.views[0].frames, make_cameras((8, 8))["front"]),)
    ),
    "not orthonormal": lambda e: make_episode(
        "new",
        views=(
            View(
                "front",
                e.views[0].frames,
                Camera(torch.eye(3) * 9, Pose(2 * torch.eye(3), torch.zeros(3)), (48, 64)),
            ),
            e.views[1],
        ),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_an_episode_that_does_not_fit_is_refused_and_changes_nothing(tmp_path, message):
    with DatasetWriter(tmp_path, fps=20) as out:
        out.add(make_episode())
        before = digests(tmp_path)
        with pytest.raises(EpisodeError, match=message):
            out.add(REFUSED[message](make_episode()))
        assert digests(tmp_path) == before
        out.add(make_episode("task/e1"))
    assert Dataset(tmp_path).ids == ["task/e0", "task/e1"]


def edited(source: Path, target: Path, changes: dict) -> Path:
    """A copy of a data set with other entries in info.json."""
    shutil.copytree(source, target)
    info = json.loads((target / "meta/info.json").read_text())
    (target / "meta/info.json").write_text(json.dumps(info | changes))
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebase_version": "v2.1"}, "only v3.0 is read"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": "20"}, "fps is '20'"),
        ({"features": []}, "'features' does not describe"),
        (
            {"features": {"observation.images.a": {"dtype": "video", "shape": [-1, 2, 3]}}},
            "positive whole numbers",
        ),
        (
            {"features": {"observation.images.../../x": {"dtype": "video", "shape": [1, 2, 3]}}},
            "no usable view name",
        ),
        (
            {"features": {"observation.images.a": {"dtype": "video", "shape": [1, 2, 3], "names": []}}},
            "has no names for its axes",
        ),
        (
            {
                "features": {
                    f"observation.{key}": {"dtype": "video", "shape": [1, 2, 3]} for key in ("a", "images.a")
                }
            },
            r"'observation\.a' and 'observation\.images\.a' are both the view 'a'; import the other",
        ),
        ({"data_path": "../../{chunk_index:03d}.parquet"}, "leaves the data set's folder"),
        ({"data_path": "/etc/passwd"}, "leaves the data set's folder"),
        ({"data_path": "{chunk_index.__class__}"}, "leaves the data set's folder"),
        ({"video_path": "videos/{video_key}/{secret}.mp4"}, "asks for 'secret'"),
        ({"video_path": "videos/{video_key}/{chunk_index}/no-{file_index}.mp4"}, "no such video"),
        ({"video_path": "videos/{video_key}/nowhere.mp4"}, "are both videos/.*nowhere.mp4; put"),
    ],
)
def test_a_strangers_info_is_not_trusted(dataset_path, tmp_path, changes, message):
    path = edited(dataset_path, tmp_path / "set", changes)
    with pytest.raises(EpisodeError, match=message):
        _ = Dataset(path)[0]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("length", 10**7, "claims 10000000 frames"),
        ("length", 11, "holds 12 of its 11 frames"),
        ("episode_id", "../up", "without '..'"),
        ("data/file_index", 7, "is missing"),
        ("videos/observation.images.front/from_timestamp", 9.0, "need pictures from 9.000 to "),
        ("videos/observation.images.front/from_timestamp", float("nan"), "nan is impossible"),
    ],
)
def test_a_strangers_episode_table_is_not_trusted(dataset_path, tmp_path, column, value, message):
    path = tmp_path / "set"
    shutil.copytree(dataset_path, path)
    table = path / "meta/episodes/chunk-000/file-000.parquet"
    rows = pq.read_table(table).to_pylist()
    rows[0][column] = value
    pq.write_table(pa.Table.from_pylist(rows), table)
    with pytest.raises(EpisodeError, match=message):
        _ = Dataset(path)[0]


def test_ids_that_are_lists_are_no_ids(dataset_path, tmp_path):
    path = tmp_path / "set"
    shutil.copytree(dataset_path, path)
    table = path / "meta/episodes/chunk-000/file-000.parquet"
    rows = [row | {"episode_id": [row["episode_id"]]} for row in pq.read_table(table).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), table)
    with pytest.raises(
        EpisodeError, match=r"row 0 of meta/episodes: its episode_id is \['reach/variation0/e0'\], no text"
    ):
        Dataset(path)


def test_a_link_leads_nowhere_outside_but_the_folder_may_be_one(dataset_path, tmp_path):
    (tmp_path / "linked").symlink_to(dataset_path)
    assert len(Dataset(tmp_path / "linked")[0].views[0].frames) == 12
    shutil.copytree(dataset_path, tmp_path / "set")
    video = next((tmp_path / "set/videos/observation.images.front").rglob("*.mp4"))
    video.unlink()
    video.symlink_to(next(dataset_path.rglob("*.mp4")))
    with pytest.raises(
        EpisodeError,
        match=r"file-000\.mp4: is a link that leaves the data set's folder; put the file itself there",
    ):
        Dataset(tmp_path / "set")[0]
    video.unlink()
    video.symlink_to(video)
    with pytest.raises(EpisodeError, match=r"file-000\.mp4"):
        len(Dataset(tmp_path / "set")[0].views[0].frames)


def test_a_snapshot_of_the_hubs_cache_is_made_of_links_to_its_blobs(dataset_path, tmp_path):
    blobs, snapshot = (
        tmp_path / "datasets--me--mine/blobs",
        tmp_path / "datasets--me--mine/snapshots/0123abcd",
    )
    shutil.copytree(dataset_path, snapshot)
    blobs.mkdir()
    for number, path in enumerate(sorted(snapshot.rglob("*.*"))):
        if path.is_file():
            path.rename(blobs / str(number))
            path.symlink_to(blobs / str(number))
    assert len(Dataset(snapshot)[0].views[0].frames) == 12
    video = next(snapshot.rglob("*.mp4"))
    video.unlink()
    video.symlink_to(next(dataset_path.rglob("*.mp4")))
    with pytest.raises(EpisodeError, match="is a link that leaves"):
        Dataset(snapshot)[0]


def test_an_empty_or_absent_data_set_says_so(tmp_path):
    with pytest.raises(EpisodeError, match="is this the folder of a data set"):
        Dataset(tmp_path)
    DatasetWriter(tmp_path / "new", fps=20).close()
    with pytest.raises(EpisodeError, match="is missing"):
        Dataset(tmp_path / "new")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(
        json.dumps({"codebase_version": "v3.0", "fps": 20, "features": {}})
    )
    with pytest.raises(EpisodeError, match="empty data set"):
        Dataset(tmp_path)


def test_another_writers_data_set_is_not_appended_to(dataset_path, tmp_path):
    info = json.loads((dataset_path / "meta/info.json").read_text())
    features = {key: value for key, value in info["features"].items() if not key.startswith(layout.CAMERAS)}
    path = edited(dataset_path, tmp_path / "set", {"features": features})
    with pytest.raises(EpisodeError, match="not appended to"):
        DatasetWriter(path, fps=20)


def test_what_somebody_puts_into_a_features_info_is_kept_and_keeps_nobody_from_appending(
    dataset_path, tmp_path
):
    info = json.loads((dataset_path / "meta/info.json").read_text())
    features = info["features"]
    features["observation.state"]["info"] = {"robot": "ours", "sharpened": [1, 2]}
    features["observation.images.front"]["info"]["lens"] = "6 mm"
    path = edited(dataset_path, tmp_path / "set", {"features": features})
    with DatasetWriter(path, fps=20) as writer:
        writer.add(make_episode("new"))
    written = json.loads((path / "meta/info.json").read_text())
    assert written["features"] == features
    assert written["total_episodes"] == 7


def test_an_episode_beyond_the_last_is_an_index_error(dataset):
    assert dataset[-1].id == dataset.ids[-1]
    with pytest.raises(IndexError, match="6 episodes"):
        dataset[6]
