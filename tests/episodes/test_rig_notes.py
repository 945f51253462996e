"""Cameras whose pixels are not square, or that share a pose, are told at import; usual ones are not."""

from dataclasses import replace

import pytest
import torch

from action_images.episodes.encoded_episode import encode_episode
from recorded import make_episode


def notes(tmp_path, change) -> list[str]:
    """What is said of an episode whose cameras are changed."""
    episode = make_episode()
    cameras = change([view.camera for view in episode.views])
    views = [replace(view, camera=camera) for view, camera in zip(episode.views, cameras, strict=True)]
    return list(encode_episode(replace(episode, views=tuple(views)), tmp_path).notes)


def with_shape(fy: float, skew: float):
    """The first camera with another second focal length (as a share of the first), and a skew (px)."""

    def change(cameras):
        intrinsics = cameras[0].intrinsics.clone()
        intrinsics[..., 1, 1] = fy * intrinsics[..., 0, 0]
        intrinsics[..., 0, 1] = skew
        return [replace(cameras[0], intrinsics=intrinsics), *cameras[1:]]

    return change


@pytest.mark.parametrize(("fy", "skew", "told"), [(1.0, 0, 0), (1.05, 0, 0), (0.8, 0, 1), (1.0, 9.0, 1)])
def test_focal_lengths_that_differ_and_a_skew_are_told(tmp_path, fy, skew, told):
    said = [note for note in notes(tmp_path, with_shape(fy, skew)) if "the focal lengths are" in note]
    assert len(said) == told


def test_two_views_with_one_pose_are_told_and_two_close_ones_are_not(tmp_path):
    def close(cameras):
        pose = cameras[0].world_from_camera
        beside = replace(pose, translation=pose.translation + torch.tensor([0.001, 0, 0]))
        return [cameras[0], replace(cameras[1], world_from_camera=beside)]

    (said,) = notes(tmp_path, lambda cameras: [cameras[0], cameras[0]])
    assert said == "the cameras of front and left have exactly one pose; was it copied?"
    assert notes(tmp_path, close) == notes(tmp_path, lambda cameras: cameras) == []
