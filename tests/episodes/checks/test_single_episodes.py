"""One episode of a right set whose pictures, gripper or rotations are another's or in another notation."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from action_images.episodes.checks.check import check_dataset
from action_images.episodes.checks.finding import Examined
from action_images.episodes.checks.grippers import check_gripper
from action_images.episodes.checks.upright import check_upright, tilts
from action_images.episodes.dataset import DatasetWriter
from action_images.geometry.rotation import from_euler_xyz, from_quaternion_xyzw, to_quaternion_xyzw
from arm_scene import hand_episode


def test_an_inverted_gripper_and_exchanged_pictures_are_named_in_their_episodes_alone(tmp_path):
    episodes = [hand_episode(f"hand/e{seed}", num_frames=24, seed=seed) for seed in range(4)]
    path = episodes[1].trajectory
    episodes[1] = replace(episodes[1], trajectory=replace(path, opening=1 - path.opening))
    left = {place: episodes[place].views[0] for place in (2, 3)}
    for place, other in ((2, 3), (3, 2)):
        exchanged = replace(left[place], frames=left[other].frames)
        episodes[place] = replace(episodes[place], views=(exchanged, episodes[place].views[1]))
    with DatasetWriter(tmp_path / "set", fps=10) as writer:
        for episode in episodes:
            writer.add(episode)
    found = {finding.episode: finding.message for finding in check_dataset(tmp_path / "set", 0).findings}
    assert set(found) == {"hand/e1", "hand/e2", "hand/e3"}
    assert "the fingers are seen apart where the gripper is said to be closed" in found["hand/e1"]
    assert "better with the pictures of the episode hand/e3, and that one with these" in found["hand/e2"]
    assert "better with the pictures of the episode hand/e2, and that one with these" in found["hand/e3"]


def openings(*values: float, name: str) -> Examined:
    return Examined(name, 10, openings=(min(values), max(values)), starts=values[0])


OTHERS = [openings(1.0, 0.0, name=f"e{number}") for number in range(4)]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((1.0, 0.05), None),
        ((1.0, 0.3), None),  # a thick object between the fingers
        ((0.7, 0.0), None),
        ((1.0, 1.0), None),  # a gripper that never moves is reported elsewhere
        ((0.0, 1.0), "begins at 0.00, and at 1.00 in all others; is it the other way round"),
        ((1.0, 0.5), "between 0.50 and 1.00 alone, .* another unit"),
        ((0.39, 0.0), "between 0.00 and 0.39 alone, .* another unit"),
    ],
)
def test_openings_unlike_those_of_all_other_episodes_are_told(values, told):
    odd = openings(*values, name="odd")
    found = check_gripper([*OTHERS, odd])
    assert [finding.episode for finding in found] == ([] if told is None else ["odd"])
    assert told is None or re.search(told, found[0].message)
    assert check_gripper([*OTHERS[:3], odd]) == []  # too few others to tell


def turning(num: int = 40, tilt: float = 0.3, yaw: float = 1.0) -> torch.Tensor:
    """Rotations of a hand that points down, tilts by less than `tilt` and turns about the vertical."""
    phase = torch.linspace(0, 2 * math.pi, num)
    turns = torch.stack([math.pi + tilt * phase.sin(), tilt * phase.cos(), yaw * (phase + 1).sin()], -1)
    return from_euler_xyz(turns)


def w_first(rotation: torch.Tensor) -> torch.Tensor:
    """The rotations of quaternions written w x y z and read as x y z w."""
    return from_quaternion_xyzw(to_quaternion_xyzw(rotation).roll(1, -1))


def upright(*turns: torch.Tensor) -> list[str]:
    examined = [Examined(f"e{place}", len(one), tilts=tilts(one)) for place, one in enumerate(turns)]
    return [finding.episode for finding in check_upright(examined)]


def test_a_hand_that_is_upright_in_the_other_order_alone_is_told():
    right = turning()
    assert upright(right) == upright(right, right) == upright(turning(tilt=0.8)) == []
    assert upright(w_first(right)) == ["e0"]
    assert upright(w_first(right), w_first(right)) == [""]
    assert upright(right, right, w_first(right)) == ["e2"]
    assert upright(w_first(turning(tilt=0.0, yaw=0.0))) == []  # one orientation is upright by chance


@pytest.mark.parametrize("seed", range(20))
def test_a_hand_that_points_anywhere_is_upright_in_no_order(seed):
    generator = torch.Generator().manual_seed(seed)
    quaternion = torch.randn(1, 4, generator=generator) + 0.3 * torch.randn(40, 4, generator=generator)
    assert upright(from_quaternion_xyzw(torch.nn.functional.normalize(quaternion, dim=-1))) == []


def test_the_tilt_is_that_of_the_tools_axis():
    degrees = tilts(turning(tilt=0.0, yaw=0.0))
    assert np.allclose(degrees.declared, 0, atol=0.1)
