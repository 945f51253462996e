"""Imagining: the coherent future comes first, and nothing that is to be imagined is looked at."""

from dataclasses import replace

import pytest
import torch

from action_images.inference.imagine import imagine, second_view
from truth import CLIPS, knowing, make_episode, whole


@pytest.fixture(scope="module")
def episode():
    return make_episode(CLIPS.num_frames)


@pytest.fixture(scope="module")
def generator(episode):
    return knowing(episode)


def test_a_perfect_model_imagines_what_will_be(generator, episode):
    futures = imagine(generator, whole(episode), num_samples=2)
    assert len(futures) == 2
    metres, _ = futures[0].trajectory.world_from_tool.distance(episode.trajectory.world_from_tool)
    assert metres.median() < 5e-3
    assert (futures[0].video - whole(episode).video.add(1).div(2)).abs().mean() < 0.03
    assert futures[0].agreement > 0.8


def test_futures_whose_views_contradict_each_other_come_last(generator, episode):
    """A model whose second sample draws the two views' actions of different moments."""
    oracle = generator.pipeline.models.denoiser
    honest = oracle.forward

    def torn(canvas, noise_level, condition, branch="conditional"):
        velocity = honest(canvas, noise_level, condition, branch)
        spans = {(segment.view, segment.stream): span for segment, span in canvas.layout.spans.items()}
        clean = canvas.latents - velocity * noise_level.view(-1, 1, 1, 1, 1)
        clean[1, :, spans[0, "action"]] = clean[0, :, spans[1, "action"]]
        return (canvas.latents - clean) / noise_level.view(-1, 1, 1, 1, 1)

    oracle.forward = torn
    try:
        futures = imagine(generator, whole(episode), num_samples=3)
    finally:
        oracle.forward = honest
    assert [future.agreement for future in futures] == sorted(
        (future.agreement for future in futures), reverse=True
    )
    assert futures[-1].agreement < futures[1].agreement - 0.2


def test_only_first_frames_and_the_current_pose_are_looked_at(generator, episode):
    scene = whole(episode)
    blind = replace(scene, video=scene.video[:, :1], trajectory=scene.trajectory[:1])
    for one, other in zip(imagine(generator, scene, 1), imagine(generator, blind, 1), strict=True):
        assert torch.equal(one.video, other.video)
        assert torch.equal(one.action_images, other.action_images)


def test_the_second_view_is_imagined_from_the_first_and_never_looked_at(generator, episode):
    scene = whole(episode)
    shown = second_view(generator, scene)
    assert (shown.video[1] - scene.video[1].add(1).div(2)).abs().mean() < 0.03
    covered = replace(
        scene,
        video=torch.cat(
            [scene.video[:1], torch.cat([scene.video[1:, :1], -torch.ones_like(scene.video[1:, 1:])], 1)]
        ),
    )
    assert torch.equal(second_view(generator, covered).video, shown.video)


def test_one_view_or_no_sample_is_refused(generator, episode):
    with pytest.raises(ValueError, match="at least one future"):
        imagine(generator, whole(episode), num_samples=0)
    one = replace(episode, views=episode.views[:1])
    with pytest.raises(ValueError, match="at least two"):
        imagine(knowing(one), whole(one))


def test_where_a_camera_will_be_is_never_told(generator, episode):
    """A moving camera's recorded path would give the future away; the shown view's does not."""
    scene = whole(episode)
    pose = scene.cameras.world_from_camera
    for view in (0, 1):
        away = torch.zeros_like(pose.translation)
        away[view] = 0.01 * torch.arange(scene.video.shape[1])[:, None]
        moving = replace(
            scene,
            cameras=replace(
                scene.cameras, world_from_camera=replace(pose, translation=pose.translation + away)
            ),
        )
        with pytest.raises(ValueError, match="cameras that move are known along the episode's own path only"):
            imagine(generator, moving, 1)
        if view == 0:
            assert second_view(generator, moving).video.shape[1] == scene.video.shape[1]
            continue
        with pytest.raises(ValueError, match="choose still views"):
            second_view(generator, moving)
