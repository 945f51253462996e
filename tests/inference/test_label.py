"""Labelling: right where the model is, sure only there, at any length; and told no more than it should be."""

import base64
import csv
import json
import shutil
from dataclasses import replace
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import EpisodeError
from action_images.episodes.trajectory_file import load_trajectory
from action_images.geometry import Pose, Trajectory
from action_images.inference.label import label, label_one_view
from action_images.inference.label_folder import load_labels
from action_images.inference.label_job import Job
from action_images.inference.label_spots import label_spots
from action_images.inference.labelled_copy import label_dataset
from action_images.inference.labelling import Labelling, label_episode
from action_images.model.reliability import Bounds, Reliability
from action_images.reports.labels_page import HEIGHT_PX, write_labels_page
from action_images.reports.thumbnails import jpeg, thumbnail
from truth import CLIPS, knowing, make_episode, whole

NUM_FRAMES = 15
LABELLING = Labelling("oracle", ("view0", "view1"), overlap=2)


@pytest.fixture(scope="module")
def episode():
    return make_episode(NUM_FRAMES)


@pytest.fixture(scope="module")
def generator(episode):
    return knowing(episode)


def errors_mm(found, truth):
    metres, radians = found.path.world_from_tool.distance(truth.world_from_tool)
    return 1e3 * metres, radians.rad2deg()


def test_a_perfect_model_labels_a_video_longer_than_a_clip(generator, episode):
    found = label(generator, whole(episode), overlap=2)
    assert found.num_frames == NUM_FRAMES > CLIPS.num_frames
    millimetres, degrees = errors_mm(found, episode.trajectory)
    assert millimetres.median() < 5
    assert degrees.median() < 3
    assert ((found.path.opening > 0.5) == (episode.trajectory.opening > 0.5)).float().mean() > 0.9
    assert found.confidence[0] == 1
    assert found.confidence.mean() > 0.4


def test_without_a_first_pose_the_first_window_alone_begins_from_nothing(generator, episode):
    oracle = generator.pipeline.models.denoiser
    oracle.num_calls = oracle.num_from_nothing = 0
    found = label(generator, replace(whole(episode), trajectory=None), overlap=2)
    millimetres, _ = errors_mm(found, episode.trajectory)
    assert millimetres.median() < 5
    assert oracle.num_from_nothing == 1 < oracle.num_calls
    assert found.confidence[0] < 1


def test_nothing_of_the_path_but_its_first_pose_is_looked_at(generator, episode):
    shown = whole(episode)
    path = shown.trajectory
    later = torch.arange(NUM_FRAMES) > 0
    away = path.world_from_tool.translation + 0.05 * later[:, None]
    wrong = Trajectory(
        Pose(path.world_from_tool.rotation, away), torch.where(later, 1 - path.opening, path.opening)
    )
    one, other = label(generator, shown), label(generator, replace(shown, trajectory=wrong))
    assert torch.equal(one.confidence, other.confidence)
    assert torch.equal(one.path.to_vector(), other.path.to_vector())


def test_action_images_that_show_nothing_give_no_labels(generator, episode):
    oracle = generator.pipeline.models.denoiser
    oracle.blind_to_actions, oracle.num_calls, oracle.num_from_nothing = True, 0, 0
    try:
        found = label(generator, replace(whole(episode), trajectory=None))
    finally:
        oracle.blind_to_actions = False
    assert found.confidence.max() < 0.2
    # What is not sure enough to go on from is not gone on from.
    assert oracle.num_from_nothing == oracle.num_calls > 1


def test_one_view_gives_image_points_and_never_a_path(episode):
    one = replace(episode, views=episode.views[:1])
    generator, shown = knowing(one), whole(one)
    with pytest.raises(ValueError, match="no depth"):
        label(generator, shown)
    spots = label_one_view(generator, shown, overlap=2)
    truth, _ = shown.cameras[0][:, None].project(
        generator.pipeline.format.points(episode.trajectory.world_from_tool)
    )
    assert spots.position.shape == (NUM_FRAMES, 3, 2)
    assert (spots.position - truth).norm(dim=-1).median() < 1
    assert spots.seen.all()
    with pytest.raises(ValueError, match="one view"):
        label_one_view(generator, whole(episode))


def test_an_episode_of_a_faster_recording_is_labelled_at_its_own_rate():
    fast = make_episode(4 * NUM_FRAMES - 3, fps=20.0)
    generator = knowing(replace(make_episode(NUM_FRAMES)))
    found = label_episode(generator, fast, LABELLING)
    assert found.num_frames == fast.num_frames
    millimetres, _ = errors_mm(found, fast.trajectory)
    assert millimetres.median() < 6


