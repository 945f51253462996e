"""One pass finds everything that is wrong, and says nothing of what is right."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from action_images.cli import main as command
from action_images.episodes.checks import check as checking
from action_images.episodes.checks import looks, motion
from action_images.episodes.checks.check import check_dataset, summary
from action_images.episodes.checks.duplicates import find_duplicates
from action_images.episodes.checks.videos import check_repeats
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode, EpisodeError, FramesInMemory, View
from action_images.episodes.video import read_video, write_video
from action_images.geometry import Camera, Pose, Trajectory
from action_images.reports.thumbnails import draw_lines, jpeg, thumbnail
from recorded import blob_video, make_cameras, make_episode, write_set


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("good") / "set")


def written(path, *episodes):
    with DatasetWriter(path, fps=20) as writer:
        for episode in episodes:
            writer.add(episode)
    return path


def kinds(path, **options) -> set[tuple[str, str]]:
    """What is found, but that stored statistics are of the rows that a test has written over."""
    found = {(finding.kind, finding.episode) for finding in check_dataset(path, 0, **options).findings}
    return found - {("statistics", "")}


def test_a_good_data_set_has_no_findings(good):
    verdict = check_dataset(good, 0)
    assert verdict.findings == []
    assert (verdict.num_episodes, verdict.num_frames, verdict.fps, verdict.views) == (
        6,
        87,
        20,
        ("front", "left"),
    )


def test_worker_processes_find_the_same(good, tmp_path):
    path = damaged_in_many_ways(good, tmp_path / "set")
    assert check_dataset(path, 2).findings == check_dataset(path, 0).findings


def rewrite_rows(path, episode_index, change):
    """Put other numbers into the rows of one episode."""
    file = path / "data/chunk-000/file-000.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    for frame, row in enumerate(row for row in rows if row["episode_index"] == episode_index):
        change(frame, row)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)


def rewrite_episodes(path, change):
    """Put something else into the rows of the episode table."""
    file = path / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(file)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)


def damaged_in_many_ways(good, path):
    """Every kind of bad input that leaves a set readable, each in an episode or view of its own."""
    shutil.copytree(good, path)
    videos = path / "videos"
    cut = videos / "observation.images.left/chunk-000/file-000.mp4"
    cut.write_bytes(cut.read_bytes()[:900])
    huge = videos / "observation.images.front/chunk-000/file-003.mp4"
    write_video(huge, torch.zeros(1, 3, 16, 8208, dtype=torch.uint8), 20)
    (videos / "observation.images.front/chunk-000/file-001.mp4").unlink()
    short = videos / "observation.images.front/chunk-000/file-002.mp4"
    write_video(short, read_video(short)[:5], 20)
    large = videos / "observation.images.left/chunk-000/file-003.mp4"
    write_video(large, torch.zeros(15, 3, 96, 96, dtype=torch.uint8), 20)
    slow = videos / "observation.images.front/chunk-000/file-004.mp4"
    write_video(slow, read_video(slow), 10)
    rewrite_rows(
        path, 3, lambda _, row: row.update({"observation.cameras.left.intrinsics": [float("nan")] * 9})
    )
    rewrite_rows(
        path,
        4,
        lambda frame, row: row["observation.state"].__setitem__(0, float("nan")) if frame == 3 else None,
    )
    rewrite_rows(
        path, 5, lambda _, row: row["observation.cameras.left.world_from_camera"].__setitem__(0, 5.0)
    )

    def add_impossible(rows):
        rows += [rows[5] | {"episode_index": 6 + number} for number in range(4)]
        rows[6]["episode_id"] = "../../etc/passwd"
        rows[7] |= {"episode_id": "long", "length": 10**7}
        rows[8] |= {"episode_id": "far", "data/file_index": -1}

    rewrite_episodes(path, add_impossible)
    return path


FOUND_IN_ONE_PASS = [
    (
        "e0",
        r"left: .*file-000\.mp4: is not a readable video .*cut short; restore the file or drop the episode",
    ),
    (
        "e3",
        r"front: .*file-003\.mp4: claims 1 frames of 16x8208 px, beyond what is read; the file is damaged",
    ),
    ("e1", r"front: .*file-001\.mp4: there is no such video; restore the file or drop the episode"),
    (
        "e2",
        r"front: .*file-002\.mp4 has 5 frames and ends at .*, the episode's rows need pictures from 0\.000",
    ),
    ("e3", r"left: its frames are \(96, 96\) px, the data set says \(48, 64\); import it again"),
    (
        "e3",
        r"left: is not calibrated, and a sample with it has no cameras at all; calibrate it or leave it out",
    ),
    ("e4", r"trajectory row \[3\] has numbers that are not finite"),
    ("e4", r"front: its video runs at 10 frames/s, the data set at 20"),
    ("e5", r"left.*not orthonormal"),
    ("", r"row 6 of meta/episodes: episode id '\.\./\.\./etc/passwd' must be words .* without '\.\.'"),
    (
        "",
        r"row 7 of meta/episodes: it claims 10000000 frames, there may be 1 to 200000; repair meta/episodes",
    ),
    ("", r"row 8 of meta/episodes: -1 is impossible for 'data/file_index' in meta/episodes; repair it"),
    ("", r"row 9 of meta/episodes: two episodes share the id 'reach/variation1/e5'; repair meta/episodes"),
]


def test_one_pass_finds_everything_that_is_damaged_and_names_it_with_the_cure(good, tmp_path):
    path = damaged_in_many_ways(good, tmp_path / "set")
    verdict = check_dataset(path, 0)
    found = {(finding.episode.rpartition("/")[2], finding.message) for finding in verdict.findings}
    for episode, pattern in FOUND_IN_ONE_PASS:
        assert [message for name, message in found if name == episode and re.search(pattern, message)], (
            episode,
            pattern,
            found,
        )
    assert verdict.num_episodes == 6
    assert verdict.num_errors >= 11
    with pytest.raises(EpisodeError, match=r"set: row 6 of meta/episodes"):  # training opens no such set
        Dataset(path)


CLOSED = {
    "another version": (
        lambda info: info | {"codebase_version": "v2.1"},
        r"is LeRobot 'v2\.1', only v3\.0 is read; convert it",
    ),
    "no rate": (lambda info: info | {"fps": 0}, r"info\.json: fps is 0; give the frames per second"),
    "an absurd size": (
        lambda info: {
            **info,
            "features": info["features"]
            | {"observation.images.top": {"dtype": "video", "shape": [1 << 40, 1, 3]}},
        },
        r"info\.json: feature 'observation\.images\.top' has the shape .*; give positive whole numbers",
    ),
    "a size that is none": (
        lambda info: {
            **info,
            "features": info["features"] | {"observation.images.top": {"dtype": "video", "shape": [9]}},
        },
        r"info\.json: video 'observation\.images\.top' has the shape \[9\]; give height, width and channels",
    ),
    "a view that leaves": (
        lambda info: {
            **info,
            "features": info["features"]
            | {"observation.images.../../x": {"dtype": "video", "shape": [1, 2, 3]}},
        },
        r"feature 'observation\.images\.\.\./\.\./x' is no usable view name; a name has letters",
    ),
}


@pytest.mark.parametrize("case", CLOSED)
def test_a_set_that_cannot_be_opened_is_one_error_with_the_cure(good, tmp_path, case):
    change, pattern = CLOSED[case]
    path = tmp_path / "set"
    shutil.copytree(good / "meta", path / "meta")
    (path / "meta/info.json").write_text(
        json.dumps(change(json.loads((good / "meta/info.json").read_text())))
    )
    with pytest.raises(EpisodeError, match=pattern):
        check_dataset(path, 0)


@pytest.mark.parametrize(
    ("key", "template"),
    [("data_path", "../../{chunk_index:03d}"), ("video_path", "../../{video_key}/{chunk_index:03d}")],
)
def test_paths_that_leave_the_folder_are_found_in_every_episode(good, tmp_path, key, template):
    path = tmp_path / "set"
    shutil.copytree(good, path)
    info = json.loads((path / "meta/info.json").read_text())
    (path / "meta/info.json").write_text(json.dumps(info | {key: template}))
    verdict = check_dataset(path, 0)
    leaving = {
        finding.episode
        for finding in verdict.findings
        if re.search(r"'\.\./\.\./[^']*000' leaves.*repair info\.json", finding.message)
    }
    assert len(leaving) == 6


def test_a_folder_of_another_format_and_an_empty_set_say_what_to_do(good, tmp_path):
    with pytest.raises(
        EpisodeError, match=r"info\.json: is missing; .*Other formats are converted by 'action-images import'"
    ):
        check_dataset(tmp_path, 0)
    shutil.copytree(good / "meta", tmp_path / "set/meta", ignore=shutil.ignore_patterns("episodes"))
    with pytest.raises(EpisodeError, match="is an empty data set; import or record episodes first"):
        check_dataset(tmp_path / "set", 0)


def test_a_set_without_videos_is_an_error(good, tmp_path):
    path = tmp_path / "set"
    shutil.copytree(good, path)
    info = json.loads((path / "meta/info.json").read_text())
    features = {key: feature for key, feature in info["features"].items() if feature["dtype"] != "video"}
    (path / "meta/info.json").write_text(json.dumps(info | {"features": features}))
    assert ("error", "info.json names no video") in {
        (f.level, f.message.partition(";")[0]) for f in check_dataset(path, 0).findings
    }


def test_a_video_damaged_inside_is_found(good, tmp_path):
    path = tmp_path / "set"
    shutil.copytree(good, path)
    video = path / "videos/observation.images.left/chunk-000/file-002.mp4"
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + 700
    content[start : start + 400] = bytes(400)
    video.write_bytes(content)
    assert any(episode.endswith("e2") for _, episode in kinds(path))


def test_a_wrong_convention_is_found_by_where_the_tool_projects(tmp_path):
    """A camera turned about, as when poses are taken for their inverses: the tool is behind it."""
    episode = make_episode()
    views = tuple(
        View(
            view.name,
            view.frames,
            Camera(view.camera.intrinsics, view.camera.world_from_camera.inverse(), view.camera.size),
        )
        for view in episode.views
    )
    assert ("calibration", "task/e0") in kinds(written(tmp_path, replace(episode, views=views)))


def long_motion(swap: bool):
    """The tool crosses the pictures; with `swap` each view has the other's camera."""
    steps = torch.linspace(-1, 1, 24)
    position = torch.stack([0.15 * steps, 0.15 * (3 * steps).sin(), 0.1 * (2 * steps).cos()], -1)
    trajectory = Trajectory(Pose(torch.eye(3).expand(24, 3, 3), position), (steps < 0).float())
    cameras = make_cameras((96, 128))
    names = list(cameras)
    shown = dict(zip(names, reversed(names) if swap else names, strict=True))
    views = tuple(
        View(
            name,
            FramesInMemory(blob_video(cameras[shown[name]].project(position)[0], (96, 128))),
            cameras[name],
        )
        for name in names
    )
    return make_episode("swapped" if swap else "right", trajectory=trajectory, views=views)


