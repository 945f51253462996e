"""What `action-images view` serves and writes: lists, numbers and pictures that are the episode's own."""

import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from filmed import config
from PIL import Image

from action_images.cli import main
from action_images.codec import draw_uint8
from action_images.codec.overlay import overlay
from action_images.episodes.checks.report_file import CheckReport, Finding, load_report, save_report
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import Episode, EpisodeError
from action_images.episodes.readers import open_foreign
from action_images.episodes.trajectory_file import save_trajectory
from action_images.episodes.video import write_video
from action_images.errors import ActionImagesError
from action_images.evaluation.closed_loop import judge
from action_images.evaluation.rollout import Rollout
from action_images.evaluation.trial import TrialRecord, append_trial
from action_images.files import jsonl
from action_images.geometry import Camera, Pose
from action_images.inference.label_folder import fingerprint
from action_images.inference.labelling import EpisodeLabels
from action_images.reports.viewing import server as server_module
from action_images.reports.viewing.document import MAX_FRAMES, document_of
from action_images.reports.viewing.encoded import FRAMES_IN_PART, part_of
from action_images.reports.viewing.opened import open_shelf
from action_images.reports.viewing.page import write_viewable_page
from action_images.reports.viewing.plans_shelf import PlansShelf, PlanWriter
from action_images.reports.viewing.record_file import load_record, save_record
from action_images.reports.viewing.robot_view import of_plan, of_rollout
from action_images.reports.viewing.server import MAX_CONNECTIONS, ViewServer
from action_images.reports.viewing.shelf import Shelf, Wish, listed
from action_images.reports.viewing.viewable import Viewable, of_episode
from action_images.robot import Observation, Plan
from recorded import make_episode, write_set

SEED = 1_000_000


def moving(episode: Episode) -> Episode:
    """The same episode, its first view seen as by a camera that moves."""
    first, *others = episode.views
    rig = first.camera.expand(episode.num_frames)
    shift = torch.linspace(0, 0.1, episode.num_frames)[:, None] * torch.tensor([1.0, 0.0, 0.0])
    pose = Pose(rig.world_from_camera.rotation, rig.world_from_camera.translation + shift)
    camera = Camera(rig.intrinsics, pose, rig.size)
    return replace(episode, views=(replace(first, camera=camera), *others))


def pictures(part: bytes) -> list[torch.Tensor]:
    """The pictures of a part, RGBA where they have it."""
    count, at, found = int.from_bytes(part[:4], "big"), 4, []
    for _ in range(count):
        length = int.from_bytes(part[at : at + 4], "big")
        found.append(torch.from_numpy(np.array(Image.open(io.BytesIO(part[at + 4 : at + 4 + length])))))
        at += 4 + length
    assert at == len(part)
    return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "demos")


@pytest.fixture(scope="module")
def rollout() -> Rollout:
    given = config(("reach_target",))
    return judge(given.make(), given, ("reach_target", SEED), filming=True)[1]


def test_parts_hold_the_frames_that_were_asked_for():
    frames = make_episode(num_frames=40).views[0].frames
    for start in (0, 16, 32):
        wanted = range(start, min(start + FRAMES_IN_PART, 40))
        found = pictures(part_of(frames, wanted, 480))
        exact = frames.read(wanted).movedim(1, -1)
        assert len(found) == len(exact)
        assert (torch.stack(found).float() - exact.float()).abs().mean() < 2


def test_spots_laid_over_a_picture_are_the_overlay_of_the_codec():
    episode = make_episode()
    view = of_episode(episode).views[0]
    actions = view.layers[1]
    (rgba,) = pictures(part_of(actions.frames, [5], 480, over=True))
    picture = view.layers[0].frames.read([5])
    drawn = draw_uint8(episode.trajectory[5:6], episode.views[0].camera)
    assert torch.equal(actions.frames.read([5]), drawn)
    cover = rgba[..., 3:].float() / 255
    laid = picture[0].movedim(0, -1) * (1 - cover) + rgba[..., :3] * cover
    assert (laid - overlay(picture, drawn)[0].movedim(0, -1).float()).abs().mean() < 2


