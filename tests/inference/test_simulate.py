"""Simulating: right where the model is, across clips; as an Environment it keeps the protocol's promises."""

from dataclasses import replace

import pytest
import torch

from action_images.inference.learned_simulator import LearnedSimulator
from action_images.inference.simulate import clip_starts, simulate
from action_images.robot import Environment, Observation
from truth import CLIPS, knowing, make_cameras, make_episode, whole

NUM_FRAMES = 13


@pytest.fixture(scope="module")
def episode():
    return make_episode(NUM_FRAMES)


@pytest.fixture(scope="module")
def generator(episode):
    return knowing(episode)


def truth_of(episode):
    return whole(episode).video.add(1).div(2)


def first_only(episode):
    shown = whole(episode)
    return replace(shown, video=shown.video[:, :1])


def test_a_perfect_model_simulates_a_path_longer_than_a_clip(generator, episode):
    video = simulate(generator, first_only(episode))
    truth = truth_of(episode)
    assert video.shape == truth.shape
    assert torch.equal(video[:, 0], truth[:, 0])
    still = (truth[:, :1] - truth).square().mean((0, 2, 3, 4)).sqrt()
    error = (video - truth).square().mean((0, 2, 3, 4)).sqrt()
    assert (error[4:] < still[4:] / 2).all()


@pytest.mark.parametrize("num_frames", [1, 2, 5, 6, 9, 10])
def test_every_frame_of_a_path_is_simulated_once(generator, episode, num_frames):
    scene = first_only(episode)
    video = simulate(
        generator, replace(scene, trajectory=scene.trajectory[:num_frames], cameras=scene.cameras[:, :1])
    )
    assert video.shape[1] == num_frames
    assert list(clip_starts(num_frames, CLIPS.num_frames))[-1] + CLIPS.num_frames >= num_frames


def test_what_is_missing_is_named(generator, episode):
    with pytest.raises(ValueError, match="path to follow"):
        simulate(generator, replace(first_only(episode), trajectory=None))
    with pytest.raises(ValueError, match="calibrated cameras"):
        simulate(generator, replace(first_only(episode), cameras=None))


@pytest.fixture
def world(generator, episode):
    def begin(seed: int) -> Observation:
        images = torch.stack([view.frames.read([0])[0] for view in episode.views])
        path = episode.trajectory
        return Observation(images, make_cameras(), path.world_from_tool[0], path.opening[0], f"trial {seed}")

    return LearnedSimulator(generator, begin, lambda world: bool(world.tool.translation[0] > 0.1))


def test_the_learned_simulator_is_an_environment_that_shows_what_its_path_gives(world, episode):
    assert isinstance(world, Environment)
    seen = world.reset(3)
    assert seen.instruction == "trial 3"
    told = episode.trajectory.at(torch.arange(1, 4 * NUM_FRAMES - 3) / 4)
    truth = truth_of(episode)
    for step in range(told.num_frames):
        report = world.step(told.world_from_tool[step], told.opening[step].item())
        assert report.reachable
        if (step + 1) % 16 == 0:
            seen = world.observation()
            frame = (step + 1) // 4
            error = (seen.images / 255 - truth[:, frame]).square().mean().sqrt()
            assert error < (truth[:, 0] - truth[:, frame]).square().mean().sqrt() / 2
            assert torch.equal(seen.world_from_tool.translation, told.world_from_tool.translation[step])
    assert world.num_steps == told.num_frames


def test_the_same_moment_looks_the_same_and_a_reset_begins_anew(world, episode):
    first = world.reset(0)
    path = episode.trajectory
    for step in range(3):
        world.step(path.world_from_tool[1], path.opening[step].item())
    assert torch.equal(world.observation().images, world.observation().images)
    assert torch.equal(world.reset(0).images, first.images)
    assert world.num_steps == 0


def test_success_is_what_the_judge_says(world, episode):
    world.reset(0)
    assert not world.succeeded()
    far = replace(episode.trajectory.world_from_tool[0], translation=torch.tensor([0.2, 0.0, 0.0]))
    world.step(far, 1.0)
    assert world.succeeded()


def test_before_a_trial_and_at_odd_rates_it_says_what_to_do(generator, world):
    with pytest.raises(ValueError, match="reset"):
        world.observation()
    with pytest.raises(ValueError, match="whole multiple"):
        LearnedSimulator(generator, world.begin, world.judge, control_hz=12.0)