def test_cameras_of_the_wrong_views_are_found_by_what_moves(tmp_path):
    assert kinds(written(tmp_path / "right", long_motion(False))) == set()
    assert ("calibration", "swapped") in kinds(written(tmp_path / "swapped", long_motion(True)))


def small_looks(view, num_frames):
    return looks.grey_thumbnails(looks.decode_all(view.frames), torch.arange(num_frames), motion.SIDE)


def test_motion_lies_near_the_tool_and_on_the_epipolar_line():
    episode = long_motion(False)
    positions = episode.trajectory.world_from_tool.translation
    moved = {view.name: motion.changes(small_looks(view, 24)) for view in episode.views}
    centres = {}
    for view in episode.views:
        centres[view.name], weight = motion.centre(moved[view.name], (96, 128))
        between = view.camera.project((positions[1:] + positions[:-1]) / 2)[0]
        assert (centres[view.name] - between)[weight > 0].norm(dim=-1).median() < 4
    one, other = (view.camera.expand(23) for view in episode.views)
    assert motion.epipolar_distance(one, other, *centres.values()).nanmedian() < 0.02
    exact = motion.epipolar_distance(
        one, other, one.project(positions[1:])[0], other.project(positions[1:])[0]
    )
    assert exact.max() < 1e-3


def test_static_and_repeated_episodes_and_dead_grippers_are_found(tmp_path):
    still = make_episode("still", num_frames=12)
    frozen = Trajectory(still.trajectory.world_from_tool[torch.zeros(12).long()], torch.ones(12))
    picture = torch.randint(0, 255, (1, 3, 48, 64), dtype=torch.uint8).expand(12, 3, 48, 64)
    still = replace(
        still,
        trajectory=frozen,
        views=tuple(replace(view, frames=FramesInMemory(picture.contiguous())) for view in still.views),
    )
    found = kinds(
        written(tmp_path, make_episode("a"), still, make_episode("b", seed=3), make_episode("a/again"))
    )
    assert ("static", "still") in found
    assert ("gripper", "still") in found
    assert ("duplicate", "a/again") in found
    assert not {episode for _, episode in found} & {"a", "b"}