def test_the_document_holds_the_numbers_of_the_episode():
    episode = moving(make_episode())
    document = json.loads(json.dumps(document_of(of_episode(episode)), allow_nan=False))
    path = document["paths"][0]
    tool = episode.trajectory.world_from_tool
    assert np.allclose(np.reshape(path["positions"], (-1, 3)), tool.translation, atol=1e-5)
    assert np.allclose(np.reshape(path["rotations"], (-1, 3, 3)), tool.rotation, atol=1e-6)
    assert np.allclose(path["opening"], episode.trajectory.opening)
    assert [view["camera"]["is_moving"] for view in document["views"]] == [True, False]
    matrices = np.reshape(document["views"][0]["camera"]["world_from_camera"], (-1, 3, 4))
    expected = episode.views[0].camera.world_from_camera
    assert np.allclose(matrices[..., 3], expected.translation, atol=1e-6)
    angles = np.reshape(path["angles_deg"], (-1, 3))
    assert np.abs(np.diff(angles, axis=0)).max() < 90


def test_poses_that_are_not_known_are_null_and_not_drawn():
    episode = make_episode()
    unknown = episode.trajectory.world_from_tool.translation.clone()
    unknown[3] = torch.nan
    pose = Pose(episode.trajectory.world_from_tool.rotation, unknown)
    shown = of_episode(replace(episode, trajectory=replace(episode.trajectory, world_from_tool=pose)))
    assert document_of(shown)["paths"][0]["positions"][9:12] == [None, None, None]
    assert shown.views[0].layers[1].frames.read([3])[0, :2].max() == 0


def test_more_frames_than_a_browser_holds_are_refused():
    shown = replace(of_episode(make_episode()), num_frames=MAX_FRAMES + 1)
    with pytest.raises(ActionImagesError, match="at most"):
        document_of(shown)


def test_a_page_that_would_be_too_large_has_fewer_pictures_and_says_so(tmp_path: Path):
    shown = of_episode(make_episode(num_frames=60))
    whole = write_viewable_page(tmp_path / "whole.html", shown)
    thinned = write_viewable_page(tmp_path / "thin.html", shown, max_bytes=60_000)
    assert thinned < whole - 100_000
    text = (tmp_path / "thin.html").read_text()
    assert "frames between show the one before" in text
    document = json.loads(text.partition('id="document">')[2].partition("</script>")[0])
    layer = document["views"][0]["layers"][0]
    assert layer["num_pictures"] < 60
    assert len(layer["shows"]) == 60
    assert len(document["paths"][0]["opening"]) == 60


def same(found: Viewable, saved: Viewable) -> None:
    """All numbers are equal and all pictures are alike."""
    assert document_of(found) == document_of(saved)
    for own, other in zip(found.views, saved.views, strict=True):
        for layer, true in zip(own.layers, other.layers, strict=True):
            for frame in (0, len(layer.frames) - 1):
                apart = layer.frames.read([frame]).float() - true.frames.read([frame]).float()
                assert apart.abs().mean() < 3


def test_a_record_is_read_as_it_was_saved(tmp_path: Path, rollout: Rollout):
    saved = of_rollout(rollout)
    assert [layer.name for layer in saved.views[0].layers] == [
        "camera",
        "imagined video",
        "imagined action images",
    ]
    plans = [path for path in saved.paths if path.shown is not None]
    assert plans[0].shown is not None
    assert plans[-1].shown is not None
    assert plans[0].shown[0] == 0
    assert plans[-1].shown[1] == saved.num_frames
    save_record(tmp_path / "trial.view", saved)
    same(load_record(tmp_path / "trial.view"), saved)


def test_a_plan_lies_where_its_frames_are_in_force(rollout: Rollout):
    shown = of_rollout(rollout)
    executed, first = shown.paths[0], shown.paths[1]
    for frame in range(1, 6):
        planned = first.trajectory.world_from_tool.translation[frame - first.start]
        assert (planned - executed.trajectory.world_from_tool.translation[frame]).norm() < 0.02