def test_the_text_is_told_only_where_asked(generator, episode):
    oracle, texts = generator.pipeline.models.denoiser, []
    for text in (False, True):
        oracle.texts.clear()
        label_episode(generator, episode, replace(LABELLING, text=text))
        texts.append(oracle.texts[0])
    empty = generator.pipeline.unconditional(1)
    assert torch.equal(texts[0], empty)
    assert not torch.equal(texts[1], empty)


def test_a_labelled_copy_goes_on_where_it_was_stopped_and_leaves_the_source_alone(
    tmp_path, generator, episode
):
    source, out, again = (tmp_path / name for name in ("source", "out", "again"))
    with DatasetWriter(source, fps=5) as writer:
        for number in range(3):
            writer.add(replace(episode, id=f"test/e{number}"))
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    label_dataset(Job(lambda: generator, source, LABELLING), out, limit=1)
    labels = label_dataset(Job(lambda: generator, source, LABELLING), out)
    label_dataset(Job(lambda: generator, source, LABELLING), again)
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    for name in ("data/chunk-000/file-000.parquet", "labels/episodes.jsonl", "labels/000002.csv"):
        assert (out / name).read_bytes() == (again / name).read_bytes()
    assert load_labels(out) == labels
    copy = Dataset(out)
    assert copy.ids == Dataset(source).ids
    metres, _ = copy[2].trajectory.world_from_tool.distance(episode.trajectory.world_from_tool)
    assert metres.median() < 8e-3
    assert copy[2].instruction == episode.instruction
    page = tmp_path / "labels.html"
    least = min(range(3), key=lambda number: labels[number].mean_confidence)
    write_labels_page(page, copy, labels)
    text = page.read_text()
    assert text.index(labels[least].id) == min(text.index(row.id) for row in labels)
    assert text.count("data:image/jpeg") == 3
    assert "doubtful" not in text, "nothing is known of what the confidence of these models means"
    bounds = Bounds(good=0.5, doubtful=0.1, wrong={"good": 0.03})
    write_labels_page(page, copy, labels, reliability=Reliability("ours", {"label": bounds}))
    files = [out / f"labels/{number:06d}.csv" for number in range(3)]
    rows = chain.from_iterable(csv.DictReader(file.read_text().splitlines()) for file in files)
    text = page.read_text()
    for word, number in bounds.counts(float(row["confidence"]) for row in rows).items():
        assert f"<tr><th>{word} poses</th><td>{number}" in text
    assert "of such 3 % were wrong on ours" in text


def test_an_episode_of_place_holders_has_no_path_in_the_copy(tmp_path, generator, episode):
    source, out = tmp_path / "source", tmp_path / "out"
    with DatasetWriter(source, fps=5) as writer:
        writer.add(episode)
    oracle = generator.pipeline.models.denoiser
    oracle.blind_to_actions = True
    try:
        labels = label_dataset(Job(lambda: generator, source, replace(LABELLING, first_pose=False)), out)
    finally:
        oracle.blind_to_actions = False
    assert labels[0].num_unknown > NUM_FRAMES / 2
    assert Dataset(out)[0].trajectory is None
    assert (out / "labels" / "000000.csv").is_file()


def test_the_page_shows_what_was_read_of_an_episode_that_has_no_path_in_the_copy(
    tmp_path, generator, episode
):
    source, out, page = tmp_path / "source", tmp_path / "out", tmp_path / "labels.html"
    with DatasetWriter(source, fps=5) as writer:
        writer.add(episode)
    (row,) = label_dataset(Job(lambda: generator, source, replace(LABELLING, least_known=1.1)), out)
    copy = Dataset(out)
    assert copy[0].trajectory is None
    write_labels_page(page, copy, [row])
    drawn = replace(copy[0], trajectory=load_trajectory(out / "labels" / "000000.csv"))
    pictures = [
        base64.b64encode(jpeg(thumbnail(one, HEIGHT_PX, row.least_frame))).decode()
        for one in (drawn, copy[0])
    ]
    assert [picture in page.read_text() for picture in pictures] == [True, False]