@pytest.mark.parametrize("length", [0.5, 0.05])
def test_a_view_without_a_camera_that_never_changes_on_a_long_path_is_told(length: float):
    told = []
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 255, (1, 3, 96, 96), dtype=torch.uint8, generator=generator)
    pictures = picture.expand(12, -1, -1, -1)
    places = torch.stack([torch.linspace(0, length, 12), torch.zeros(12), torch.zeros(12)], -1)
    path = Trajectory(Pose(torch.eye(3).expand(12, 3, 3), places), torch.ones(12))
    view = View("top", FramesInMemory(pictures), None)
    check_repeats(view, pictures, path, lambda *said: told.append(said))
    assert [kind for _, kind, _ in told] == (["repeated pictures"] if length > 0.2 else [])
    check_repeats(view, torch.cat([pictures[:6], 255 - pictures[6:]]), path, lambda *said: told.append(said))
    assert len(told) <= 1


def before_a_fixed_camera(name, spot: int, trajectory=None, size=(240, 320), num_frames=12):
    """A bright room in which a small part moves, to another place in each demonstration."""
    video = torch.full((num_frames, 3, *size), 90, dtype=torch.uint8)
    for frame in range(num_frames):
        video[frame, :, 50 + 8 * frame : 62 + 8 * frame, spot : spot + 12] = 250
    return Episode(name, "stack", 20.0, (View("top", FramesInMemory(video), None),), trajectory)


