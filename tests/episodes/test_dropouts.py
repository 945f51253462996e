"""Zeros in place of missing poses are refused or told, and real poses near the origin are not."""

import foreign
import numpy as np
import pytest
import torch
from hand_set import hand_set
from hypothesis import given
from hypothesis import strategies as st

from action_images.episodes.dropouts import missing_places, missing_turns, told_held
from action_images.episodes.importing import Job, import_episodes
from action_images.episodes.notation import ToolNotation
from action_images.episodes.trajectory_file import COLUMNS, load_trajectory
from action_images.errors import ActionImagesError
from action_images.geometry import Pose
from action_images.geometry.rotation import from_euler_xyz

FRAMES = 24
PHASE = torch.linspace(0, 6, FRAMES)
PLACES = torch.stack([0.4 + 0.1 * PHASE.cos(), 0.1 * PHASE.sin(), 0.2 + 0 * PHASE], -1)
ANGLES = torch.stack([3.0 + 0.1 * PHASE.sin(), 0.2 * PHASE.cos(), 0.5 * PHASE.sin()], -1)


@given(rows=st.sets(st.integers(0, FRAMES - 1), min_size=1, max_size=6))
def test_zeros_are_told_with_the_first_row_wherever_they_are(rows):
    wanted = sorted(rows)
    places, angles = PLACES.clone(), ANGLES.clone()
    places[wanted], angles[wanted] = 0, 0
    right = Pose(from_euler_xyz(ANGLES), PLACES)
    assert missing_places(right) is None
    assert missing_turns(right) is None
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    told = f"exactly zero in row {wanted[0]}{more}, far from"
    assert f"the position is {told}" in missing_places(Pose(right.rotation, places))
    assert f"the rotation is {told}" in missing_turns(Pose(from_euler_xyz(angles), PLACES))


def held(*rows: int) -> Pose:
    """The path with these rows replaced by those before."""
    source = list(range(FRAMES))
    for row in rows:
        source[row] = source[row - 1]
    return Pose(from_euler_xyz(ANGLES), PLACES)[torch.tensor(source)]


def test_poses_that_stay_and_leap_or_come_slower_than_pictures_are_told():
    assert told_held(held()) is None
    assert told_held(held(7, 8, 9)).startswith("the pose stays the same until row 9, then leaps by 0.1")
    assert told_held(held(*range(1, FRAMES, 2))).startswith("in 10 single rows the pose of the row before")
    assert told_held(held(*range(4, FRAMES, 4))).startswith("in 5 single rows")
    assert told_held(held(7)) is None  # once is chance
    assert told_held(held(*range(20, FRAMES))) is None  # the tool rests at the end
    rest = PLACES.clone()
    rest[8:16] = rest[8]
    rest[16:] = rest[8] + 0.001 * torch.arange(1, 9)[:, None] ** 2  # it starts slowly
    assert told_held(Pose(from_euler_xyz(0 * ANGLES), rest)) is None


def test_a_tool_that_begins_or_stays_at_the_origin_is_right():
    at_origin = Pose(from_euler_xyz(0.02 * ANGLES), torch.zeros(FRAMES, 3))
    slow = Pose(at_origin.rotation, torch.linspace(0, 0.4, FRAMES)[:, None] * torch.ones(3))
    leaps = Pose(at_origin.rotation, torch.linspace(0, 9, FRAMES)[:, None] * torch.ones(3))
    for pose in (at_origin, slow, leaps, slow[:1], slow[:2]):
        assert missing_places(pose) is None
        assert missing_turns(pose) is None


def test_declared_poses_with_zeros_are_refused_and_fast_turns_are_believed():
    numbers = torch.cat([PLACES, ANGLES], -1)
    numbers[7, 3:] = 0
    with pytest.raises(ActionImagesError, match="the rotation is exactly zero in row 7"):
        ToolNotation("euler_xyz", 0, 1).poses(numbers)
    ToolNotation("euler_xyz", 0, 1, fast_turns=True).poses(numbers)
    quaternions = torch.zeros(FRAMES, 7)
    quaternions[:, 6] = 1
    quaternions[9, 6] = 0
    with pytest.raises(ActionImagesError, match="row 9 has a quaternion of zeros; do zeros stand for"):
        ToolNotation("quaternion_xyzw", 0, 1).poses(quaternions)


def test_a_row_of_zeros_refuses_its_episode_and_no_other(tmp_path):
    parts = hand_set()
    parts.rows[11]["observation.state"][:3] = [0.0] * 3
    outcome = import_episodes(Job(parts.write(tmp_path / "source")), tmp_path / "set", 0)
    assert outcome.imported == ["episode_000001"]
    assert "the position is exactly zero in row 11" in outcome.refused["episode_000000"]


def test_a_csv_with_a_row_of_zeros_is_refused(tmp_path):
    position, rotation, opening = foreign.tool_path()
    position[4] = 0
    rows = np.concatenate([position, rotation.as_quat(), opening[:, None]], 1)
    np.savetxt(tmp_path / "poses.csv", rows, delimiter=",", header=",".join(COLUMNS[8]), comments="")
    with pytest.raises(ActionImagesError, match="the position is exactly zero in row 4"):
        load_trajectory(tmp_path / "poses.csv")
