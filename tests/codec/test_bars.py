"""Bars, the control of bench/bars.py: they hold the same numbers, and say them in each view's own axes."""

from pathlib import Path

import pytest
import torch

from action_images.geometry import Camera, Pose, Trajectory
from action_images.geometry.rotation import from_rotation_vector

BENCH = Path(__file__).parents[2] / "bench"
EYES = torch.tensor([[1.2, 0.6, 0.8], [1.1, -0.7, 0.9]])


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch):
    """The module bench/bars.py, which changes nothing when it is imported under its name."""
    monkeypatch.syspath_prepend(str(BENCH))
    import bars

    return bars


def path_and_cameras() -> tuple[Trajectory, Camera]:
    """Two samples of five frames, before two cameras."""
    chance = torch.Generator().manual_seed(0)
    place = torch.tensor([0.5, 0.0, 0.2]) + 0.2 * torch.rand(2, 5, 3, generator=chance)
    pose = Pose(from_rotation_vector(torch.rand(2, 5, 3, generator=chance) * 2), place)
    path = Trajectory(pose, torch.rand(2, 5, generator=chance))
    rig = Camera.look_at(EYES, torch.tensor([0.5, 0.0, 0.2]).expand(2, 3), 0.8, (64, 64))
    return path, rig.per_frame((2,), 5)


def test_what_is_drawn_is_read(bars):
    path, rig = path_and_cameras()
    drawn = bars.draw_bars(path, rig)
    assert drawn.shape == (2, 2, 5, 3, 64, 64)
    stored = drawn.mul(255).round().div(255)
    reading = bars.read_bars(stored, rig)
    metres, radians = path.world_from_tool.distance(reading.trajectory.world_from_tool)
    assert metres.max() < 1e-3
    assert radians.max() < 0.01
    assert (path.opening - reading.trajectory.opening).abs().max() < 2e-3
    assert (reading.confidence == 1).all()


def test_what_is_read_follows_the_bars_of_each_view_and_their_disagreement_is_told(bars):
    path, rig = path_and_cameras()
    drawn = bars.draw_bars(path, rig)
    drawn[:, 0, :, :, :6] = 0.5 * drawn[:, 0, :, :, :6]  # the first bar of one view is shorter
    reading = bars.read_bars(drawn, rig)
    metres, _ = path.world_from_tool.distance(reading.trajectory.world_from_tool)
    assert metres.min() > 0.05
    assert reading.position_std.min() > 0.05