def duplicates(path) -> dict[str, str]:
    return {
        found.episode: found.message for found in check_dataset(path, 0).findings if found.kind == "duplicate"
    }


def test_different_demonstrations_before_a_fixed_camera_are_no_duplicates(tmp_path):
    shown = [before_a_fixed_camera(f"e{spot}", spot) for spot in (50, 80, 110)]
    encoded_anew = replace(shown[1], id="again")
    seen = [small_looks(one.views[0], 12) for one in shown]
    assert (seen[0] - seen[1]).abs().mean() < 1
    written(tmp_path / "a", *shown, encoded_anew)
    with DatasetWriter(tmp_path / "b", fps=20, crf=26) as writer:
        for episode in shown:
            writer.add(episode)
    with DatasetWriter(tmp_path / "b", fps=20, crf=12) as writer:
        writer.add(encoded_anew)
    for name in "ab":
        assert duplicates(tmp_path / name) == {"again": "shows the same as e80; leave one out of training"}


def test_the_same_pictures_on_another_path_are_no_duplicates(tmp_path):
    path = make_episode(num_frames=12).trajectory
    pose = path.world_from_tool

    def moved(millimetres: float) -> Trajectory:
        away = torch.zeros(12, 3)
        away[7, 0] = 1e-3 * millimetres
        return replace(path, world_from_tool=replace(pose, translation=pose.translation + away))

    episodes = {
        "once": path,
        "again": moved(0.9),
        "elsewhere": moved(1.5),
        "longer": make_episode(num_frames=13).trajectory,
    }
    shown = [
        before_a_fixed_camera(name, 100, one, num_frames=one.num_frames) for name, one in episodes.items()
    ]
    assert duplicates(written(tmp_path, *shown)) == {
        "again": "shows the same as once; leave one out of training"
    }


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=12),
    st.booleans(),
    st.integers(0, 1000),
)
def test_duplicates_are_those_of_comparing_all_pairs(drawn, with_paths, seed):
    """Wherever a cell ends: episodes that differ by less than is allowed are found, others are not."""
    generator = np.random.default_rng(seed)
    bases = 0.3 * generator.standard_normal((4, 5, 3))
    pictures = 40 * generator.random((4, 4, 3, 3)) + 100
    examined = []
    for number, (base, noisy) in enumerate(drawn):
        path = (
            (bases[base] + noisy * np.array([3e-4, -3e-4, 3e-4])).astype(np.float32) if with_paths else None
        )
        signature = (pictures[base] + 0.5 * noisy).astype(np.float16)
        examined.append(checking.Examined(f"e{number}", 5, signature=signature, path=path))
    first = {base: number for number, (base, _) in reversed(list(enumerate(drawn)))}
    expected = [f"e{number}" for number, (base, _) in enumerate(drawn) if first[base] != number]
    assert [finding.episode for finding in find_duplicates(examined)] == expected