def test_labels_are_never_written_in_place_nor_mixed(tmp_path, generator, episode):
    source = tmp_path / "source"
    with DatasetWriter(source, fps=5) as writer:
        writer.add(episode)
    for place in (source, source / "inside"):
        with pytest.raises(EpisodeError, match="never written in place"):
            label_dataset(Job(lambda: generator, source, LABELLING), place)
    label_dataset(Job(lambda: generator, source, LABELLING), tmp_path / "out")
    with pytest.raises(
        ValueError, match="other settings (seed differ)".replace("(", r"\(").replace(")", r"\)")
    ):
        label_dataset(Job(lambda: generator, source, replace(LABELLING, seed=1)), tmp_path / "out")
    with pytest.raises(EpisodeError, match="no labelled copy"):
        label_dataset(Job(lambda: generator, source, LABELLING), tmp_path)


def with_two_that_cannot_be_labelled(path, episode):
    """Four episodes; of the second a view is not calibrated, of the third a video is damaged."""
    with DatasetWriter(path, fps=5) as writer:
        for number in range(4):
            views = (
                episode.views[0],
                replace(episode.views[1], camera=None if number == 1 else episode.views[1].camera),
            )
            writer.add(replace(episode, id=f"test/e{number}", views=views))
    (path / "videos/observation.images.view0/chunk-000/file-002.mp4").write_bytes(b"damaged")
    return path


def test_what_cannot_be_labelled_is_said_and_stops_nothing(tmp_path, generator, episode):
    source, out, page = (
        with_two_that_cannot_be_labelled(tmp_path / "source", episode),
        tmp_path / "out",
        tmp_path / "page.html",
    )
    job = Job(lambda: generator, source, LABELLING)
    label_dataset(job, tmp_path / "stopped", limit=3)
    rows = label_dataset(job, out)
    assert label_dataset(job, tmp_path / "stopped") == rows == load_labels(out)
    assert [row.in_copy for row in rows] == [True, True, False, True]
    assert [row.reason and row.reason.partition(";")[0] for row in rows if row.number != 2] == [
        None,
        "test/e1: views view1 are not calibrated",
        None,
    ]
    assert "file-002.mp4: is not a readable video" in rows[2].reason
    for folder in (out, tmp_path / "stopped"):
        copy = Dataset(folder)
        assert copy.ids == ["test/e0", "test/e1", "test/e3"]
        assert [one.check().trajectory is None for one in copy] == [False, True, False]
        assert sorted(path.name for path in (folder / "labels").glob("*.csv")) == ["000000.csv", "000003.csv"]
    write_labels_page(page, Dataset(out), rows)
    text = page.read_text()
    assert text.count("data:image/jpeg") == 2
    assert "not labelled, not in the copy: " in text
    assert "not labelled, no trajectory in the copy: test/e1: views view1 are not calibrated" in text
    assert "<th>episodes not labelled</th><td>2" in text


def test_where_nothing_can_be_labelled_or_a_view_is_not_there_is_one_error(tmp_path, generator, episode):
    with DatasetWriter(tmp_path / "source", fps=5) as writer:
        writer.add(replace(episode, views=tuple(replace(view, camera=None) for view in episode.views)))
    with pytest.raises(
        EpisodeError,
        match="none of 1 episodes could be labelled; the first: test/e0: views view0, view1 are not",
    ):
        label_dataset(Job(lambda: generator, tmp_path / "source", LABELLING), tmp_path / "out")
    with pytest.raises(EpisodeError, match="source: has no view top; it has view0, view1"):
        label_dataset(
            Job(lambda: generator, tmp_path / "source", replace(LABELLING, views=("top",))),
            tmp_path / "other",
        )


def test_image_points_of_one_view_go_on_past_what_is_damaged_and_try_it_again(tmp_path, episode):
    source, out = with_two_that_cannot_be_labelled(tmp_path / "source", episode), tmp_path / "out"
    one = replace(episode, views=episode.views[:1])
    job = Job(lambda: knowing(one), source, replace(LABELLING, views=("view0",)))
    reasons = label_spots(job, out)
    assert [reason is None for reason in reasons.values()] == [True, True, False, True]
    assert list(json.loads((out / "labels/refused.json").read_text())) == ["test/e2"]
    videos = source / "videos/observation.images.view0/chunk-000"
    (videos / "file-002.mp4").write_bytes((videos / "file-003.mp4").read_bytes())
    assert set(label_spots(job, out).values()) == {None}
    assert not (out / "labels/refused.json").exists()


