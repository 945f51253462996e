"""Answers that contradict each other are not sure, however sharp each is."""

import torch

from action_images.geometry import Pose, Trajectory
from action_images.geometry.rotation import from_rotation_vector
from action_images.inference.confidence import consensus


def path(x: float, turn: float = 0.0, num_frames: int = 3) -> Trajectory:
    """Still at x (m), turned about z (rad)."""
    rotation = from_rotation_vector(torch.tensor([0.0, 0.0, turn])).expand(num_frames, 3, 3)
    place = torch.tensor([x, 0.0, 0.0]).expand(num_frames, 3)
    return Trajectory(Pose(rotation, place), torch.ones(num_frames))


def paths(*several: Trajectory) -> Trajectory:
    stacked = [one.world_from_tool for one in several]
    pose = Pose(
        torch.stack([one.rotation for one in stacked]), torch.stack([one.translation for one in stacked])
    )
    return Trajectory(pose, torch.stack([one.opening for one in several]))


def test_answers_that_agree_are_as_sure_as_the_root_of_their_mean():
    sure = torch.tensor([[0.2], [0.6]]).expand(2, 3)
    torch.testing.assert_close(consensus(paths(path(0), path(0)), path(0), sure), torch.full((3,), 0.4**0.5))


def test_the_farther_apart_the_less_sure_in_place_and_in_turn():
    sure = torch.full((2, 3), 0.4)
    together = consensus(paths(path(0), path(0)), path(0), sure)
    near = consensus(paths(path(-0.005), path(0.005)), path(0), sure)
    far = consensus(paths(path(-0.05), path(0.05)), path(0), sure)
    turned = consensus(paths(path(0, -0.1), path(0, 0.1)), path(0), sure)
    torch.testing.assert_close(near, together * 0.5**0.5)
    torch.testing.assert_close(turned, together * 0.5**0.5, atol=1e-4, rtol=1e-4)
    assert (far < near).all()


def test_an_answer_that_could_not_be_read_has_no_say_and_none_at_all_is_not_sure():
    lost = path(float("nan"))
    sure = torch.tensor([[0.4], [0.0]]).expand(2, 3)
    torch.testing.assert_close(consensus(paths(path(0), lost), path(0), sure), torch.full((3,), 0.2**0.5))
    assert (consensus(paths(lost, lost), lost, torch.zeros(2, 3)) == 0).all()
