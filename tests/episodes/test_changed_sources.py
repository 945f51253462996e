"""What was corrected in a source between two imports is told, and never taken as already there."""

import io
import json
import pickle
import shutil
from contextlib import suppress
from pathlib import Path

import av
import foreign
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import test_recordings
import test_rlds
import v3
from PIL import Image

from action_images.episodes.dataset import Dataset
from action_images.episodes.episode import EpisodeError
from action_images.episodes.importing import Job, Outcome, import_episodes
from recorded import write_set


def rewrite(path: Path, change) -> None:
    """A file with its bytes changed."""
    path.write_bytes(change(path.read_bytes()))


def only(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


def npy(change):
    def apply(path):
        np.save(path, change(np.load(path)))

    return apply


def npz(path):
    content = dict(np.load(path))
    content["action"][3, 0] += 0.01
    np.savez(path, **content)


def h5(path):
    import h5py

    with h5py.File(path, "r+") as file:
        file["observation/robot_state/cartesian_position"][3, 0] += 0.01


def bridge(path):
    record = pickle.loads(path.read_bytes())
    record["eef_transform"][3, 0, 3] += 0.01
    path.write_bytes(pickle.dumps(record))


def text(path):
    path.write_text("do something else\n")


def words(path):
    path.write_bytes(pickle.dumps(["do something else"]))


def picture(path):
    shutil.copy(path.with_name(path.name.replace("3", "5")), path)


def film(path):
    rewrite(path, lambda content: content + b"\0\0\0\x08free")


CHANGES = {
    "rlbench": [
        ("low_dim_obs.pkl", lambda path: rewrite(path, lambda one: one + b" "), "low_dim_obs.pkl"),
        ("variation_descriptions.pkl", words, "variation_descriptions.pkl"),
        ("front_rgb/3.png", picture, "pictures"),
    ],
    "action-images-rlbench": [
        ("actions.npy", npy(lambda rows: rows + 0.001), "actions.npy"),
        ("variation_descriptions.pkl", words, "variation_descriptions.pkl"),
        ("view1/camera_params.json", lambda path: rewrite(path, lambda one: one + b" "), "camera_params"),
        ("video.mp4", film, "videos"),
    ],
    "droid": [
        ("trajectory.h5", h5, "trajectory.h5"),
        ("metadata_*.json", lambda path: rewrite(path, lambda one: one + b" "), "metadata"),
        ("22008760.mp4", film, "videos"),
    ],
    "droid-processed": [
        ("action.npz", npz, "action.npz"),
        ("instruction.txt", text, "instruction.txt"),
        ("ext2.mp4", film, "videos"),
    ],
    "bridge": [
        ("obs_dict.pkl", bridge, "obs_dict.pkl"),
        ("lang.txt", text, "lang.txt"),
        ("images0/im_3.jpg", picture, "pictures"),
    ],
    "bridge-processed": [
        ("extrinsic.npy", npy(lambda rows: rows + 0.001), "vggt"),
        ("instruction.txt", text, "instruction.txt"),
        ("0.mp4", film, "videos"),
    ],
    "recordings": [
        ("e1/poses.csv", lambda path: rewrite(path, lambda one: one.replace(b"0.", b".0", 1)), "poses"),
        ("e1/instruction.txt", text, "instruction.txt"),
        ("e1/front.mp4", film, "videos"),
        ("e1/poses.csv", Path.unlink, "poses"),
        ("e1/instruction.txt", Path.unlink, "instruction.txt"),
    ],
}


def write_recordings(root: Path) -> Path:
    for name in ("e1", "e2"):
        test_recordings.write_episode(root / name)
    return root


WRITERS = foreign.WRITERS | {"recordings": write_recordings}


def again(source: Path, out: Path) -> dict[str, str]:
    """What a second import refuses, by episode; if that is all, the import as a whole is an error."""
    with suppress(EpisodeError):
        assert not import_episodes(Job(source), out, 0).imported
    return json.loads((out / "import.json").read_text())["refused"]


@pytest.mark.parametrize("format", CHANGES)
def test_whatever_of_an_episode_was_corrected_is_told_and_can_be_restored(tmp_path, format):
    source, out = WRITERS[format](tmp_path / "source"), tmp_path / "out"
    first = import_episodes(Job(source), out, 0).imported
    assert not again(source, out)
    for pattern, change, part in CHANGES[format]:
        path = only(source, pattern)
        content = path.read_bytes()
        change(path)
        refused = again(source, out)
        assert refused, pattern
        for episode_id, reason in refused.items():
            assert f"{episode_id}: {part}" in reason
            assert "changed since the episode was imported, and the former one is kept; restore" in reason
        assert len(refused) == 1 or part == "variation_descriptions.pkl"
        path.write_bytes(content)
        assert not again(source, out)
    assert Dataset(out).ids == first
    assert json.loads((out / "import.json").read_text())["refused"] == {}


def test_a_corrected_recording_blocks_no_new_one(tmp_path):
    source, out = write_recordings(tmp_path / "source"), tmp_path / "out"
    import_episodes(Job(source), out, 0)
    (source / "e1/instruction.txt").write_text("lift the cup")
    test_recordings.write_episode(source / "e3")
    outcome = import_episodes(Job(source), out, 0)
    assert (outcome.imported, outcome.already_there, list(outcome.refused)) == (["e3"], ["e2"], ["e1"])


def lerobot(root: Path, edit=None, **options) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    return v3.write(root, [12, 12], edit=edit, **options)


def of_second(outcome: Outcome) -> str:
    """Why the second episode alone is refused."""
    assert list(outcome.refused) == ["episode_000001"]
    assert outcome.already_there == ["episode_000000"]
    return outcome.refused["episode_000001"]


def test_a_lerobot_set_is_compared_by_the_words_and_rows_of_each_episode(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    first = {"tasks": lambda episode, _: episode, "texts": ("wipe the table", "stack the cups")}
    import_episodes(Job(lerobot(source, **first)), out, 0)
    assert not again(lerobot(source, **first), out)
    table = source / "meta/tasks.parquet"
    pq.write_table(pa.table({"task_index": [0, 1], "task": ["wipe the table", "stack the plates"]}), table)
    assert "episode_000001: words: changed since" in of_second(import_episodes(Job(source), out, 0))

    def late(parts):
        for row in parts.rows[12:]:
            row["timestamp"] += 0.02

    lerobot(source, late, **first)
    assert "episode_000001: rows: changed since" in of_second(import_episodes(Job(source), out, 0))


def test_poses_that_calibration_json_reads_are_compared(tmp_path):
    numbers = [0.4, 0.0, 0.3, 0.0, 0.0, 0.0, 1.0, 0.5]

    def with_tool(parts, moved=0.0):
        parts.info["features"]["tool"] = {"dtype": "float32", "shape": [8], "names": None}
        for number, row in enumerate(parts.rows):
            row["tool"] = [0.4 + 0.01 * number + (moved if number == 17 else 0), *numbers[1:-1], number % 2]

    source, out = tmp_path / "source", tmp_path / "out"
    declared = {"tool": {"feature": "tool", "columns": [*range(8)], "closed": 0, "open": 1}}
    lerobot(source, with_tool)
    (source / "calibration.json").write_text(json.dumps(declared))
    import_episodes(Job(source), out, 0)
    lerobot(source, lambda parts: with_tool(parts, 0.05))
    (source / "calibration.json").write_text(json.dumps(declared))
    assert "episode_000001: rows: changed since" in of_second(import_episodes(Job(source), out, 0))


def appended(path: Path, other: Path) -> None:
    """One video joined to another without encoding, as LeRobot appends episodes."""
    joined = path.with_name("joined.mp4")
    with av.open(str(joined), "w") as out, av.open(str(path)) as first, av.open(str(other)) as second:
        stream = out.add_stream_from_template(first.streams.video[0])
        shift = 0
        for container in (first, second):
            end = shift
            for packet in container.demux(video=0):
                if packet.dts is not None:
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    end = max(end, packet.pts + packet.duration)
                    packet.stream = stream
                    out.mux(packet)
            shift = end
    joined.replace(path)


def rewritten(source: Path, shown) -> None:
    v3.encode(v3.video_path(source), shown, np.arange(len(shown)) / 10, rate=10)


def test_a_lerobot_video_that_was_replaced_is_told_but_not_one_that_episodes_were_appended_to(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    first = lerobot(source)
    (tmp_path / "kept").mkdir()
    kept = shutil.copy(v3.video_path(first), tmp_path / "kept")
    import_episodes(Job(source), out, 0)
    rewritten(source, range(24, 48))
    refused = again(source, out)
    assert len(refused) == 2
    assert "episode_000000: video of 'top': changed since" in refused["episode_000000"]
    more = v3.write(tmp_path / "more", [12, 12, 12])
    v3.encode(tmp_path / "third.mp4", range(24, 36), np.arange(12) / 10, rate=10)
    shutil.copy(kept, v3.video_path(more))
    appended(v3.video_path(more), tmp_path / "third.mp4")
    shutil.rmtree(source)
    more.rename(source)
    outcome = import_episodes(Job(source), out, 0)
    assert (len(outcome.already_there), outcome.imported) == (2, ["episode_000002"])
    assert not outcome.refused
    assert v3.numbers(Dataset(out)[2].views[0].frames.read(range(12))) == list(range(24, 36))


def test_a_video_that_was_changed_when_episodes_were_appended_is_told_of_the_changed_ones(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    import_episodes(Job(v3.write(source, [10, 10])), out, 0)
    shutil.rmtree(source)
    v3.write(source, [10, 10, 10])
    v3.encode(tmp_path / "one.mp4", range(10), np.arange(10) / 10, rate=10)
    kept = lerobot(tmp_path / "kept") / "one.mp4"
    v3.encode(kept, [*range(10), *range(10, 15), 99, *range(16, 20)], np.arange(20) / 10, rate=10)
    v3.encode(tmp_path / "third.mp4", range(20, 30), np.arange(10) / 10, rate=10)
    appended(kept, tmp_path / "third.mp4")
    shutil.copy(kept, v3.video_path(source))
    outcome = import_episodes(Job(source), out, 0)
    assert outcome.imported == ["episode_000002"]
    assert list(outcome.refused) == ["episode_000001"]
    assert "video of 'top': changed since" in outcome.refused["episode_000001"]


def test_pictures_in_rows_are_compared_by_their_contents(tmp_path):
    def with_pictures(parts, changed=()):
        parts.info["features"][v3.VIEW]["dtype"] = "image"
        for number, row in enumerate(parts.rows):
            file = io.BytesIO()
            Image.fromarray(v3.numbered(99 if number in changed else number)).save(file, "PNG")
            row[v3.VIEW] = {"bytes": file.getvalue(), "path": f"{len(changed)}/{number}.png"}

    source, out = tmp_path / "source", tmp_path / "out"
    import_episodes(Job(lerobot(source, with_pictures)), out, 0)
    assert not again(lerobot(source, with_pictures), out)
    lerobot(source, lambda parts: with_pictures(parts, changed=(17,)))
    assert "episode_000001: pictures: changed since" in of_second(import_episodes(Job(source), out, 0))


def test_rows_that_were_written_in_another_order_and_type_are_the_same(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    import_episodes(Job(lerobot(source)), out, 0)
    path = source / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("frame_index")
    table = table.set_column(place, "frame_index", table["frame_index"].cast(pa.int16()))
    pq.write_table(table.take(pa.array(np.random.default_rng(0).permutation(24))), path)
    assert not again(source, out)


def test_an_episode_that_is_cut_otherwise_now_is_told(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    texts = ("wipe the table", "stack the cups")
    import_episodes(Job(lerobot(source, texts=texts)), out, 0)
    lerobot(source, texts=texts, tasks=lambda episode, frame: int(episode == 1 and frame > 5))
    outcome = import_episodes(Job(source), out, 0)
    assert outcome.imported == ["episode_000001/task0", "episode_000001/task1"]
    told = "1 episodes that are there are no longer in the source (the first: episode_000001)"
    assert any(one.startswith(told) and "another folder" in one for one in outcome.remarks)


def test_a_record_in_rlds_is_compared_by_the_checksum_of_its_file(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    path = source / "droid-train.tfrecord-00000-of-00001"
    contents = [test_rlds.serialised(test_rlds.droid_features(words)) for words in (b"wipe it", b"lift it")]
    test_rlds.write_records(path, contents)
    first = import_episodes(Job(source), out, 0).imported
    assert not again(source, out)
    test_rlds.write_records(path, [contents[0], contents[1].replace(b"lift", b"turn")])
    refused = again(source, out)
    assert list(refused) == [first[1]]
    assert f"{first[1]}: record: changed since" in refused[first[1]]


def test_a_set_of_ours_is_compared_too_and_one_begun_without_hashes_is_not(tmp_path):
    source, out = write_set(tmp_path / "source"), tmp_path / "out"
    import_episodes(Job(source), out, 0)
    assert not again(source, out)
    path = only(source, "data/*/*.parquet")
    table = pq.read_table(path)
    rows = table["observation.state"].to_pylist()
    rows[0][0] += 0.01
    place = table.column_names.index("observation.state")
    changed = table.set_column(place, "observation.state", pa.array(rows, table.schema.types[place]))
    pq.write_table(changed, path)
    assert list(again(source, out)) == ["reach/variation0/e0"]
    record = out / "meta/import/source.json"
    content = json.loads(record.read_text())
    del content["episodes"]
    record.write_text(json.dumps(content))
    assert not again(source, out)
