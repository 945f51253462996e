"""LeRobot's own tools work on our sets, and we read their results, including cameras."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.datasets.compute_stats import get_feature_stats
from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets, split_dataset
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from pyarrow import parquet

from action_images.episodes.dataset import Dataset, DatasetWriter
from action_images.episodes.episode import EpisodeError


def theirs(path: Path) -> LeRobotDataset:
    return LeRobotDataset(f"local/{path.name}", root=path, video_backend="pyav")


def appending(path: Path) -> LeRobotDataset:
    """A set to which LeRobot adds an episode: from 0.5 on by `resume`, before by opening it."""
    if hasattr(LeRobotDataset, "resume"):
        return LeRobotDataset.resume(f"local/{path.name}", root=path)
    return LeRobotDataset(f"local/{path.name}", root=path)


def same(one, other) -> None:
    """Check that two episodes have the same poses, cameras, words and, except for re-encoding, pictures."""
    assert one.instruction == other.instruction
    assert torch.equal(one.trajectory.to_vector(), other.trajectory.to_vector())
    for view, twin in zip(one.views, other.views, strict=True):
        assert torch.equal(view.camera.intrinsics, twin.camera.intrinsics)
        assert torch.equal(view.camera.world_from_camera.matrix(), twin.camera.world_from_camera.matrix())
        pictures = view.frames.read([0, 3]).float() - twin.frames.read([0, 3]).float()
        assert pictures.abs().mean() < 8


def test_lerobots_merge_split_and_delete_keep_cameras(recorded: Path, tmp_path: Path):
    merged, ours = tmp_path / "merged", Dataset(recorded)
    merge_datasets([theirs(recorded), theirs(recorded)], "local/merged", merged)
    twice = Dataset(merged)
    assert twice.ids[len(ours) :] == [f"{name}/merged2" for name in ours.ids]
    for number, episode in enumerate(ours):
        same(episode, twice[number])
        same(episode, twice[number + len(ours)])
    delete_episodes(theirs(recorded), [0], tmp_path / "less", "local/less")
    same(ours[1], Dataset(tmp_path / "less")[0])
    split_dataset(theirs(recorded), {"first": [0], "rest": [1, 2]}, tmp_path / "split")
    (rest,) = [path for path in (tmp_path / "split").rglob("*rest*") if (path / "meta").is_dir()]
    same(ours[2], Dataset(rest)[1])


def test_what_columns_mean_outlives_lerobots_tools(recorded: Path, tmp_path: Path):
    merge_datasets([theirs(recorded)], "local/merged", tmp_path / "merged")
    features = json.loads((tmp_path / "merged" / "meta" / "info.json").read_text())["features"]
    said = features["observation.cameras.view0.intrinsics"].get("info", {}).get("calibration", {})
    assert said.get("unit") == "px"


def test_our_statistics_are_those_that_lerobot_computes(recorded: Path):
    episode = Dataset(recorded)[0]
    rows = episode.trajectory.to_vector().numpy()
    computed = get_feature_stats(rows, axis=0, keepdims=False)
    told = parquet.read_table(recorded / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[0]
    for name in ("min", "max", "mean", "std"):
        assert np.allclose(told[f"stats/observation.state/{name}"], computed[name], atol=1e-5)
    spread = rows.max(0) - rows.min(0)
    for name in ("q10", "q50", "q90"):  # theirs are interpolated in a histogram
        away = np.abs(np.array(told[f"stats/observation.state/{name}"]) - computed[name])
        assert (away <= 0.12 * spread + 1e-6).all()


def test_lerobot_appends_to_our_sets_and_we_read_both(recorded: Path, tmp_path: Path):
    longer = tmp_path / "longer"
    shutil.copytree(recorded, longer)
    first = theirs(recorded)
    out = appending(longer)
    for frame in range(6):
        item = first[frame]
        images = {
            key: (item[key].permute(1, 2, 0) * 255).round().byte().numpy() for key in first.meta.camera_keys
        }
        numbers = {
            key: item[key].numpy() for key in first.features if key.startswith(("observation.", "action"))
        }
        out.add_frame(numbers | images | {"task": "reach again"})
    out.save_episode()
    out.finalize()
    read = Dataset(longer)
    assert len(read) == len(Dataset(recorded)) + 1
    assert read[len(read) - 1].num_frames == 6
    assert read[len(read) - 1].instruction == "reach again"
    same(Dataset(recorded)[0], read[0])
    with pytest.raises(EpisodeError, match=r"import it into a new data set"):
        DatasetWriter(longer, fps=20)