@pytest.mark.parametrize("damage", ["nothing", "numbers", "picture", "format", "lengths"])
def test_a_damaged_record_is_one_error(tmp_path: Path, damage: str):
    path = tmp_path / "plan.view"
    save_record(path, of_episode(make_episode(num_frames=3)))
    with zipfile.ZipFile(path) as file:
        held = {name: file.read(name) for name in file.namelist()}
    content = json.loads(held["numbers.json"])
    if damage == "format":
        content["version"] = 99
    if damage == "lengths":
        content["paths"][0]["opening"] = [1.0]
    held["numbers.json"] = b"[" if damage == "numbers" else json.dumps(content).encode()
    if damage == "picture":
        held["0/0/0.jpg"] = b"no picture"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in held.items():
            file.writestr(name, data)
    if damage == "nothing":
        path.write_bytes(b"")
    with pytest.raises(EpisodeError):
        load_record(path).views[0].layers[0].frames.read([0])


def observed(episode: Episode) -> tuple[Observation, Plan]:
    rig = Camera(
        torch.stack([view.camera.intrinsics for view in episode.views]),
        Pose(
            torch.stack([view.camera.world_from_camera.rotation for view in episode.views]),
            torch.stack([view.camera.world_from_camera.translation for view in episode.views]),
        ),
        episode.views[0].frames.size,
    )
    images = torch.stack([view.frames.read([0])[0] for view in episode.views])
    path = episode.trajectory
    seen = Observation(images, rig, path.world_from_tool[0], path.opening[0], "push it")
    return seen, Plan(path[1:], confidence=torch.linspace(1, 0, path.num_frames - 1))


def test_a_plan_begins_with_its_observation_which_stays():
    episode = make_episode()
    shown = of_plan(*observed(episode), "plan 1", 20.0)
    assert shown.num_frames == episode.num_frames
    view = shown.views[0]
    assert len(view.layers[0].frames) == 1
    assert view.layers[0].shows == (0,) * shown.num_frames
    assert torch.equal(shown.paths[0].trajectory.opening, episode.trajectory.opening)
    drawn = draw_uint8(episode.trajectory[4:5], episode.views[0].camera)
    assert torch.equal(view.layers[1].frames.read([4]), drawn)


def test_the_last_plans_stay_and_older_ones_go(tmp_path: Path):
    folder, seen = tmp_path / "plans", observed(make_episode(num_frames=3))
    write = PlanWriter(folder, keep=2, fps=20.0)
    shelf = open_shelf(folder)
    assert isinstance(shelf, PlansShelf)
    assert not shelf.entries()
    write(*seen)
    before = shelf.version()
    for _ in range(3):
        write(*seen)
    assert shelf.version() != before
    assert [entry.id for entry in shelf.entries()] == ["plan 4", "plan 3"]
    assert shelf.open(1).id == "plan 3"
    PlanWriter(folder, keep=2, fps=20.0)(*seen)
    assert [entry.id for entry in shelf.entries()] == ["plan 5", "plan 4"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ActionImagesError, match=r"notes\.txt"):
        PlanWriter(folder, keep=2, fps=20.0)


def test_a_plan_that_newer_ones_have_moved_is_still_the_same(tmp_path: Path):
    folder, seen = tmp_path / "plans", observed(make_episode(num_frames=3))
    write = PlanWriter(folder, keep=3, fps=20.0)
    write(*seen)
    library = server_module.Library(open_shelf(folder))
    first = library.document(0, "plan 1")
    part = library.part(0, "plan 1", (0, 0, False, 0))
    for _ in range(2):
        write(*seen)
    assert library.document(0, "plan 1") == first
    assert library.part(0, "plan 1", (0, 0, False, 0)) is part
    write(*seen)
    with pytest.raises(server_module.Refused, match="plan 1 is not there any more"):
        library.document(0, "plan 1")