@pytest.mark.parametrize("version", ["now", "without ids"])
def test_image_points_of_an_episode_that_has_moved_are_not_taken_for_anothers(tmp_path, episode, version):
    source, out = tmp_path / "source", tmp_path / "out"
    short = make_episode(NUM_FRAMES - 2, name="test/short")
    write(source, episode, short)
    one = replace(episode, views=episode.views[:1])
    job = Job(lambda: knowing(one), source, replace(LABELLING, views=("view0",)))
    label_spots(job, out)
    if version == "without ids":
        (out / "labels/spots.jsonl").unlink()
    assert set(label_spots(job, out)) == {"test/e0", "test/short"}  # goes on
    shutil.rmtree(source)
    write(source, episode, replace(episode, id="test/inserted"), short)
    with pytest.raises(EpisodeError, match=r"000001.csv: belongs to .*episode 1 .* is test/inserted"):
        label_spots(job, out)
    shutil.rmtree(source)
    write(source, episode)
    with pytest.raises(EpisodeError, match=r"000001.csv: belongs to .*is not there; label into a new"):
        label_spots(job, out)


def write(folder, *episodes):
    with DatasetWriter(folder, fps=5) as writer:
        for one in episodes:
            writer.add(one)


def test_another_set_of_the_same_name_is_refused_and_one_that_has_grown_is_not(tmp_path, generator, episode):
    source, other, out = tmp_path / "a/set", tmp_path / "b/set", tmp_path / "out"
    for place, shown in ((source, episode), (other, make_episode(NUM_FRAMES, name="test/e0", fps=4.5))):
        with DatasetWriter(place, fps=5) as writer:
            writer.add(replace(shown, fps=5.0))
    label_dataset(Job(lambda: generator, source, LABELLING), out)
    with pytest.raises(ValueError, match=r"other settings \(source_content differ\)"):
        label_dataset(Job(lambda: generator, other, LABELLING), out)
    with DatasetWriter(source, fps=5) as writer:
        writer.add(replace(episode, id="test/e1"))
    assert [row.id for row in label_dataset(Job(lambda: generator, source, LABELLING), out)] == [
        "test/e0",
        "test/e1",
    ]


@pytest.mark.parametrize("num_views", [2, 1])
def test_a_later_episode_that_was_recorded_anew_under_its_id_is_not_taken_for_the_labelled_one(
    tmp_path, generator, episode, num_views
):
    source, out = tmp_path / "source", tmp_path / "out"
    second, third = (replace(episode, id=f"test/{name}") for name in ("second", "third"))
    write(source, episode, second)
    shown = replace(episode, views=episode.views[:1])
    one_view = replace(LABELLING, views=("view0",))
    job = Job(lambda: generator, source, LABELLING)
    go_on = label_dataset
    if num_views == 1:
        job, go_on = Job(lambda: knowing(shown), source, one_view), label_spots
    go_on(job, out)
    shutil.rmtree(source)
    write(source, episode, second, third)
    assert len(go_on(job, out)) == 3  # the same recordings and one more
    shutil.rmtree(source)
    anew = make_episode(NUM_FRAMES, name="test/second", fps=4.5)
    write(source, episode, replace(anew, fps=5.0), third)
    with pytest.raises(EpisodeError, match=r"test/second had other pictures, cameras or numbers"):
        go_on(job, out)


def test_one_view_of_a_data_set_becomes_image_points_in_its_own_pixels(tmp_path, episode):
    source, out = tmp_path / "source", tmp_path / "out"
    with DatasetWriter(source, fps=5) as writer:
        writer.add(episode)
    one = replace(episode, views=episode.views[:1])
    assert label_spots(Job(lambda: knowing(one), source, replace(LABELLING, views=("view0",))), out) == {
        "test/e0": None
    }
    header, *rows = (out / "labels" / "000000.csv").read_text().splitlines()
    assert header.split(",")[:3] == ["frame", "red_x", "red_y"]
    truth, _ = episode.views[0].camera.project(episode.trajectory.world_from_tool.translation)
    found = torch.tensor([[float(value) for value in row.split(",")[1:3]] for row in rows])
    assert (found - truth).norm(dim=-1).nanmedian() < 1.5
    assert not (out / "meta").exists()


def test_cameras_that_were_moved_after_the_first_labels_are_refused(tmp_path, generator, episode):
    source, out = tmp_path / "source", tmp_path / "out"
    write(source, episode, replace(episode, id="test/second"))
    job = Job(lambda: generator, source, LABELLING)
    label_dataset(job, out, limit=1)
    (data,) = source.glob("data/*/*.parquet")
    rows = pq.read_table(data)
    name = next(name for name in rows.column_names if name.endswith(".intrinsics"))
    wider = pa.array([[1.3 * number for number in row] for row in rows[name].to_pylist()], rows[name].type)
    pq.write_table(rows.set_column(rows.column_names.index(name), name, wider), data)
    with pytest.raises(EpisodeError, match=r"test/e0 had other pictures, cameras or numbers"):
        label_dataset(job, out)
