"""What a policy says about its plans: pictures unlike those of training, poses that are not good."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import action_images
from action_images.geometry import Pose, Trajectory
from action_images.model.familiarity import Familiarity
from action_images.model.reliability import Bounds, Reliability
from action_images.policy import BestOf, GenerativePolicy
from action_images.robot import Doubting, Observation, Plan
from small_scenes import rig

SHIPPED = Path(action_images.__file__).parent / "weights" / "tiny"


def shades(num: int, seed: int) -> torch.Tensor:
    """Grey pictures with a little noise, as bytes."""
    noise = torch.Generator().manual_seed(seed)
    shade = 100 + 60 * torch.rand(num, 1, 1, 1, generator=noise)
    return (shade + 4 * torch.randn(num, 3, 64, 64, generator=noise)).byte()


@pytest.fixture(scope="module")
def policy() -> GenerativePolicy:
    """The shipped models, as if they had been trained on grey pictures."""
    plain = GenerativePolicy.load(SHIPPED, "cpu")
    pipeline = plain.generator.pipeline
    known = replace(
        pipeline.models,
        familiarity=Familiarity.of(shades(400, seed=0)),
        reliability=Reliability("validation", {"policy": Bounds(0.6, 0.2, {"doubtful": 0.25})}),
    )
    return replace(plain, generator=replace(plain.generator, pipeline=replace(pipeline, models=known)))


def observed(images: torch.Tensor) -> Observation:
    pose = Pose(torch.eye(3), torch.tensor([0.0, 0.0, 0.2]))
    return Observation(images, rig(2), pose, torch.tensor(1.0), "push the button")


def plan(confidence: float) -> Plan:
    still = Pose(torch.eye(3).expand(4, 3, 3), torch.zeros(4, 3))
    return Plan(Trajectory(still, torch.ones(4)), confidence=torch.full((4,), confidence))


def test_nothing_is_said_where_nothing_is_doubtful(policy: GenerativePolicy):
    assert isinstance(policy, Doubting)
    assert policy.doubts(observed(shades(2, seed=1)), [plan(0.9)]) == ()


def test_strange_pictures_and_doubtful_poses_are_said(policy: GenerativePolicy):
    noise = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    strange, poses = policy.doubts(observed(noise), [plan(0.9), plan(0.3)])
    assert strange.startswith("2 of 2 views look unlike the pictures")
    assert poses.startswith("poses: 4 good, 4 doubtful (of such 25% were wrong on validation)")
    assert BestOf(policy).doubts(observed(noise), [plan(0.9)]) == (strange,)


def test_models_that_know_neither_say_nothing(policy: GenerativePolicy):
    pipeline = policy.generator.pipeline
    bare = replace(pipeline, models=replace(pipeline.models, familiarity=None, reliability=None))
    silent = replace(policy, generator=replace(policy.generator, pipeline=bare))
    assert silent.doubts(observed(shades(2, seed=1) // 3), [plan(0.0)]) == ()
