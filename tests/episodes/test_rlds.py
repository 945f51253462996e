"""RLDS sets: records that protobuf itself wrote are read, damaged ones are refused and block no others."""

import io
import struct

import foreign
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image

from action_images.episodes.episode import EpisodeError
from action_images.episodes.readers import Wanted, open_foreign
from action_images.episodes.readers.tfrecord import crc32c, read_example, records_of

TYPES = descriptor_pb2.FieldDescriptorProto
FIELDS = {
    "BytesList": [("value", 1, TYPES.TYPE_BYTES, TYPES.LABEL_REPEATED, None)],
    "FloatList": [("value", 1, TYPES.TYPE_FLOAT, TYPES.LABEL_REPEATED, None)],
    "Int64List": [("value", 1, TYPES.TYPE_INT64, TYPES.LABEL_REPEATED, None)],
    "Feature": [
        ("bytes_list", 1, TYPES.TYPE_MESSAGE, TYPES.LABEL_OPTIONAL, ".t.BytesList"),
        ("float_list", 2, TYPES.TYPE_MESSAGE, TYPES.LABEL_OPTIONAL, ".t.FloatList"),
        ("int64_list", 3, TYPES.TYPE_MESSAGE, TYPES.LABEL_OPTIONAL, ".t.Int64List"),
    ],
    "Entry": [
        ("key", 1, TYPES.TYPE_STRING, TYPES.LABEL_OPTIONAL, None),
        ("value", 2, TYPES.TYPE_MESSAGE, TYPES.LABEL_OPTIONAL, ".t.Feature"),
    ],
    "Features": [("feature", 1, TYPES.TYPE_MESSAGE, TYPES.LABEL_REPEATED, ".t.Entry")],
    "Example": [("features", 1, TYPES.TYPE_MESSAGE, TYPES.LABEL_OPTIONAL, ".t.Features")],
}


