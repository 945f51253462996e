"""Foreign sets become ours: in order, resumable, with every refusal told."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import foreign
import numpy as np
import pytest

from action_images.cli import main as command
from action_images.episodes import importing
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import EpisodeError
from action_images.episodes.importing import STAGING, Job, import_episodes
from action_images.episodes.readers import open_foreign
from action_images.episodes.readers.lerobot import LeRobot
from action_images.errors import ActionImagesError
from recorded import assert_tool_is_where_it_was_drawn, digests, write_set

WRITERS = foreign.WRITERS | {"lerobot": lambda root: write_set(root)}


@pytest.mark.parametrize("format", WRITERS)
def test_every_format_is_found_out_and_imported(tmp_path, format):
    WRITERS[format](tmp_path / "source")
    outcome = import_episodes(Job(tmp_path / "source"), tmp_path / "out", num_workers=0)
    assert outcome.format == format
    assert not outcome.refused
    dataset = Dataset(tmp_path / "out")
    assert dataset.ids == outcome.imported
    for episode in dataset:
        episode.check()
        if episode.trajectory is not None and episode.views[0].camera is not None:
            assert_tool_is_where_it_was_drawn(episode)
    assert not list((tmp_path / "out").glob(".*"))


def test_what_is_broken_is_refused_by_name_and_the_rest_goes_on(tmp_path):
    source = foreign.write_rlbench(tmp_path / "source")
    (source / "close_jar/variation3/episodes/episode2/front_rgb/4.png").unlink()
    outcome = import_episodes(Job(source), tmp_path / "out", num_workers=0)
    assert outcome.imported == ["close_jar/variation3/episode0", "close_jar/variation3/episode10"]
    assert list(outcome.refused) == ["close_jar/variation3/episode2"]
    assert "not numbered 0.png, 1.png" in outcome.refused["close_jar/variation3/episode2"]
    assert json.loads((tmp_path / "out/import.json").read_text())["refused"] == outcome.refused


def test_an_import_goes_on_where_it_stopped_to_the_same_bytes(tmp_path):
    source = write_set(tmp_path / "source")
    import_episodes(Job(source), tmp_path / "out", 0, limit=2)
    outcome = import_episodes(Job(source), tmp_path / "out", 0)
    assert (len(outcome.already_there), len(outcome.imported)) == (2, 4)
    import_episodes(Job(source), tmp_path / "once", 0)
    assert digests(tmp_path / "out") == digests(tmp_path / "once")
    again = import_episodes(Job(source), tmp_path / "out", 0)
    assert (len(again.already_there), len(again.imported)) == (6, 0)


def test_cameras_that_are_not_finite_are_one_refusal(tmp_path):
    source = foreign.write_bridge_processed(tmp_path / "source")
    path = next(source.rglob("extrinsic.npy"))
    shutil.copytree(path.parents[2], path.parents[2].with_name("whole"))
    np.save(path, np.full_like(np.load(path), np.nan))
    outcome = import_episodes(Job(source), tmp_path / "out", 0)
    assert (len(outcome.imported), len(outcome.refused)) == (1, 1)
    assert "its estimated camera has numbers in extrinsic.npy that are not finite" in next(
        iter(outcome.refused.values())
    )


@pytest.mark.parametrize("error", [MemoryError("12 GB"), RuntimeError("the decomposition failed")])
def test_whatever_an_episode_makes_a_library_raise_is_one_refusal(tmp_path, error):
    class Raises(LeRobot):
        def read(self, episode_id):
            if episode_id.endswith("e3"):
                raise error
            return super().read(episode_id)

    source = write_set(tmp_path / "source")
    refusal = importing._encode(Raises(source), Job(source), "reach/variation1/e3", tmp_path)
    assert refusal == f"reach/variation1/e3: {type(error).__name__}: {error}"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_leaves_nothing_is_refused(tmp_path, limit):
    with pytest.raises(ValueError, match=rf"--limit is {limit}; look at one episode at least"):
        import_episodes(Job(write_set(tmp_path / "source")), tmp_path / "out", 0, limit=limit)
    assert not (tmp_path / "out").exists()


def test_an_import_with_other_settings_is_refused_and_changes_nothing(tmp_path):
    source, other = write_set(tmp_path / "source"), write_set(tmp_path / "other")
    import_episodes(Job(source), tmp_path / "out", 0, limit=1)
    before = digests(tmp_path / "out")
    changes = {"source": other, "views": ("left", "front"), "size": (32, 32), "crf": 30}
    for name, value in changes.items():
        with pytest.raises(ValueError, match=rf"other settings \({name} differ\)"):
            import_episodes(replace(Job(source), **{name: value}), tmp_path / "out", 0)
    assert digests(tmp_path / "out") == before
    assert len(import_episodes(Job(source, format="lerobot"), tmp_path / "out", 0).already_there) == 1
    with pytest.raises(ValueError, match="has results but no settings"):
        import_episodes(Job(source), other, 0)


def test_an_attempt_that_imported_nothing_stands_in_nobodys_way(tmp_path):
    source = write_set(tmp_path / "source")
    with pytest.raises(EpisodeError, match="no view 'top'"):
        import_episodes(Job(source, views=("top",)), tmp_path / "out", 0, limit=1)
    assert len(import_episodes(Job(source, views=("left",)), tmp_path / "out", 0, limit=1).imported) == 1


def test_what_an_earlier_run_refused_is_kept_until_it_is_imported(tmp_path):
    source, out = foreign.write_rlbench(tmp_path / "source"), tmp_path / "out"
    picture = source / "close_jar/variation3/episodes/episode2/front_rgb/4.png"
    content = picture.read_bytes()
    picture.unlink()
    first = import_episodes(Job(source), out, 0)
    assert not import_episodes(Job(source), out, 0, limit=1).refused
    assert json.loads((out / "import.json").read_text())["refused"] == first.refused
    picture.write_bytes(content)
    import_episodes(Job(source), out, 0)
    assert json.loads((out / "import.json").read_text())["refused"] == {}
    (out / "import.json").write_text("{")
    with pytest.raises(EpisodeError, match=r"import\.json: is not valid json"):
        import_episodes(Job(source), out, 0)


def test_a_second_import_into_the_same_folder_is_one_error_and_destroys_nothing(tmp_path):
    source, out = write_set(tmp_path / "source"), tmp_path / "out"
    left_by_a_killed_run = out / f"{STAGING}old/e0"
    left_by_a_killed_run.mkdir(parents=True)

    def second(done: int, _: int) -> None:
        if done == 2:
            with pytest.raises(ValueError, match=r"meta/import: another process is writing here"):
                import_episodes(Job(source), out, 0)

    outcome = import_episodes(Job(source), out, 0, seen=second)
    assert len(outcome.imported) == 6
    assert not left_by_a_killed_run.exists()


def test_a_data_set_that_another_process_writes_is_one_error_and_no_refusals(tmp_path):
    source, out = write_set(tmp_path / "source"), tmp_path / "out"
    import_episodes(Job(source), out, 0, limit=1)
    before = (out / "import.json").read_text()
    with (
        DatasetWriter(out, 20),
        pytest.raises(EpisodeError, match=r"out: another process is writing to this data set"),
    ):
        import_episodes(Job(source), out, 0)
    assert (out / "import.json").read_text() == before


def test_what_was_staged_of_an_episode_is_removed_once_it_is_stored_or_refused(tmp_path):
    source, out = foreign.write_rlbench(tmp_path / "source"), tmp_path / "out"
    (source / "close_jar/variation3/episodes/episode2/wrist_rgb/4.png").write_bytes(b"damaged")
    staged = []
    outcome = import_episodes(
        Job(source), out, 0, seen=lambda *_: staged.append(list(out.glob(".import-*/*")))
    )
    assert (len(outcome.imported), len(outcome.refused)) == (2, 1)
    assert staged == [[], [], []]


def test_worker_processes_give_the_same_bytes(tmp_path):
    source = write_set(tmp_path / "source")
    seen = []
    import_episodes(Job(source), tmp_path / "many", 2, seen=lambda done, total: seen.append((done, total)))
    import_episodes(Job(source), tmp_path / "none", 0)
    assert digests(tmp_path / "many") == digests(tmp_path / "none")
    assert seen == [(i, 6) for i in range(1, 7)]


def test_a_killed_import_leaves_whole_episodes_and_goes_on(tmp_path):
    source = write_set(tmp_path / "source")
    arguments = [
        sys.executable,
        "-m",
        "action_images",
        "import",
        str(source),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "0",
    ]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out/meta/episodes").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    if list((tmp_path / "out/meta/episodes").rglob("*.parquet")):
        assert all(episode.check() for episode in Dataset(tmp_path / "out"))
    import_episodes(Job(source), tmp_path / "out", 0)
    assert Dataset(tmp_path / "out").ids == Dataset(source).ids
    assert not list((tmp_path / "out").glob(".import-*"))


def test_an_episode_that_kills_its_process_is_found_and_refused(tmp_path, monkeypatch):
    """The decoder of one episode crashes as native code does; the others are imported."""
    source = write_set(tmp_path / "source")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, importlib.abc, importlib.machinery\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name != 'action_images.episodes.encoded_episode': return None\n"
        "        spec = importlib.machinery.PathFinder.find_spec(name, path)\n"
        "        run = spec.loader.exec_module\n"
        "        def exec_module(module):\n"
        "            run(module)\n"
        "            whole = module.encode_episode\n"
        "            def encode_episode(episode, folder, *others):\n"
        "                os._exit(139) if episode.id.endswith('e3') else None\n"
        "                return whole(episode, folder, *others)\n"
        "            module.encode_episode = encode_episode\n"
        "        spec.loader.exec_module = exec_module\n"
        "        return spec\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    outcome = import_episodes(Job(source), tmp_path / "out", 1)
    assert list(outcome.refused) == ["reach/variation1/e3"]
    assert "process that decoded it died" in outcome.refused["reach/variation1/e3"]
    assert outcome.imported == [name for name in Dataset(source).ids if not name.endswith("e3")]


def test_views_and_size_are_chosen(tmp_path):
    source = foreign.write_droid(tmp_path / "source")
    import_episodes(Job(source, views=("ext2", "ext1"), size=(64, 64)), tmp_path / "out", 0)
    episode = Dataset(tmp_path / "out")[0]
    assert [(view.name, view.frames.size) for view in episode.views] == [
        ("ext2", (64, 64)),
        ("ext1", (64, 64)),
    ]
    assert_tool_is_where_it_was_drawn(episode)


def test_nothing_usable_is_an_error_with_the_first_reason(tmp_path):
    source = foreign.write_rlbench(tmp_path / "source")
    with pytest.raises(
        EpisodeError,
        match=r"none of 3 episodes could be imported; the first: .*no view 'top'; it has front, wrist",
    ):
        import_episodes(Job(source, views=("top",)), tmp_path / "out", 0)


def test_the_command_says_what_it_did(tmp_path, capsys):
    source = foreign.write_rlbench(tmp_path / "source")
    (source / "close_jar/variation3/episodes/episode10/low_dim_obs.pkl").write_bytes(
        b"cos\nsystem\n(S'false'\ntR."
    )
    assert command(["import", str(source), "--out", str(tmp_path / "out"), "--workers", "0"]) == 0
    told = capsys.readouterr()
    assert "2 imported, 0 already there, 1 refused (rlbench)" in told.out
    assert "refused close_jar/variation3/episode10" in told.err
    assert "asks for os.system" in told.err
    assert command(["import", str(tmp_path / "absent"), "--out", str(tmp_path / "other")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert importing._reader is None


@pytest.mark.parametrize("text", ["N/A", "Do any two tasks consecutively", " "])
@pytest.mark.parametrize("format", ["bridge", "droid-processed", "rlbench"])
def test_a_placeholder_is_no_instruction_in_any_format(tmp_path, format, text):
    WRITERS[format](tmp_path / "source")
    for path in (*tmp_path.rglob("lang.txt"), *tmp_path.rglob("instruction.txt")):
        path.write_text(text)
    for path in tmp_path.rglob("variation_descriptions.pkl"):
        path.write_bytes(pickle.dumps([text]))
    outcome = import_episodes(Job(tmp_path / "source"), tmp_path / "out", num_workers=0, limit=1)
    assert Dataset(tmp_path / "out")[0].instruction is None
    assert outcome.no_words == outcome.imported
    assert any("that is no instruction" in note for note in outcome.notes) or not text.strip()


def test_droids_collector_is_heard_where_an_annotation_says_nothing(tmp_path):
    root = foreign.write_droid(tmp_path)
    words = {"language_instruction1": "N/A", "language_instruction2": ""}
    (root / "aggregated-annotations-030724.json").write_text(json.dumps({foreign.DROID_UUID: words}))
    _, reader = open_foreign(root)
    assert reader.read(reader.ids[0]).instruction == "Move object"


def test_a_set_that_an_earlier_version_began_with_an_idle_fps_goes_on(tmp_path):
    source = foreign.write_bridge(tmp_path / "source")
    import_episodes(Job(source), tmp_path / "out", 0)
    path = tmp_path / "out/meta/import/settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fps": 25.0}))
    assert import_episodes(Job(source), tmp_path / "out", 0).imported == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fps", "25"), "is of format 'bridge', which has its own frame rate; leave --fps out"),
        (("--fps", "inf"), "--fps is inf; give a finite rate above 0"),
        (("--shift", "left=8", "left=2"), "--shift names 'left' twice; give one number of frames"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path, capsys, options, message):
    source = foreign.write_bridge(tmp_path / "source")
    arguments = ["import", str(source), "--out", str(tmp_path / "out"), "--workers", "0"]
    assert command([*arguments, *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("format", "table"),
    [
        ("droid", "intrinsics.json"),
        ("droid-processed", "camera_serials.json"),
        ("lerobot", "calibration.json"),
    ],
)
def test_calibrations_that_changed_since_the_first_import_are_refused(tmp_path, format, table):
    source = WRITERS[format](tmp_path / "source")
    path = source / table
    content = path.read_bytes() if path.is_file() else None
    import_episodes(Job(source), tmp_path / "out", 0)
    path.write_text(json.dumps({"views": {}} if content is None else json.loads(content) | {"another": {}}))
    with pytest.raises(EpisodeError, match=f"{table}.* was otherwise when .* was imported; restore it, or"):
        import_episodes(Job(source), tmp_path / "out", 0)
    (tmp_path / "out/meta/import/source.json").unlink()  # as an earlier version left it
    assert import_episodes(Job(source), tmp_path / "out", 0).imported == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": (0, 0)}, "--size 0 0: give a height and a width of 1 to"),
        ({"size": (1 << 20, 2)}, "--size 1048576 2"),
        ({"crf": -1}, "--crf -1: give 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_read(tmp_path, options, told):
    with pytest.raises(ActionImagesError, match=told):
        Job(tmp_path, **options)
