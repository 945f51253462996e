"""Longer clips are a value of the recipe: plans reach as far, and weights of shorter clips go on."""

from dataclasses import replace

import torch

from action_images.episodes.dataset import Dataset
from action_images.model.bundle import load_clips
from action_images.policy import GenerativePolicy
from action_images.robot import Observation
from action_images.structs import stack
from action_images.training.recipe import SourceRecipe
from action_images.training.train import train


def test_plans_reach_as_far_as_the_clips_and_shorter_weights_go_on(recipe, demonstrations, tmp_path):
    """Clips of 5 frames at 5 a second are .8 s long, those of 9 frames 1.6 s: 16 and 32 control steps."""
    source = SourceRecipe(demonstrations, modes={"policy": 1.0})
    short = replace(recipe, sources=(source,), validation=(), num_steps=1)
    first = train(short, tmp_path / "short")
    longer = replace(short, num_frames=9, pretrained=first)
    second = train(longer, tmp_path / "long")
    episode = Dataset(demonstrations)[0]
    images = torch.cat([view.frames.read([0]) for view in episode.views])
    for folder, frames, steps in ((first, 5, 16), (second, 9, 32)):
        clips = load_clips(folder)
        assert clips is not None
        assert clips.num_frames == frames
        policy = GenerativePolicy.load(folder, "cpu")
        (plan,) = policy.propose(_observation(episode, images), 1)
        assert plan.action_images is not None
        assert plan.action_images.shape[1] == frames
        # Where the gripper closes the tool waits: the plan takes longer then.
        assert plan.trajectory.num_frames >= steps


def _observation(episode, images) -> Observation:
    path = episode.trajectory
    cameras = stack([view.camera for view in episode.views])
    return Observation(images, cameras, path.world_from_tool[0], path.opening[0], episode.instruction)
