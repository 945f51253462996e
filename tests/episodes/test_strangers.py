"""Files of strangers: links, pipes, bombs and odd names end in one sentence each, and block no others."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib

import foreign
import h5py
import numpy as np
import pytest
import torch
import v3

from action_images.episodes.dataset import Dataset
from action_images.episodes.encoded_episode import BYTES_AT_ONCE, _Seen
from action_images.episodes.episode import EpisodeError
from action_images.episodes.importing import Job, import_episodes
from action_images.episodes.lerobot_layout import read_json
from action_images.episodes.pictures import Pictures
from action_images.episodes.readers import Wanted, open_foreign
from action_images.episodes.readers.folders import natural
from action_images.episodes.readers.unpickle import read_pickle
from action_images.errors import ActionImagesError


def replace_by_link(path, target):
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (foreign.write_bridge, "lang.txt"),
        (foreign.write_bridge, "images0/im_3.jpg"),
        (foreign.write_rlbench, "episode0/front_rgb/4.png"),
        (foreign.write_rlbench, "variation_descriptions.pkl"),
        (foreign.write_bridge_processed, "instruction.txt"),
        (foreign.write_droid, "trajectory.h5"),
        (foreign.write_action_images_rlbench, "view1/camera_params.json"),
    ],
)
def test_a_link_out_of_a_set_is_refused_by_every_reader(tmp_path, write, name):
    root = write(tmp_path / "set")
    path = next(found for found in sorted(root.rglob("*")) if str(found).endswith(name))
    secret = tmp_path / path.name
    shutil.copyfile(path, secret)
    replace_by_link(path, secret)
    _, reader = open_foreign(root)
    with pytest.raises(EpisodeError, match="is a link that leaves the data set's folder"):
        reader.read(reader.ids[0])


@pytest.mark.parametrize("name", ["meta/tasks.parquet", "meta/info.json"])
def test_a_link_out_of_a_lerobot_set_is_refused_too(tmp_path, name):
    root = v3.write(tmp_path / "set", [5])
    secret = tmp_path / "secret"
    shutil.copyfile(root / name, secret)
    replace_by_link(root / name, secret)
    for read in (lambda: Dataset(root)[0], lambda: import_episodes(Job(root), tmp_path / "out", 0)):
        with pytest.raises(EpisodeError, match="is a link that leaves the data set's folder"):
            read()


def test_a_link_that_stays_inside_is_followed(tmp_path):
    root = foreign.write_bridge(tmp_path / "set")
    words = next(root.rglob("lang.txt"))
    shutil.copyfile(words, root / "words.txt")
    replace_by_link(words, root / "words.txt")
    _, reader = open_foreign(root)
    assert reader.read(reader.ids[0]).instruction == "put the spoon in the pot"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_pipes_and_devices_are_refused_instead_of_read(tmp_path, make):
    make(tmp_path / "info.json")
    for read in (read_json, read_pickle, lambda path: Pictures((path,)).size):
        with pytest.raises(EpisodeError, match="is a device or a pipe"):
            read(tmp_path / "info.json")


def test_a_pipe_among_an_episodes_files_refuses_it(tmp_path):
    root = foreign.write_bridge(tmp_path / "set")
    words = next(root.rglob("lang.txt"))
    words.unlink()
    os.mkfifo(words)
    _, reader = open_foreign(root)
    with pytest.raises(EpisodeError, match="is a device or a pipe"):
        reader.read(reader.ids[0])


def test_a_chunk_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path):
    root = foreign.write_droid(tmp_path)
    path = next(root.rglob("trajectory.h5"))
    name = "observation/robot_state/gripper_position"
    with h5py.File(path, "a") as file:
        del file[name]
        made = file.create_dataset(
            name, (foreign.FRAMES,), "f8", chunks=(foreign.FRAMES,), compression="gzip"
        )
        made.id.write_direct_chunk((0,), zlib.compress(bytes(300 << 20), 9))
    _, reader = open_foreign(root)
    with pytest.raises(EpisodeError, match="has chunks that unpack to more than the 72 bytes"):
        reader.read(reader.ids[0])


def test_packed_arrays_that_are_honest_are_read(tmp_path):
    root = foreign.write_droid(tmp_path)
    path = next(root.rglob("trajectory.h5"))
    name = "observation/robot_state/cartesian_position"
    with h5py.File(path, "a") as file:
        numbers = file[name][()]
        del file[name]
        packed = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset(name, data=numbers, chunks=(4, 6), **packed)
    _, reader = open_foreign(root)
    assert np.allclose(reader.read(reader.ids[0]).trajectory.world_from_tool.translation, numbers[:, :3])


def hostile_dtype() -> bytes:
    """A pickle that keeps a dtype, makes an array of it, and then makes the dtype's items ten million bytes
    long.
    """

    def text(word: str) -> bytes:
        return b"\x8c" + bytes([len(word)]) + word.encode()

    def whole(number: int) -> bytes:
        return b"J" + struct.pack("<i", number)

    def several(*parts: bytes) -> bytes:
        return b"(" + b"".join(parts) + b"t"

    def raw(content: bytes) -> bytes:
        return b"B" + struct.pack("<I", len(content)) + content

    dtype = text("numpy") + text("dtype") + b"\x93" + several(text("S1")) + b"R\x940"
    empty = text("numpy.core.multiarray") + text("_reconstruct") + b"\x93"
    empty += several(text("numpy") + text("ndarray") + b"\x93", several(whole(0)), raw(b"b")) + b"R"
    array = empty + several(whole(1), several(whole(7)), b"h\x00", b"\x89", raw(b"1" * 7)) + b"b\x940"
    longer = several(whole(3), text("|"), b"N", b"N", b"N", whole(10_000_000), whole(1), whole(0))
    return b"\x80\x04" + dtype + array + b"h\x00" + longer + b"b0" + b"h\x01."


def test_a_dtype_that_an_array_has_is_not_changed_afterwards(tmp_path):
    """In a process of its own: where this fails the array reads outside its memory, and the process dies."""
    (tmp_path / "x.pkl").write_bytes(hostile_dtype())
    code = (
        "from pathlib import Path\n"
        "from action_images.episodes.readers.unpickle import read_pickle\n"
        f"try: print(read_pickle(Path({str(tmp_path / 'x.pkl')!r})).tobytes())\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "it changes the size of a dtype" in done.stdout


def test_arrays_that_share_a_dtype_and_lists_that_share_arrays_come_out_the_same(tmp_path):
    one = np.arange(3.0)
    (tmp_path / "x.pkl").write_bytes(
        pickle.dumps({"a": [one, one], "b": (one * 2, [one]), "c": np.float32(3)})
    )
    found = read_pickle(tmp_path / "x.pkl")
    assert type(found["a"][0]) is np.ndarray
    assert np.array_equal(found["b"][0], 2 * one)
    assert np.array_equal(found["b"][1][0], one)
    assert found["c"] == 3


def test_superscripts_in_a_path_are_letters(tmp_path):
    assert natural("run²/3") < natural("run²/12")
    root = foreign.write_bridge_processed(tmp_path)
    (root / "000123").rename(root / "x²")
    _, reader = open_foreign(root)
    assert reader.read(reader.ids[0]).num_frames == foreign.FRAMES


def test_control_characters_of_a_name_never_reach_the_terminal(tmp_path):
    root = foreign.write_bridge_processed(tmp_path)
    (root / "000123").rename(root / "x\x1b[2J\x07")
    (root / "x\x1b[2J\x07/video/0.mp4").write_bytes(b"")
    _, reader = open_foreign(root)
    with pytest.raises(EpisodeError) as raised:
        reader.read(reader.ids[0])
    assert "\x1b" not in str(raised.value)
    assert "\\x1b[2J\\x07" in str(raised.value)
    assert str(ActionImagesError("a\u202eb\ud800")) == "a\\u202eb\\ud800"


def test_pictures_that_are_large_are_read_few_at_a_time():
    asked = []

    class Large:
        size = (8192, 8192)

        def __len__(self):
            return 5

        def read(self, indices):
            asked.append(len(indices))
            return torch.zeros(1, 3, 8, 8, dtype=torch.uint8).expand(len(indices), 3, 8, 8)

    assert sum(1 for _ in _Seen(1).passing(Large())) == 5
    assert max(asked) * 8192 * 8192 * 3 <= BYTES_AT_ONCE


def test_two_folders_that_give_one_id_are_two_episodes(tmp_path):
    root = foreign.write_bridge_processed(tmp_path)
    for name in ("a b", "a_b"):
        shutil.copytree(root / "000123", root / name)
    plain, hashed, other = open_foreign(root)[1].ids
    assert (plain, other) == ("000123", "a_b")
    assert hashed.startswith("a_b-")


def bent_video_place(parts):
    parts.episodes[1] |= {
        name: None for name in parts.episodes[1] if name.startswith("videos/observation.images.side")
    }


def test_a_view_that_one_episode_lacks_blocks_neither_the_others_nor_other_views(tmp_path):
    views = (v3.VIEW, "observation.images.side")
    root = v3.write(tmp_path / "source", [8, 8, 8], views=views, edit=bent_video_place)
    both = import_episodes(Job(root), tmp_path / "both", 0)
    assert both.imported == ["episode_000000", "episode_000002"]
    assert (
        "names no video of view 'side'; import without that view (--views)" in both.refused["episode_000001"]
    )
    one = import_episodes(Job(root, views=("top",)), tmp_path / "one", 0)
    assert len(one.imported) == 3
    with pytest.raises(EpisodeError, match=r"None is impossible for 'videos/observation.images.side"):
        Dataset(root)


def test_damage_of_views_that_are_not_asked_for_is_nobodys_business(tmp_path):
    root = foreign.write_rlbench(tmp_path)
    for path in root.rglob("wrist_rgb/3.png"):
        path.write_bytes(b"")
    for name in open_foreign(root)[1].ids:
        assert open_foreign(root, "auto", Wanted(("front",)))[1].read(name).check().views[0].name == "front"


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        ({"info": {"is_depth_map": True}}, "it is a depth map"),
        ({"video_info": {"video.is_depth_map": True}}, "it is a depth map"),
        ({"shape": [v3.H, v3.W, 1]}, "it has 1 channel"),
        ({"shape": [1, v3.H, v3.W], "names": ["channels", "height", "width"]}, "it has 1 channel"),
        ({"shape": [v3.H, v3.W], "names": None}, "it has one channel"),
    ],
)
def test_what_is_no_picture_in_colour_is_named_and_left_out(tmp_path, feature, reason):
    def add(parts):
        parts.info["features"]["observation.images.range"] = parts.info["features"][v3.VIEW] | feature

    _, reader = open_foreign(v3.write(tmp_path, [5], edit=add))
    assert [view.name for view in reader.read("episode_000000").views] == ["top"]
    assert f"feature 'range': {reason}; it is left out" in reader.remarks


def test_rlbenchs_added_cameras_are_named_and_left_out(tmp_path):
    root = foreign.write_rlbench(tmp_path)
    folder = root / "close_jar/variation3/episodes/episode0"
    shutil.copytree(folder / "front_rgb", folder / "front2_rgb")
    episode = open_foreign(root)[1].read("close_jar/variation3/episode0")
    notes = [note for note in episode.notes if "'front2'" in note]
    assert len(notes) == 1
    assert "it is left out" in notes[0]


def test_another_version_a_pointer_and_a_stale_index_have_their_own_sentences(tmp_path):
    root = v3.write(tmp_path / "set", [5, 5])
    info = json.loads((root / "meta/info.json").read_text())
    data = root / "data/chunk-000/file-000.parquet"
    shutil.move(data, data.with_name("file-004.parquet"))
    shutil.copyfile(v3.write(tmp_path / "other", [5]) / "data/chunk-000/file-000.parquet", data)
    with pytest.raises(
        EpisodeError, match=r"they are in data/chunk-000/file-004.parquet: the file indexes are stale"
    ):
        Dataset(root, leave_out=print).selected(1, ("top",), None)
    data.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(EpisodeError, match=r"is a git-lfs pointer, .* run 'git lfs pull'"):
        Dataset(root)[0]
    (root / "meta/info.json").write_text(json.dumps(info | {"codebase_version": "v2.1"}))
    with pytest.raises(EpisodeError, match=r"'v2.1', only v3.0 is read; .*convert_dataset_v21_to_v30"):
        Dataset(root)


def test_a_feature_without_a_type_is_refused_by_name(tmp_path):
    def edit(parts):
        parts.info["features"]["extra"] = {"shape": [1], "names": None}

    root = v3.write(tmp_path, [5], edit=edit)
    with pytest.raises(EpisodeError, match=r"info.json: feature 'extra' has the dtype None; give its type"):
        open_foreign(root)


@pytest.mark.parametrize("part", ["chunk_index", "file_index"])
def test_a_video_path_that_names_one_file_for_two_is_refused(tmp_path, part):
    def edit(parts):
        parts.episodes[1][f"videos/{v3.VIEW}/{part}"] = 1
        other = {"chunk_index": "file_index", "file_index": "chunk_index"}[part]
        parts.info["video_path"] = f"videos/{{video_key}}/{{{other}}}.mp4"

    root = v3.write(tmp_path, [5, 5], edit=edit)
    with pytest.raises(EpisodeError, match=r"info.json: by video_path, file 0 of chunk 0 and file .* both"):
        Dataset(root)[0]


@pytest.mark.parametrize("key", ["observation.images.cam 1", "observation.top"])
def test_a_name_of_no_use_refuses_its_own_view_alone(tmp_path, key):
    def edit(parts):
        parts.info["features"][key] = parts.info["features"][v3.VIEW]

    root = v3.write(tmp_path, [5], views=(v3.VIEW, "observation.images.side"), edit=edit)
    with pytest.raises(EpisodeError, match="import the other views alone"):
        open_foreign(root)
    assert open_foreign(root, "auto", Wanted(("side",)))[1].read("episode_000000").num_frames == 5


@pytest.mark.parametrize("names", [["c", "h", "w"], ["C", "H", "W"], ["rgb", "y", "x"], ["0", "1", "2"]])
def test_channels_that_come_first_are_found_by_any_usual_name(tmp_path, names):
    def edit(parts):
        parts.info["features"][v3.VIEW] |= {"shape": [3, v3.H, v3.W], "names": names}

    dataset = Dataset(v3.write(tmp_path, [5], edit=edit))
    assert dataset.view_names == ("top",)
    assert dataset.view_shape("top") == (v3.H, v3.W)
