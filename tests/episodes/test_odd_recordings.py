"""Folders of recordings whose numbers are in another unit or notation: read right, refused, or told."""

import json
import shutil

import foreign
import numpy as np
import pytest
import test_recordings as recordings
import test_rlds

from action_images.episodes.importing import Job, Outcome, import_episodes
from action_images.episodes.readers import open_foreign


def write(root, change=None):
    """An episode whose table of poses (row, 8) has been changed."""
    folder = root / "source/e1"
    recordings.write_episode(folder)
    recordings.write_cameras(folder / "cameras.json")
    if change is not None:
        rows = np.loadtxt(folder / "poses.csv", delimiter=",", skiprows=1)
        change(rows)
        np.savetxt(folder / "poses.csv", rows, delimiter=",", header=recordings.HEADER, comments="")
    return folder


def imported(root) -> Outcome:
    return import_episodes(Job(root / "source"), root / "out", 0)


def opening(change):
    """A change of the openings, which grow from 0 to 1."""

    def apply(rows):
        rows[:, 7] = change(np.linspace(0, 1, len(rows)))

    return apply


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda grows: 0.08 * grows,
            "moves between 0 and 0.08 alone, 0 is closed and 1 open; is it in metres",
        ),
        (lambda grows: 1 - 0.04 * grows, "'closed' and 'open' as 0.96 and 1, or the reverse"),
        (lambda grows: grows, None),
        (lambda grows: 0 * grows, None),
        (lambda grows: 1 - 0.015 * grows, None),
    ],
)
def test_an_opening_in_another_unit_is_told_of_once_for_the_set(tmp_path, change, told):
    write(tmp_path, opening(change))
    sentences = imported(tmp_path).sentences()
    assert told is None or told in sentences[0]
    assert len(sentences) == (told is not None)


def test_an_opening_that_is_small_in_one_episode_alone_is_not_told_of(tmp_path):
    write(tmp_path, opening(lambda grows: 0.08 * grows))
    recordings.write_episode(tmp_path / "source/e2")
    recordings.write_cameras(tmp_path / "source/e2/cameras.json")
    assert not any("opening" in told for told in imported(tmp_path).sentences())


@pytest.mark.parametrize(("low", "high"), [(0, 100), (0, 80), (-1, 1), (0, 255)])
def test_an_opening_far_beyond_1_is_refused_with_what_to_declare(tmp_path, low, high):
    write(tmp_path, opening(lambda grows: low + (high - low) * grows))
    with pytest.raises(ValueError, match=f"declare 'closed' and 'open' as {low} and {high}, or .*--columns"):
        imported(tmp_path)


@pytest.mark.parametrize(("factor", "is_told"), [(1, False), (10, True), (100, True)])
def test_a_tool_that_no_calibrated_view_shows_is_told_of(tmp_path, factor, is_told):
    def longer(rows):
        rows[:, :3] *= factor

    write(tmp_path, longer)
    told = any(
        "in none of its calibrated views at any time" in said for said in imported(tmp_path).sentences()
    )
    assert told == is_told


def test_one_view_that_never_shows_the_tool_is_named(tmp_path):
    path = write(tmp_path) / "cameras.json"
    rig = json.loads(path.read_text())
    name = next(iter(rig["cameras"]))
    pose = np.array(rig["cameras"][name]["world_from_camera"])
    rig["cameras"][name]["world_from_camera"] = np.linalg.inv(pose).tolist()
    path.write_text(json.dumps(rig))
    told = [said for said in imported(tmp_path).sentences() if "never in the view of" in said]
    assert len(told) == 1
    assert told[0].startswith(f"the tool is never in the view of {name};")


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("Time (s)", True),
        ("t_ms", True),
        ("ros_timestamp", True),
        ("elapsed", True),
        ("x_t", False),
        ("lifetime", False),
    ],
)
def test_a_column_that_looks_like_times_is_told_of_under_any_name(tmp_path, name, is_told):
    folder = write(tmp_path)
    head, *rows = (folder / "poses.csv").read_text().splitlines()
    lines = [f"{head},{name}", *(f"{row},{number}" for number, row in enumerate(rows))]
    (folder / "poses.csv").write_text("\n".join(lines))
    notes = open_foreign(tmp_path / "source")[1].read("e1").notes
    assert any("is not read, row i belongs to picture i" in note for note in notes) == is_told


def test_calibrations_above_the_episodes_that_are_not_read_are_named(tmp_path):
    write(tmp_path)
    (tmp_path / "source/README.md").write_text("mine")
    (tmp_path / "source/left.yaml").write_text("camera_matrix: 1")
    assert open_foreign(tmp_path / "source")[1].remarks == [
        "found above the episodes and not read: left.yaml"
    ]