def example_class():
    """tf.train.Example as protobuf's own library knows it; a map is a list of entries on the wire."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for message, fields in FIELDS.items():
        made = file.message_type.add(name=message)
        for name, number, kind, label, type_name in fields:
            made.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


def serialised(features: dict) -> bytes:
    example = example_class()()
    for name, values in features.items():
        entry = example.features.feature.add(key=name)
        kind = "bytes_list" if isinstance(values[0], bytes) else "float_list"
        kind = "int64_list" if isinstance(values[0], int) else kind
        getattr(entry.value, kind).value.extend(values)
    return example.SerializeToString()


def masked(content: bytes) -> bytes:
    checksum = crc32c(content)
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def write_records(path, contents) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "features.json").write_text("{}")
    with path.open("wb") as file:
        for content in contents:
            length = struct.pack("<Q", len(content))
            file.write(length + masked(length) + content + masked(content))


def jpg(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 16), (10 * number, 0, 0)).save(file, "JPEG", quality=95)
    return file.getvalue()


def droid_features(words=b"wipe the table") -> dict:
    position, rotation, opening = foreign.tool_path()
    pose = np.concatenate([position, rotation.as_euler("xyz")], 1)
    return {
        "steps/observation/exterior_image_1_left": [jpg(number) for number in range(foreign.FRAMES)],
        "steps/observation/wrist_image_left": [jpg(number) for number in range(foreign.FRAMES)],
        "steps/observation/cartesian_position": pose.flatten().tolist(),
        "steps/observation/gripper_position": (1 - opening).tolist(),
        "steps/is_first": [1] + [0] * (foreign.FRAMES - 1),
        "steps/language_instruction": [words] * foreign.FRAMES,
    }


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283


def test_what_protobuf_writes_is_read(tmp_path):
    features = {"a": [b"x", b""], "b": [0.5, -2.0], "c": [0, 300, -1], "ü": [b"1"]}
    write_records(tmp_path / "x.tfrecord", [serialised(features), serialised({"d": [7]})])
    first, second = (read_example(record) for record in records_of(tmp_path / "x.tfrecord"))
    assert {name: list(values) for name, values in first.items()} == features
    assert second["d"].tolist() == [7]


def test_droid_as_rlds(tmp_path):
    write_records(tmp_path / "1.0.0/droid-train.tfrecord-00000-of-00001", [serialised(droid_features())] * 2)
    name, reader = open_foreign(tmp_path)
    assert (name, reader.ids) == ("rlds", [f"1.0.0/droid-train-00000/{number:04d}" for number in range(2)])
    episode = reader.read(reader.ids[1]).check()
    position, _, opening = foreign.tool_path()
    assert (episode.instruction, episode.fps, episode.num_frames) == ("wipe the table", 15, foreign.FRAMES)
    assert np.allclose(episode.trajectory.world_from_tool.translation, position, atol=1e-6)
    assert np.allclose(episode.trajectory.opening, opening)
    assert [view.name for view in episode.views] == ["exterior_image_1_left", "wrist_image_left"]
    red = episode.views[0].frames.read(range(9))[:, 0, 8, 16].float()
    assert np.allclose(red, 10 * np.arange(9), atol=4)


def test_other_sets_are_video_with_words_and_need_a_rate(tmp_path):
    features = droid_features()
    del features["steps/observation/cartesian_position"]
    write_records(tmp_path / "mine-train.tfrecord-00000-of-00001", [serialised(features)])
    reader = open_foreign(tmp_path)[1]
    with pytest.raises(EpisodeError, match="give the frames a second with --fps"):
        reader.read(reader.ids[0])
    episode = open_foreign(tmp_path, "rlds", Wanted(fps=12.5))[1].read(reader.ids[0]).check()
    assert (episode.fps, episode.trajectory) == (12.5, None)
    assert any("no tool path" in note for note in episode.notes)


def test_damaged_records_are_refused_and_block_no_others(tmp_path):
    whole = serialised(droid_features())
    write_records(tmp_path / "droid-a.tfrecord", [whole, b"\x0a\xff", whole])
    write_records(tmp_path / "droid-b.tfrecord", [whole])
    path = tmp_path / "droid-b.tfrecord"
    path.write_bytes(path.read_bytes()[:-9])
    reader = open_foreign(tmp_path)[1]
    assert reader.ids == ["droid-a/0000", "droid-a/0001", "droid-a/0002", "droid-b"]
    for episode_id, message in (("droid-a/0001", "no tf.train.Example"), ("droid-b", "is cut short after 0")):
        with pytest.raises(EpisodeError, match=message):
            reader.read(episode_id)
    assert reader.read("droid-a/0002").num_frames == foreign.FRAMES


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_what_is_no_picture_in_colour_is_named_and_so_are_failures_and_missing_files(tmp_path):
    features = droid_features(b"Do any task, and then reset the scene")
    features["steps/observation/mask"] = [png(Image.new("L", (32, 16), 3))] * foreign.FRAMES
    features["steps/observation/raw"] = [bytes(32 * 16 * 3)] * foreign.FRAMES
    features["episode_metadata/file_path"] = [b"/data/AUTOLab/failure/2023-07-07/t/trajectory.h5"]
    write_records(tmp_path / "droid-train.tfrecord-00000-of-00002", [serialised(features)])
    reader = open_foreign(tmp_path)[1]
    assert reader.remarks == [
        "1 of 2 files of 'droid-train' are here; the episodes of the others are not read"
    ]
    episode = reader.read(reader.ids[0]).check()
    assert [view.name for view in episode.views] == ["exterior_image_1_left", "wrist_image_left"]
    assert episode.instruction is None
    said = " ".join(episode.notes)
    assert "steps/observation/mask': it has one channel" in said
    assert "steps/observation/raw': it holds no png or jpg" in said
    assert "folder of failures" in said


def test_a_record_of_several_episodes_is_refused(tmp_path):
    features = droid_features()
    features["steps/is_first"][4] = 1
    write_records(tmp_path / "droid-a.tfrecord", [serialised(features)])
    reader = open_foreign(tmp_path)[1]
    with pytest.raises(EpisodeError, match="is set at step 4 as well, so it is several episodes"):
        reader.read(reader.ids[0])


def test_pictures_of_one_name_in_two_places_are_two_views(tmp_path):
    features = droid_features()
    for name in ("primary", "wrist"):
        features[f"steps/observation/{name}/rgb"] = features["steps/observation/exterior_image_1_left"]
    write_records(tmp_path / "droid-a.tfrecord", [serialised(features)])
    reader = open_foreign(tmp_path)[1]
    names = [view.name for view in reader.read(reader.ids[0]).check().views]
    assert names == ["exterior_image_1_left", "primary_rgb", "wrist_image_left", "wrist_rgb"]


def test_a_set_that_is_there_in_two_writings_is_refused(tmp_path):
    record = serialised(droid_features())
    write_records(tmp_path / "droid-a.tfrecord-00000-of-00001", [record])
    write_records(tmp_path / "droid-a.tfrecord-00000-of-00002", [record])
    with pytest.raises(EpisodeError, match=r"'droid-a' is there twice: .*remove the files of one of them"):
        open_foreign(tmp_path)


def test_files_in_folders_whose_names_become_the_same_lose_no_record(tmp_path):
    for name in ("一", "二", "plain"):
        write_records(tmp_path / name / "droid-a.tfrecord", [serialised(droid_features(name.encode()))])
    reader = open_foreign(tmp_path)[1]
    assert {reader.read(name).instruction for name in reader.ids} == {"一", "二", "plain"}
    assert "plain/droid-a/0000" in reader.ids
    assert set(reader.former_ids.values()) == {"_/droid-a/0000"}


def test_features_that_give_one_view_are_refused(tmp_path):
    features = droid_features()
    for name in ("cam 1", "cam_1"):
        features[f"steps/observation/{name}/image"] = features["steps/observation/exterior_image_1_left"]
    write_records(tmp_path / "droid-a.tfrecord", [serialised(features)])
    reader = open_foreign(tmp_path)[1]
    with pytest.raises(EpisodeError, match=r"cam 1/image' and '.*cam_1/image' are both the view"):
        reader.read(reader.ids[0])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cartesian_position": None}, "it has 'steps/observation/gripper_position' and no 'steps/obs"),
        ({"cartesian_position": [0.5] * 7}, "it has 7 numbers in 'steps/observation/cartesian_position'"),
        ({"cartesian_position": None, "gripper_position": None}, "what its numbers mean is not written"),
    ],
)
def test_a_missing_tool_path_has_its_own_reason(tmp_path, change, told):
    features = droid_features()
    for name, numbers in change.items():
        features[f"steps/observation/{name}"] = numbers
    features = {name: values for name, values in features.items() if values is not None}
    write_records(tmp_path / "droid-train.tfrecord-00000-of-00001", [serialised(features)])
    (tmp_path / "features.json").write_text("{}")
    _, reader = open_foreign(tmp_path)
    episode = reader.read(reader.ids[0])
    assert episode.trajectory is None
    assert any(note.startswith(told) and note.endswith("it has no tool path") for note in episode.notes)