def test_grippers_that_never_move_in_most_episodes_are_one_finding(tmp_path):
    episodes = [make_episode(f"e{seed}", seed=seed) for seed in range(3)]
    frozen = [
        replace(one, trajectory=replace(one.trajectory, opening=torch.ones(12))) for one in episodes[:2]
    ]
    found = [
        finding
        for finding in check_dataset(written(tmp_path, *frozen, episodes[2]), 0).findings
        if finding.kind == "gripper"
    ]
    assert [(finding.episode, finding.message) for finding in found] == [
        ("", "the opening never changes in 2 of 3 episodes; is the real gripper recorded?")
    ]


def test_an_episode_without_any_camera_is_told_once(tmp_path):
    episode = make_episode()
    path = written(
        tmp_path, replace(episode, views=tuple(replace(view, camera=None) for view in episode.views))
    )
    assert [finding.kind for finding in check_dataset(path, 0).findings] == ["no camera"]


def test_a_tool_out_of_view_is_told(tmp_path):
    episode = make_episode()
    away = Camera.look_at(torch.tensor([0.9, 0.1, 0.6]), torch.tensor([2.0, 2.0, 1.0]), 0.5, (48, 64))
    episode = replace(episode, views=(replace(episode.views[0], camera=away), episode.views[1]))
    assert ("tool out of view", "task/e0") in kinds(written(tmp_path, episode))