@pytest.mark.parametrize("format", ["recordings", "rlbench", "droid", "bridge", "rlds"])
def test_links_to_folders_of_episodes_are_named(tmp_path, format):
    source, other = tmp_path / "source", tmp_path / "other"
    if format == "recordings":
        write(tmp_path)
    elif format == "rlds":
        record = test_rlds.serialised(test_rlds.droid_features())
        test_rlds.write_records(source / "droid-train.tfrecord-00000-of-00001", [record])
    else:
        foreign.WRITERS[format](source)
    first = open_foreign(source)[1]
    assert not any("links to folders" in remark for remark in first.remarks)
    other.mkdir()
    (source / "more").symlink_to(other)
    reader = open_foreign(source)[1]
    told = "1 links to folders are not followed (more); put the folders themselves there, or import each by"
    assert any(remark.startswith(told) for remark in reader.remarks)
    assert reader.ids == first.ids


def with_cameras(folder, change) -> None:
    """The cameras file of an episode with its entries changed."""
    path = folder / "cameras.json"
    content = json.loads(path.read_text())
    change(content["cameras"])
    path.write_text(json.dumps(content))


def test_a_camera_in_millimetres_is_told_of_though_it_sees_the_tool(tmp_path):
    def farther(cameras):
        for entry in cameras.values():
            for row in entry["world_from_camera"][:3]:
                row[3] *= 1000

    with_cameras(write(tmp_path), farther)
    told = "front: the camera is more than 20 m away from the tool; is its position in mm or cm? (e1)"
    assert told in imported(tmp_path).sentences()


def test_names_of_a_camera_and_a_video_that_differ_a_little_are_told(tmp_path):
    with_cameras(write(tmp_path), lambda cameras: cameras.update(Front=cameras.pop("front")))
    (note,) = open_foreign(tmp_path / "source")[1].read("e1").notes
    assert note.startswith("cameras.json has no camera for front, and Front have no video; is one of them")


def test_views_that_differ_in_capitals_alone_are_told(tmp_path):
    folder = write(tmp_path)
    shutil.copy(folder / "front.mp4", folder / "Front.mp4")
    with_cameras(folder, lambda cameras: cameras.update(Front=cameras["front"]))
    told, copied = imported(tmp_path).sentences()
    assert copied.startswith("the cameras of Front and front have exactly one pose; was it copied?")
    assert told.startswith("the views Front, front differ in capitals alone; where a system ignores these")


def test_hidden_folders_are_left_out_and_copies_within_an_episode_are_told(tmp_path):
    folder = write(tmp_path)
    for place in (".trash/e0", "__MACOSX/e1", "e1/old"):
        shutil.copytree(folder, tmp_path / "source" / place)
    _, reader = open_foreign(tmp_path / "source")
    assert reader.ids == ["e1", "e1/old"]
    assert reader.remarks == [
        "1 episodes lie within the folder of another; are they copies? (the first: e1/old)",
        "2 folders of episodes are hidden and left out (the first: .trash/e0)",
    ]


def test_a_tool_whose_position_never_changes_is_told_of(tmp_path):
    def stand(rows):
        rows[:, :3] = rows[0, :3]

    write(tmp_path, stand)
    assert imported(tmp_path).sentences() == ["the tool's position never changes; was it recorded? (e1)"]


def test_a_single_row_with_a_time_is_refused_by_its_reason(tmp_path):
    folder = write(tmp_path)
    head, first, *_ = (folder / "poses.csv").read_text().splitlines()
    (folder / "poses.csv").write_text(f"{head},time\n{first},0\n")
    with pytest.raises(ValueError, match="has 1 rows; 'time' needs two, to know how fast they follow"):
        open_foreign(tmp_path / "source")[1].read("e1")


def test_words_that_a_program_wrote_are_told_of(tmp_path):
    (write(tmp_path) / "instruction.txt").write_text('{"instruction": "lift it"}')
    (told,) = imported(tmp_path).sentences()
    assert told.startswith("its instruction is no plain text; it is taken as it stands")


def test_a_header_that_is_marked_as_a_comment_is_read(tmp_path):
    table = write(tmp_path) / "poses.csv"
    table.write_text("# " + table.read_text())
    assert open_foreign(tmp_path / "source")[1].read("e1").trajectory.num_frames == foreign.FRAMES


@pytest.mark.parametrize("mark", [";", "\t"])
def test_another_mark_between_columns_than_a_comma_is_refused_by_name(tmp_path, mark):
    table = write(tmp_path) / "poses.csv"
    table.write_text(table.read_text().replace(",", mark).replace(".", ","))
    with pytest.raises(ValueError, match=r"header has '(;|\\t)' between its columns, x.*save it with commas"):
        open_foreign(tmp_path / "source")[1].read("e1")
