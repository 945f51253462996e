"""Strangers' parquet and json, changed by chance: an episode or one clear error, and the process lives.

Each entry point reads in a process of its own, so that a death is a failure of one example and not of the
tests.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import foreign
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from action_images.episodes import lerobot_layout as layout
from action_images.episodes.cameras_file import load_cameras, save_cameras
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import EpisodeError
from action_images.episodes.readers import open_foreign
from action_images.episodes.trajectory_file import load_trajectory
from recorded import make_episode

WHOLE = "whole"


def read_set(root: Path) -> str:
    """Everything of a data set: WHOLE, or the error's words."""
    try:
        for episode in Dataset(root):
            for view in episode.check().views:
                view.frames.read(range(episode.num_frames))
    except EpisodeError as error:
        return str(error)
    return WHOLE


def read_foreign(root: Path) -> str:
    """Everything of a foreign set as import reads it: any ValueError refuses an episode, whose id is said
    with it.
    """
    try:
        _, reader = open_foreign(root)
        said = [_read_foreign_episode(reader, episode_id) for episode_id in reader.ids]
    except EpisodeError as error:
        return str(error)
    return next((words for words in said if words != WHOLE), WHOLE)


def _read_foreign_episode(reader, episode_id: str) -> str:
    try:
        reader.read(episode_id).check()
    except ValueError as error:
        return f"{episode_id}: {error}"
    return WHOLE


def read_with(load, path: Path) -> str:
    """One file of ours: WHOLE, or the error's words."""
    try:
        load(path)
    except EpisodeError as error:
        return str(error)
    return WHOLE


@pytest.fixture(scope="module")
def outside():
    """Runs a function in a process that is replaced when it dies; its death is None."""
    pools = []

    def run(function, *arguments):
        if not pools:
            pools.append(ProcessPoolExecutor(1, multiprocessing.get_context("fork")))
        try:
            return pools[-1].submit(function, *arguments).result(600)
        except BrokenProcessPool:
            pools.pop().shutdown()
            return None

    yield run
    for pool in pools:
        pool.shutdown()


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "set"
    with DatasetWriter(path, fps=20) as writer:
        for number in range(2):
            writer.add(make_episode(f"task/e{number}", 6, seed=number, size=(16, 16)))
    (path / "calibration.json").write_text(json.dumps(CALIBRATION))
    return path


CALIBRATION = {
    "views": {
        "front": {
            "intrinsics": [[20, 0, 8], [0, 20, 8], [0, 0, 1]],
            "world_from_camera": [[1.0 * (i == j) for j in range(4)] for i in range(4)],
        }
    },
    "tool": {
        "feature": "observation.state",
        "columns": [0, 1, 2, 3, 4, 5, 6, 7],
        "closed": 0.0,
        "open": 0.04,
    },
}


def named(words: str | None, root: Path) -> bool:
    """Whether what was said names a file, the data set or an episode."""
    return words is not None and (
        words == WHOLE or any(name in words for name in (str(root), "task/e", "AUTOLab/", "feature"))
    )


CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 9), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)
"""Where (as a part of the file's last 9 kB: its metadata, and pages), how many bytes, what they become."""


@settings(max_examples=120)
@given(
    table=st.sampled_from(["meta/episodes/chunk-000/file-000.parquet", "data/chunk-000/file-000.parquet"]),
    changes=CHANGES,
    kept=st.floats(0.5, 8),
)
def test_a_changed_parquet_file_gives_an_episode_or_one_error(small_set, outside, table, changes, kept):
    original = (small_set / table).read_bytes()
    content = bytearray(original)
    for place, count, value in changes:
        start = len(content) - 1 - int(place * min(len(content), 9000))
        content[start : start + count] = bytes([value]) * len(content[start : start + count])
    try:
        (small_set / table).write_bytes(content[: int(kept * len(content))])
        said = outside(read_set, small_set)
    finally:
        (small_set / table).write_bytes(original)
    assert named(said, small_set), said


def test_arrow_would_end_the_process_at_a_histogram_of_another_length_and_we_do_not(small_set, outside):
    """Asked for a column chunk's metadata, Arrow calls std::terminate at these.

    Each number of the footer becomes one larger.
    """
    table = small_set / "data/chunk-000/file-000.parquet"
    original = table.read_bytes()
    footer = len(original) - 8 - int.from_bytes(original[-8:-4], "little")
    outcomes = set()
    try:
        for place in range(footer, len(original) - 8, 61):
            table.write_bytes(original[:place] + bytes([(original[place] + 2) % 256]) + original[place + 1 :])
            outcomes.add(outside(read_set, small_set))
    finally:
        table.write_bytes(original)
    assert None not in outcomes
    assert len(outcomes) > 3


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../../x", "/etc/passwd", 10**400, ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places_in(value, above=()):
    """The paths to everything in a json value."""
    yield above
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places_in(inner, (*above, key))


def changed(value, place, new):
    """The same json with something else at a place."""
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = changed(value[place[0]], place[1:], new)
    return copy


def assert_changed_json_is_survived(outside, read, root: Path, file: Path, data) -> None:
    """`read` of `root` after a few parts of `file` became others, or it was cut short."""
    original = file.read_text()
    content = json.loads(original)
    for _ in range(data.draw(st.integers(1, 3))):
        content = changed(content, data.draw(st.sampled_from(list(places_in(content)))), data.draw(ANY_JSON))
    text = json.dumps(content)
    try:
        file.write_text(text[: data.draw(st.just(len(text)) | st.integers(0, len(text)))])
        said = outside(read, root)
    finally:
        file.write_text(original)
    assert named(said, root), said


@settings(max_examples=120)
@given(data=st.data())
def test_a_changed_info_json_gives_an_episode_or_one_error(small_set, outside, data):
    assert_changed_json_is_survived(outside, read_set, small_set, small_set / "meta/info.json", data)


@settings(max_examples=60)
@given(data=st.data())
def test_a_changed_calibration_gives_an_episode_or_one_error(small_set, outside, data):
    assert_changed_json_is_survived(outside, read_foreign, small_set, small_set / "calibration.json", data)


@pytest.fixture(scope="module")
def droid(tmp_path_factory):
    return foreign.write_droid(tmp_path_factory.mktemp("droid") / "set", size=(18, 32), keep=[[0, 5]])


@settings(max_examples=60)
@given(data=st.data())
def test_changed_tables_of_droid_give_an_episode_or_one_error(droid, outside, data):
    tables = sorted(droid.rglob("*.json"))
    assert len(tables) >= 3
    assert_changed_json_is_survived(outside, read_foreign, droid, data.draw(st.sampled_from(tables)), data)


@pytest.mark.parametrize("load", [load_cameras, load_trajectory])
@settings(max_examples=40)
@given(data=st.data())
def test_changed_files_of_cameras_and_trajectories_give_numbers_or_one_error(
    tmp_path_factory, outside, load, data
):
    path = tmp_path_factory.getbasetemp() / "changed.json"
    episode = make_episode(num_frames=3)
    if load is load_cameras:
        save_cameras(path, {view.name: view.camera for view in episode.views})
    else:
        path.write_text(
            json.dumps({"columns": layout.TOOL_NAMES, "rows": episode.trajectory.to_vector(8).tolist()})
        )
    assert read_with(load, path) == WHOLE
    assert_changed_json_is_survived(outside, partial(read_with, load), path, path, data)
