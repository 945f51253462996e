"""Cameras in other people's columns: what is exported is imported as the same cameras."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from action_images.cli import main
from action_images.episodes.camera_columns import STYLES, copy_with_columns
from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import EpisodeError
from recorded import make_episode


def told_nothing(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    with DatasetWriter(tmp_path / "ours", fps=20) as writer:
        for number in range(3):
            writer.add(replace(make_episode(num_frames=8 + number), id=f"test/{number}"))
    return tmp_path / "ours"


@pytest.mark.parametrize("style", STYLES)
def test_exported_cameras_are_imported_as_they_were(ours: Path, tmp_path: Path, style, capsys):
    out, again = tmp_path / "theirs", tmp_path / "again"
    assert main(["cameras", "columns", str(ours), "--style", style, "--out", str(out)]) == 0
    assert f"written: {out}" in capsys.readouterr().out
    assert not any("cameras" in key for key in json.loads((out / "meta/info.json").read_text())["features"])
    assert main(["import", str(out), "--out", str(again)]) == 0
    before, after = Dataset(ours), Dataset(again)
    assert len(after) == len(before)
    for one, other in zip(before, after, strict=True):
        assert torch.allclose(one.trajectory.to_vector(8), other.trajectory.to_vector(8), atol=1e-6)
        assert one.instruction == other.instruction
        for view, copied in zip(one.views, other.views, strict=True):
            assert view.name == copied.name
            pose, kept = view.camera.world_from_camera, copied.camera.world_from_camera
            metres, radians = pose.distance(kept)
            assert float(metres.max()) < 1e-6
            assert float(radians.max()) < 1e-3  # of a float32 rotation
            assert torch.allclose(view.camera.intrinsics, copied.camera.intrinsics, atol=1e-4)


@pytest.mark.parametrize("style", STYLES)
def test_a_copy_differs_in_the_cameras_alone(ours: Path, tmp_path: Path, style):
    out = tmp_path / "theirs"
    assert copy_with_columns(ours, out, style, told_nothing) == [view.name for view in Dataset(ours)[0].views]
    for path in sorted(ours.rglob("*.mp4")):
        assert (out / path.relative_to(ours)).read_bytes() == path.read_bytes()
    (mine,) = ours.glob("data/*/*.parquet")
    table, copied = pq.read_table(mine), pq.read_table(out / mine.relative_to(ours))
    kept = [name for name in table.column_names if "cameras" not in name]
    assert copied.select(kept).equals(table.select(kept))
    info = json.loads((out / "meta/info.json").read_text())
    stats = json.loads((out / "meta/stats.json").read_text())
    for name in set(copied.column_names) - set(kept):
        shape = info["features"][name]["shape"]
        rows = np.array(copied[name].to_pylist())
        assert list(rows.shape[1:]) == shape
        assert np.shape(stats[name]["mean"]) == tuple(shape)
        assert np.allclose(stats[name]["mean"], rows.mean(0), atol=1e-5)
    assert {key: value for key, value in stats.items() if key in kept} == {
        key: value for key, value in json.loads((ours / "meta/stats.json").read_text()).items() if key in kept
    }


def test_what_columns_cannot_say_is_refused_and_nothing_is_written(ours: Path, tmp_path: Path):
    out = tmp_path / "theirs"
    with DatasetWriter(ours, fps=20) as writer:
        episode = make_episode(num_frames=8)
        bare = tuple(replace(view, camera=None) for view in episode.views[:1])
        writer.add(replace(episode, id="test/bare", views=(*bare, *episode.views[1:])))
    with pytest.raises(EpisodeError, match="front is calibrated in some episodes alone; import the episodes"):
        copy_with_columns(ours, out, "matrices", told_nothing)
    assert not out.exists()
    out.mkdir()
    with pytest.raises(EpisodeError, match="theirs: is there already; name another folder"):
        copy_with_columns(ours, out, "matrices", told_nothing)


def test_a_set_without_our_columns_is_told_how_it_gets_them(ours: Path, tmp_path: Path):
    first, second = tmp_path / "theirs", tmp_path / "once_more"
    copy_with_columns(ours, first, "droid", told_nothing)
    with pytest.raises(EpisodeError, match=r"has no camera columns of ours .* with its calibration"):
        copy_with_columns(first, second, "droid", told_nothing)