def test_plans_and_trials_that_are_made_anew_are_shown_anew(tmp_path: Path):
    folder = tmp_path / "plans"
    PlanWriter(folder, keep=3, fps=20.0)(*observed(make_episode(num_frames=3)))
    shelf = open_shelf(folder)
    library, before = server_module.Library(shelf), shelf.version()
    assert library.document(0, "plan 1")["num_frames"] == 3
    (folder / "plan-000000001.view").unlink()
    PlanWriter(folder, keep=3, fps=20.0)(*observed(make_episode(num_frames=5)))
    assert shelf.version() != before
    assert library.document(0, "plan 1")["num_frames"] == 5
    results = tmp_path / "results"
    results.mkdir()
    append_trial(results, trial("push_button", 1, film="films/a.mp4"))
    library = server_module.Library(open_shelf(results))
    for num_frames in (4, 6):
        save_record(results / "films/a.view", of_episode(make_episode(num_frames=num_frames)))
        (results / "trials.jsonl").unlink()
        append_trial(results, trial("push_button", 1, film="films/a.mp4"))
        library.list(Wish())
        assert library.document(0, "push_button 1")["num_frames"] == num_frames


def test_findings_of_check_are_listed_and_found(recorded: Path):
    name = Dataset(recorded).ids[1]
    findings = [Finding("warning", "gripper", name, f"{name}: the gripper never moves")]
    save_report(recorded / "check.json", CheckReport(6, findings, "all is well", exists=True))
    try:
        shelf = open_shelf(recorded)
        assert shelf.notes == ["all is well"]
        kinds = dict(listed(shelf, Wish())["facets"]["finding"])
        assert kinds == {"no finding": 5, "warning: gripper": 1}
        by_kind = listed(shelf, Wish(facets={"finding": "warning: gripper"}))
        by_words = listed(shelf, Wish(words=("never", "moves")))
        for answer in (by_kind, by_words):
            assert [entry["id"] for entry in answer["entries"]] == [name]
            assert answer["entries"][0]["level"] == "warning"
        assert ("warning", f"{name}: the gripper never moves") in shelf.open(1).warnings
        save_report(recorded / "check.json", CheckReport(5, (), "", exists=True))
        assert "5 episodes, there are 6" in open_shelf(recorded).notes[0]
    finally:
        (recorded / "check.json").unlink()


def test_check_leaves_its_findings_for_view(tmp_path: Path, capsys: pytest.CaptureFixture):
    with DatasetWriter(tmp_path / "set", fps=20) as writer:
        writer.add(make_episode("first"))
        writer.add(make_episode("second"))
    main(["check", str(tmp_path / "set"), "--workers", "0"])
    assert "action-images view" in capsys.readouterr().out
    report = load_report(tmp_path / "set")
    assert report.exists
    assert report.num_episodes == 2
    assert any(finding.kind == "duplicate" for finding in report.findings)


def test_an_episode_that_kills_its_reader_is_not_opened(recorded: Path, tmp_path: Path):
    copy = tmp_path / "set"
    for path in recorded.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(recorded)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(recorded)).write_bytes(path.read_bytes())
    name = Dataset(copy).ids[0]
    deadly = Finding("error", "deadly", name, "the process that decoded it died")
    save_report(copy / "check.json", CheckReport(6, [deadly], "", exists=True))
    with pytest.raises(EpisodeError, match="ended the process"):
        open_shelf(copy).open(0)
    assert open_shelf(copy).open(1).num_frames > 0


def test_a_damaged_view_does_not_hide_the_others(recorded: Path, tmp_path: Path):
    copy = tmp_path / "set"
    for path in recorded.rglob("*"):
        if path.is_file() and "observation.images.left" not in str(path):
            (copy / path.relative_to(recorded)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(recorded)).write_bytes(path.read_bytes())
    shown = open_shelf(copy).open(0)
    assert [view.name for view in shown.views] == ["front"]
    assert any("left cannot be shown" in told for _, told in shown.warnings)