def test_the_command_gives_a_table_a_page_and_an_exit_code(good, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert command(["check", str(good), "--html", str(page), "--workers", "0"]) == 0
    assert "No error was found" in capsys.readouterr().out
    assert page.read_text().count("data:image/jpeg;base64,") == 6
    bad = damaged_in_many_ways(good, tmp_path / "set")
    assert command(["check", str(bad), "--workers", "0", "--thumbnails", "3"]) == 1
    told = capsys.readouterr().out
    assert "error: damaged" in told
    assert "reach/variation1/e1: front: " in told
    text = (bad / "check.html").read_text()
    assert "3 of 6 episodes, the worst first" in text
    assert not re.search(r'(src|href)=(?!"?data:)', text)
    assert command(["check", str(tmp_path / "absent")]) == 2
    assert "there is no such folder; did you mean" in capsys.readouterr().err


def test_an_episode_with_a_damaged_part_is_shown_by_the_others(good, tmp_path):
    path = damaged_in_many_ways(good, tmp_path / "set")
    assert command(["check", str(path), "--workers", "0"]) == 1
    page = (path / "check.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 6
    assert str(tmp_path) not in page


def test_a_page_shows_text_as_text(tmp_path):
    path = written(tmp_path / "set", make_episode(instruction="<script>alert(1)</script>"))
    assert command(["check", str(path), "--workers", "0"]) == 0
    assert "<script" not in (path / "check.html").read_text()


def test_the_thumbnail_shows_the_tool_where_it_is():
    still = Trajectory(Pose(torch.eye(3).expand(13, 3, 3), torch.zeros(13, 3)), torch.ones(13))
    picture = thumbnail(make_episode(num_frames=13, trajectory=still), height=96)
    assert picture.shape == (3, 96, 256 + 4)
    camera = make_cameras()["left"].resize(96, 128)
    left = picture[:, :, 132:]  # the first camera looks along the x axis
    for point, channel in (((0, 0, 0), 0), ((0.07, 0, 0), 1), ((0, 0, -0.07), 2)):
        tip, _ = camera.project(torch.tensor(point, dtype=torch.float32))
        colour = left[:, int(tip[1]), int(tip[0])].int()
        assert colour.argmax() == channel
    assert jpeg(picture)[:2] == b"\xff\xd8"
    assert jpeg(picture) == jpeg(picture)


def test_a_line_goes_through_its_points():
    blank = torch.zeros(3, 20, 30, dtype=torch.uint8)
    drawn = draw_lines(blank, [(torch.tensor([[5.5, 5.5], [25.5, 15.5]]), "#ff0000", 1.0)])
    assert drawn[0, 5, 5] == drawn[0, 10, 15] == drawn[0, 15, 25] == 255
    assert drawn[1:].max() == 0
    assert drawn[0, 2, 25] == 0
    assert torch.equal(draw_lines(blank, [(torch.zeros(1, 2), "#ff0000", 1.0)]), blank)


def test_the_summary_counts_kinds(good, tmp_path):
    verdict = check_dataset(damaged_in_many_ways(good, tmp_path / "set"), 0)
    counts = summary(verdict)
    assert next(iter(counts)).startswith("error")
    assert sum(counts.values()) == len(verdict.findings)


def test_an_episode_of_one_frame_is_looked_at_like_any_other(tmp_path):
    path = written(tmp_path / "set", make_episode("a", 1), make_episode("b", 12))
    assert "unreadable" not in {kind for kind, _ in kinds(path)}


def test_actions_that_are_not_finite_are_found(good, tmp_path):
    path = tmp_path / "set"
    shutil.copytree(good, path)
    rewrite_rows(
        path, 2, lambda frame, row: row["action"].__setitem__(1, float("nan")) if frame == 4 else None
    )
    found = {finding.episode: finding.message for finding in check_dataset(path, 0).findings}
    assert list(found) == ["reach/variation0/e2"]
    assert "'action' has numbers that are not finite in 1 of 14 frames, the first is 4" in found.popitem()[1]


def test_a_video_that_goes_on_after_its_rows_is_found(good, tmp_path):
    path = tmp_path / "set"
    shutil.copytree(good, path)
    video = path / "videos/observation.images.left/chunk-000/file-003.mp4"
    shown = read_video(video)
    write_video(video, torch.cat([shown, shown[-1:].expand(6, -1, -1, -1)]), 20)
    found = [finding for finding in check_dataset(path, 0).findings if finding.kind == "lengths"]
    assert [finding.episode for finding in found] == ["reach/variation1/e3"]
    assert "left: its video has 6 pictures after the last row (21 in all)" in found[0].message


def test_a_gripper_in_other_units_is_found(tmp_path):
    episode = make_episode()
    small = replace(
        episode, trajectory=replace(episode.trajectory, opening=0.04 * episode.trajectory.opening)
    )
    messages = [finding.message for finding in check_dataset(written(tmp_path, small), 0).findings]
    assert any("moves only between 0.00 and 0.04" in message for message in messages)


def rewrite_statistics(path, change):
    file = path / "meta/stats.json"
    stored = json.loads(file.read_text())
    change(stored)
    file.write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda stored: stored["action"]["mean"].__setitem__(1, 0.9),
            "'action' says 0.9 for the mean of number 1",
        ),
        (
            lambda stored: stored["observation.state"].pop("std"),
            "'observation.state' has no 'std' of 8 numbers",
        ),
        (lambda stored: stored["action"].update(max=[1.0]), "'action' has no 'max' of 8 numbers"),
        (lambda stored: stored["action"].update(min=["a"] * 8), "'action' has no 'min' of 8 numbers"),
        (lambda stored: stored.pop("action"), "'action' has no statistics"),
    ],
)
def test_stored_statistics_of_other_numbers_are_said(good, tmp_path, change, said):
    path = tmp_path / "set"
    shutil.copytree(good, path)
    rewrite_statistics(path, change)
    (finding,) = check_dataset(path, 0).findings
    assert (finding.level, finding.kind, finding.episode) == ("warning", "statistics", "")
    assert said in finding.message
    assert "import the set into a new folder" in finding.message


def test_rows_that_were_written_over_are_not_those_of_the_statistics(good, tmp_path):
    path = tmp_path / "set"
    shutil.copytree(good, path)
    rewrite_rows(path, 2, lambda _, row: row["action"].__setitem__(0, 0.9))
    (finding,) = [one for one in check_dataset(path, 0).findings if one.kind == "statistics"]
    assert "'action' says" in finding.message


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_statistics_that_are_missing_or_damaged_are_said(good, tmp_path, text):
    path = tmp_path / "set"
    shutil.copytree(good, path)
    file = path / "meta/stats.json"
    file.unlink() if text is None else file.write_text(text)
    (finding,) = check_dataset(path, 0).findings
    assert finding.kind == "statistics"
    assert "meta/stats.json" in finding.message
