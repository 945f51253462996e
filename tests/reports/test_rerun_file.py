"""An .rrd file, read back by rerun's own reader, holds our cameras, pictures, paths and numbers."""

import io
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filmed import config
from PIL import Image

from action_images.cli import main
from action_images.episodes.episode import Episode
from action_images.evaluation.closed_loop import judge
from action_images.geometry import Camera, Pose
from action_images.reports.viewing.rerun_file import write_rerun
from action_images.reports.viewing.robot_view import of_rollout
from action_images.reports.viewing.viewable import Viewable, of_episode
from recorded import make_episode, write_set

try:
    from rerun.experimental import RrdReader
except ImportError:
    RrdReader = None

needs_rerun = pytest.mark.skipif(
    RrdReader is None,
    reason="rerun-sdk is not installed: its wheel has 140 MB, so the lock file leaves it out; "
    "pip install 'rerun-sdk>=0.33,<0.34' runs this",
)


def moving(episode: Episode) -> Episode:
    """The same episode, its first view seen as by a camera that moves."""
    first, *others = episode.views
    rig = first.camera.expand(episode.num_frames)
    shift = torch.linspace(0, 0.1, episode.num_frames)[:, None] * torch.tensor([1.0, 0.0, 0.0])
    pose = Pose(rig.world_from_camera.rotation, rig.world_from_camera.translation + shift)
    return replace(episode, views=(replace(first, camera=Camera(rig.intrinsics, pose, rig.size)), *others))


def rows(path: Path, entity: str, component: str) -> dict[int | None, list]:
    """Frame (None: static) -> what an entity's component holds there."""
    found: dict[int | None, list] = {}
    for chunk in RrdReader(path).store().stream().to_chunks():
        batch = chunk.to_record_batch()
        if chunk.entity_path != entity or component not in batch.schema.names:
            continue
        values = batch.column(component).to_pylist()
        frames = [None] * len(values) if chunk.is_static else batch.column("frame_index").to_pylist()
        found |= {frame: value for frame, value in zip(frames, values, strict=True) if value is not None}
    return found


def written(path: Path, viewable: Viewable) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # rerun warns where it leaves something out
        write_rerun(path, viewable)
    return path


@pytest.fixture(scope="module")
def episode() -> Episode:
    return moving(make_episode(num_frames=20))


@pytest.fixture(scope="module")
def file(episode: Episode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if RrdReader is None:
        pytest.skip("rerun-sdk is not installed")
    return written(tmp_path_factory.mktemp("rerun") / "episode.rrd", of_episode(episode))


@needs_rerun
def test_its_cameras_project_as_ours(file: Path, episode: Episode):
    """Rerun's pixels have their centres at +0.5, as ours: the principal point is written as it is."""
    point = episode.trajectory.world_from_tool.translation[7]
    for view, frame in (("front", 7), ("left", None)):
        entity = f"/world/{view}"
        # Matrices are stored column by column.
        matrix = np.reshape(rows(file, entity, "Pinhole:image_from_camera")[frame], (3, 3)).T
        rotation = np.reshape(rows(file, entity, "Transform3D:mat3x3")[frame], (3, 3)).T
        place = np.reshape(rows(file, entity, "Transform3D:translation")[frame], 3)
        pixels = matrix @ rotation.T @ (point.numpy() - place)
        camera = episode.view(view).camera
        ours, _ = (camera[7] if camera.batch_shape else camera).project(point)
        assert np.allclose(pixels[:2] / pixels[2], ours, atol=1e-3)
        assert rows(file, entity, "Pinhole:resolution")[frame] == [[64.0, 48.0]]
    assert np.allclose(matrix[:2, 2], (32, 24))


@needs_rerun
def test_its_pictures_are_those_of_the_frames(file: Path, episode: Episode):
    for layer, layers in (("camera", 0), ("action\\ images", 1)):
        held = rows(file, f"/world/left/{layer}", "EncodedImage:blob")
        assert sorted(held) == list(range(20))
        for frame in (0, 13):
            data = bytes(np.array(held[frame], np.uint8).reshape(-1).tolist())
            found = np.array(Image.open(io.BytesIO(data)), np.float32)
            exact = of_episode(episode).views[1].layers[layers].frames.read([frame])[0].movedim(0, -1)
            assert np.abs(found - exact.numpy()).mean() < 2


@needs_rerun
def test_its_path_and_numbers_are_the_tools(file: Path, episode: Episode):
    (strip,) = rows(file, "/world/path/recorded", "LineStrips3D:strips")[None]
    assert np.allclose(strip, episode.trajectory.world_from_tool.translation, atol=1e-5)
    opening = rows(file, "/gripper/recorded", "Scalars:scalars")
    assert [opening[frame] for frame in range(20)] == [[one] for one in episode.trajectory.opening.tolist()]
    tool = rows(file, "/world/tool/recorded", "Points3D:positions")[5]
    assert np.allclose(tool[0], episode.trajectory.world_from_tool.translation[5], atol=1e-6)
    assert len(tool) == 3


@needs_rerun
def test_its_timelines_count_frames_seconds_and_plans(tmp_path: Path):
    given = config(("reach_target",))
    rollout = judge(given.make(), given, ("reach_target", 1_000_001), filming=True)[1]
    shown = of_rollout(rollout)
    path = written(tmp_path / "trial.rrd", shown)
    seconds: dict[int, float] = {}
    plans: dict[int, int] = {}
    for chunk in RrdReader(path).store().stream().to_chunks():
        batch = chunk.to_record_batch()
        if chunk.entity_path != "/gripper/executed":
            continue
        frames = batch.column("frame_index").to_pylist()
        times = [time.total_seconds() for time in batch.column("timestamp").to_pylist()]
        seconds |= dict(zip(frames, times, strict=True))
        plans |= dict(zip(frames, batch.column("replan").to_pylist(), strict=True))
    assert [seconds[frame] for frame in range(shown.num_frames)] == pytest.approx(
        [frame / rollout.control_hz for frame in range(shown.num_frames)], abs=1e-6
    )
    starts = [path.shown[0] for path in shown.paths if path.shown is not None]
    assert plans == {frame: sum(start <= frame for start in starts) for frame in range(shown.num_frames)}
    assert len(starts) > 1


@needs_rerun
def test_a_name_of_slashes_is_one_part_of_an_entity(tmp_path: Path):
    shown = of_episode(make_episode(num_frames=2))
    views = (replace(shown.views[0], name="../a/b c"),)
    path = written(tmp_path / "evil.rrd", replace(shown, views=views))
    entities = {chunk.entity_path for chunk in RrdReader(path).store().stream().to_chunks()}
    assert any(one.startswith("/world/..\\/a\\/b\\ c") for one in entities)
    assert not any(one.startswith("/world/../a") for one in entities)


def test_without_rerun_the_command_names_the_extra(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    source = write_set(tmp_path / "set")
    assert main(["view", str(source), "--rerun", str(tmp_path / "a.rrd")]) == 2
    assert "action-images[rerun]" in capsys.readouterr().err
    assert not (tmp_path / "a.rrd").exists()