def test_a_hundred_thousand_episodes_are_listed_at_once_and_without_torch(recorded: Path, tmp_path: Path):
    (tmp_path / "meta/episodes/chunk-000").mkdir(parents=True)
    (tmp_path / "meta/info.json").write_bytes((recorded / "meta/info.json").read_bytes())
    count = 100_000
    table = {
        "episode_index": list(range(count)),
        "episode_id": [f"task/e{number}" for number in range(count)],
        "length": [100] * count,
        "tasks": [[f"pick up cube-{number % 977}-"] for number in range(count)],
    }
    pq.write_table(pa.table(table), tmp_path / "meta/episodes/chunk-000/file-000.parquet")
    code = (
        "import sys, time; start = time.process_time()\n"
        "from pathlib import Path\n"
        "from action_images.reports.viewing.opened import open_shelf\n"
        "from action_images.reports.viewing.server import ViewServer\n"
        "from action_images.reports.viewing.shelf import Wish, listed\n"
        f"answer = listed(open_shelf(Path({str(tmp_path)!r})), Wish(('pick', 'cube-976-')))\n"
        "print(answer['total'], answer['matching'], 'torch' in sys.modules, time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    total, matching, has_torch, seconds = done.stdout.split()
    assert (int(total), int(matching), has_torch) == (count, 100_000 // 977, "False")
    assert float(seconds) < 6


def trial(task: str, seed: int, **changes) -> TrialRecord:
    known = {
        "protocol": "in_domain",
        "policy": "tiny",
        "instruction": f"do {task}",
        "succeeded": True,
        "failure": None,
        "detail": "done after 1.0 s",
        "num_steps": 20,
        "num_plans": 2,
        "num_unreachable": 0,
    }
    return TrialRecord(task=task, seed=seed, **known | changes)


def test_trials_are_followed_while_they_are_written(tmp_path: Path, rollout: Rollout):
    append_trial(tmp_path, trial("push_button", 1))
    shelf = open_shelf(tmp_path)
    before = shelf.version()
    assert shelf.is_live
    save_record(tmp_path / "films/a.view", of_rollout(rollout))
    append_trial(tmp_path, trial("close_box", 2, film="films/a.mp4"))
    missed = {"succeeded": False, "failure": "missed", "detail": "ended 60 mm beside"}
    append_trial(tmp_path, trial("push_button", 3, **missed))
    assert shelf.version() != before
    assert [entry.id for entry in shelf.entries()] == ["close_box 2", "push_button 1", "push_button 3"]
    answer = listed(shelf, Wish(facets={"outcome": "failed"}))
    assert [entry["detail"] for entry in answer["entries"]] == ["missed: ended 60 mm beside"]
    assert shelf.open(0).num_frames == len(rollout.steps) + 1
    assert ("outcome", "failed: missed") in shelf.open(2).facts
    assert shelf.open(2).num_frames == 0


def test_a_film_that_leads_out_of_its_folder_is_refused(tmp_path: Path):
    write_video(tmp_path / "secret.mp4", torch.zeros(3, 3, 16, 16, dtype=torch.uint8), 10)
    append_trial(tmp_path, trial("push_button", 1))
    (tmp_path / "results").mkdir()
    append_trial(tmp_path / "results", trial("push_button", 1, film="../secret.mp4"))
    with pytest.raises(EpisodeError, match="leaves"):
        open_shelf(tmp_path / "results").open(0)


def test_a_film_is_looked_at_picture_by_picture(tmp_path: Path):
    video = (torch.arange(9)[:, None, None, None] * 25).to(torch.uint8).expand(9, 3, 16, 32)
    write_video(tmp_path / "film.mp4", video, 10)
    shown = open_shelf(tmp_path / "film.mp4").open(0)
    assert (shown.num_frames, shown.fps, shown.views[0].size) == (9, 10, (16, 32))
    grey = [
        float(picture.float().mean())
        for picture in pictures(part_of(shown.views[0].layers[0].frames, range(9), 480))
    ]
    assert np.allclose(grey, [25 * frame for frame in range(9)], atol=4)


def labels_of(folder: Path, dataset: Dataset, views: tuple[str, ...] = ("front", "left")) -> Path:
    """A folder as `action-images label` writes it, with labels of the first episode alone."""
    (folder / "labels").mkdir(parents=True)
    source = {"source": dataset.path.name, "source_content": fingerprint(dataset.path)}
    settings = {"views": views} | source
    (folder / "labels/settings.json").write_text(json.dumps(settings))
    return folder


def shifting(root: Path, by: int) -> None:
    """Declare that the pictures of the view `left` are late by some frames."""
    views = {}
    # Not `Dataset(root)[0]`, which refuses an episode whose task changes.
    for view in Dataset(root).selected(0, ("front", "left"), None).views:
        views[view.name] = {
            "intrinsics": view.camera.intrinsics.tolist(),
            "world_from_camera": view.camera.world_from_camera.matrix().tolist(),
            "size": list(view.camera.size),
        }
    views["left"]["shift"] = by
    (root / "calibration.json").write_text(json.dumps({"views": views}))


def test_late_pictures_are_shown_with_the_frame_numbers_that_readers_give(tmp_path: Path):
    root = write_set(tmp_path / "set")
    plain = Dataset(root)[0]
    for by in (3, -2):
        shifting(root, by)
        shown = open_shelf(root).open(0)
        read = open_foreign(root)[1].read(plain.id)
        assert shown.is_episode
        assert shown.num_frames == read.num_frames == plain.num_frames - abs(by)
        left = next(view for view in shown.views if view.name == "left")
        assert torch.equal(left.layers[0].frames.read([1]), read.view("left").frames.read([1]))
        assert torch.equal(shown.paths[0].trajectory.opening, read.trajectory.opening)
        assert any(f"left by {by}" in note for note in shown.notes)
    labels = open_shelf(root, labels=labels_of(tmp_path / "labelled", Dataset(root))).open(0)
    assert labels.num_frames == plain.num_frames
    assert not labels.is_episode
    assert any("'shift' is not shown here" in told for _, told in labels.warnings)


def changing_task(root: Path, change: int, text: str) -> None:
    """Give the rows of every episode from this frame on a task of their own."""
    tasks = pq.read_table(root / "meta/tasks.parquet")
    added = {"task": text, "task_index": tasks.num_rows}
    pq.write_table(
        pa.Table.from_pylist([*tasks.to_pylist(), added], tasks.schema), root / "meta/tasks.parquet"
    )
    for path in sorted(root.glob("data/*/*.parquet")):
        rows = pq.read_table(path)
        changed = [
            {**row, "task_index": tasks.num_rows} if row["frame_index"] >= change else row
            for row in rows.to_pylist()
        ]
        pq.write_table(pa.Table.from_pylist(changed, rows.schema), path)


def test_the_parts_of_an_episode_whose_task_changes_have_the_names_and_frames_of_readers(tmp_path: Path):
    root = write_set(tmp_path / "set")
    changing_task(root, 8, "then let go")
    for by in (0, 3, -2):
        shifting(root, by)
        shown = open_shelf(root).open(0)
        reader = open_foreign(root)[1]
        assert [part.id for part in shown.parts] == reader.ids[:2]
        assert any(f"cuts it into {reader.ids[0]} to {reader.ids[1]}" in told for _, told in shown.warnings)
        assert document_of(shown)["parts"] == [asdict(part) for part in shown.parts]
        left = next(view for view in shown.views if view.name == "left").layers[0].frames
        for part in shown.parts:
            read = reader.read(part.id)
            assert read.num_frames == part.stop - part.start
            for frame in (0, read.num_frames - 1):
                picture = read.view("left").frames.read([frame])
                assert torch.equal(left.read([part.start + frame]), picture)


def test_a_damaged_view_does_not_change_the_frame_numbers_of_the_others(tmp_path: Path):
    root = write_set(tmp_path / "set")
    shifting(root, -2)
    whole = open_shelf(root).open(0)
    for path in root.glob("videos/*left/*/*.mp4"):
        path.write_bytes(b"")
    shown = open_shelf(root).open(0)
    assert [view.name for view in shown.views] == ["front"]
    assert shown.num_frames == whole.num_frames
    assert torch.equal(shown.paths[0].trajectory.opening, whole.paths[0].trajectory.opening)


def test_labels_lie_beside_the_sets_own_path(recorded: Path, tmp_path: Path):
    dataset = Dataset(recorded)
    path = dataset[0].trajectory
    sure = torch.linspace(0, 1, path.num_frames)
    folder = labels_of(tmp_path / "labelled", dataset)
    save_trajectory(folder / "labels/000000.csv", path, {"confidence": sure})
    row = EpisodeLabels(dataset.ids[0], 0, path.num_frames, 1, 0.5, 0.0, 0, 9.1, 5.0)
    jsonl.append(folder / "labels/episodes.jsonl", asdict(row))
    shelf = open_shelf(recorded, folder)
    shown = shelf.open(0)
    assert [one.name for one in shown.paths] == ["recorded", "labels"]
    assert torch.allclose(shown.paths[1].confidence, sure, atol=1e-6)
    assert [layer.name for layer in shown.views[0].layers][-1] == "labelled action images"
    assert ("labels from the recorded path", "9.1 mm, 5.0 deg") in shown.facts
    assert any("no labels yet" in told for _, told in shelf.open(1).warnings)
    with pytest.raises(ActionImagesError, match="no labels"):
        open_shelf(recorded, tmp_path).open(0)
    (folder / "labels/settings.json").write_text(json.dumps({"source": "others", "source_content": "0"}))
    with pytest.raises(ActionImagesError, match="another data set, 'others'"):
        open_shelf(recorded, folder).open(0)


def test_a_labelled_copy_shows_its_labels_and_how_sure_they_are(tmp_path: Path):
    with DatasetWriter(tmp_path / "copy", fps=20) as writer:
        writer.add(make_episode("first"))
    dataset = Dataset(tmp_path / "copy")
    folder = labels_of(tmp_path / "copy", dataset)
    path = dataset[0].trajectory
    save_trajectory(folder / "labels/000000.csv", path, {"confidence": torch.ones(path.num_frames)})
    row = EpisodeLabels("first", 0, path.num_frames, 0, 1.0, 1.0, 0, None, None)
    jsonl.append(folder / "labels/episodes.jsonl", asdict(row))
    shown = open_shelf(folder).open(0)
    assert [(one.name, float(one.confidence.min())) for one in shown.paths] == [("labels", 1.0)]
    assert [layer.name for layer in shown.views[0].layers] == ["camera", "labelled action images"]


def test_spots_of_one_view_are_shown_in_it(recorded: Path, tmp_path: Path):
    folder = labels_of(tmp_path / "spots", Dataset(recorded), ("left",))
    header = "frame,red_x,red_y,green_x,green_y,blue_x,blue_y,confidence"
    rows = ["0,1.5,2.5,3,4,5,6,1", "4,7,8,nan,nan,11,12,0.5"]
    (folder / "labels/000000.csv").write_text("\n".join([header, *rows]) + "\n")
    front, left = open_shelf(recorded, folder).open(0).views
    assert front.spots is None
    assert left.spots[0].tolist() == [[1.5, 2.5], [3, 4], [5, 6]]
    assert left.spots[4, 1].isnan().all()
    assert left.spots[1].isnan().all()
    with pytest.raises(ActionImagesError, match="no videos"):
        open_shelf(folder)


def test_what_is_nothing_of_this_says_what_could_be(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("nothing")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "gone"):
        with pytest.raises(ActionImagesError, match=str(path)):
            open_shelf(path)


@pytest.fixture(scope="module")
def running(recorded: Path) -> Iterator[ViewServer]:
    with served(open_shelf(recorded)) as server:
        yield server


class served:
    """A server in a thread of its own."""

    def __init__(self, shelf: Shelf):
        self.server = ViewServer(shelf)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> ViewServer:
        self.thread.start()
        return self.server

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def ask(server: ViewServer, name: str, **values: object) -> bytes:
    with urllib.request.urlopen(f"{server.address}{name}?{urlencode(values)}") as answer:
        return answer.read()


def refusal(server: ViewServer, name: str, **values: object) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(server, name, **values)
    return error.value.code, json.loads(error.value.read())["error"]


def test_the_server_shows_what_the_set_holds(running: ViewServer, recorded: Path):
    dataset = Dataset(recorded)
    answer = json.loads(ask(running, "list", words="VARIATION1"))
    assert [entry["id"] for entry in answer["entries"]] == [one for one in dataset.ids if "variation1" in one]
    number, name = answer["entries"][1]["number"], answer["entries"][1]["id"]
    document = json.loads(ask(running, "document", item=number, id=name))
    episode = dataset[dataset.ids.index(name)]
    assert document["num_frames"] == episode.num_frames
    assert document["instruction"] == episode.instruction
    found = pictures(ask(running, "part", item=number, id=name, view=1, layer=0, over=0, part=0))
    exact = episode.views[1].frames.read(range(len(found))).movedim(1, -1)
    assert (torch.stack(found).float() - exact.float()).abs().mean() < 2


def test_a_long_episodes_pictures_are_remembered_within_a_bound(running: ViewServer, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_CACHE_BYTES", 20_000)
    for item in range(6):
        entry = json.loads(ask(running, "list", start=item))["entries"][0]
        for over in (0, 1):
            ask(running, "part", item=item, id=entry["id"], view=0, layer=1, over=over, part=0)
        kept = running.library
        assert kept._num_bytes == sum(len(part) for part in kept._parts.values())
        assert kept._num_bytes < 20_000 + 20_000


def test_what_is_not_there_is_refused(running: ViewServer, recorded: Path):
    name = Dataset(recorded).ids[0]
    assert refusal(running, "part", item=0, id=name, view=7)[0] == 404
    assert refusal(running, "part", item=0, id=name, part=99)[0] == 404
    assert refusal(running, "part", item=0, id=name, layer=0, over=1)[0] == 404
    assert refusal(running, "document", item=0, id="another")[0] == 409
    assert json.loads(ask(running, "document", item=10**6, id=name))["id"] == name
    assert refusal(running, "document", item="-1", id=name)[0] == 400
    for path in ("meta/info.json", "../../../../etc/passwd", "%2e%2e/secret", "view.css/"):
        assert refusal(running, path)[0] == 404


def status(server: ViewServer, method: str = "GET", **headers: str) -> int:
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    try:
        connection.putrequest(method, "/list", skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_other_pages_and_other_names_get_nothing(running: ViewServer):
    port = running.server_address[1]
    assert status(running) == 200
    assert status(running, Host=f"localhost:{port}") == 200
    assert status(running, Host=f"127.0.0.1:{port}", Origin=f"http://127.0.0.1:{port}") == 200
    assert status(running, Host=f"evil.example:{port}") == 403
    assert status(running, Host="127.0.0.1:1") == 403
    assert status(running, Host=f"127.0.0.1:{port}", Origin="http://evil.example") == 403
    assert status(running, Sec_Fetch_Site="cross-site") == 403
    for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert status(running, method) == 501


def test_too_many_connections_are_closed_and_the_others_served(running: ViewServer):
    port = running.server_address[1]
    idle = [HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(MAX_CONNECTIONS)]
    for connection in idle:
        connection.connect()
    with pytest.raises(OSError, match=r"closed|reset|aborted|Broken"):
        ask(running, "version")
    for connection in idle:
        connection.close()
    deadline = time.monotonic() + 60
    while True:  # the places are free once their threads have seen the ends of their connections
        try:
            answer = ask(running, "version")
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    assert json.loads(answer)["version"] == "0"


def test_the_command_writes_one_page_or_says_what_is_there(recorded: Path, tmp_path: Path, capsys):
    page = tmp_path / "page.html"
    assert main(["view", str(recorded), "--episode", "2", "--out", str(page)]) == 0
    assert Dataset(recorded).ids[2] in page.read_text()
    assert main(["view", str(recorded), "--episode", "6", "--out", str(page)]) == 2
    assert "has 6 to look at" in capsys.readouterr().err
    assert main(["view", str(recorded), "--out", str(page), "--port", "8000"]) == 2
    assert "nothing is served; leave --port out" in capsys.readouterr().err


def test_the_command_serves_until_it_is_interrupted(recorded: Path):
    command = [sys.executable, "-m", "action_images", "view", str(recorded)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert address is not None
        with urllib.request.urlopen(f"{address[0]}list", timeout=60) as answer:
            assert json.loads(answer.read())["total"] == 6
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
