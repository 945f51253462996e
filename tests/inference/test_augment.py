"""Views of a scene that mean the same: answers are undone, and an average has no left and no first view."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import action_images
from action_images.canvas import MODES
from action_images.codec import draw, read
from action_images.geometry import Pose, Trajectory
from action_images.inference.augment import (
    SWAPPED_AND_MIRRORED,
    Augmentation,
    augmented,
    mean_reading,
)
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.generation import GENERATIONS
from action_images.policy.scene import scene_of
from action_images.samples.sample import Sample
from action_images.sim import Tabletop
from action_images.structs import concatenate, stack

SHIPPED = Path(action_images.__file__).parent / "weights" / "tiny"


@pytest.fixture(scope="module")
def scene() -> Sample:
    """What a policy is shown of a scene whose instruction has a side."""
    seen = Tabletop("turn_dial", size=(64, 64)).reset(1_000_003)
    return scene_of(replace(seen, instruction="turn the dial clockwise"), (64, 64)).normalised()


@pytest.fixture(scope="module")
def generator() -> ClipGenerator:
    return ClipGenerator.load(SHIPPED)


def path_in(scene: Sample, seed: int = 0, num_frames: int = 5) -> Trajectory:
    """A path from where the tool is in a scene."""
    assert scene.trajectory is not None
    noise = torch.Generator().manual_seed(seed)
    pose = scene.trajectory.world_from_tool[0, 0]
    steps = 0.02 * torch.randn(num_frames, 3, generator=noise)
    return Trajectory(
        Pose(pose.rotation.expand(num_frames, 3, 3), pose.translation + steps.cumsum(0)),
        torch.rand(num_frames, generator=noise),
    )


@pytest.mark.parametrize("augmentation", SWAPPED_AND_MIRRORED)
def test_action_images_of_a_scene_shown_otherwise_come_back_as_those_of_the_scene(scene, augmentation):
    moving = replace(
        scene,
        trajectory=path_in(scene)[None],
        cameras=scene.cameras.expand(1, 2, 5),
        valid=torch.ones(1, 5, dtype=torch.bool),
    )
    shown = augmentation.apply(moving)
    torch.testing.assert_close(
        augmentation.undo(draw(shown.trajectory, shown.cameras)),
        draw(moving.trajectory, moving.cameras),
        rtol=0,
        atol=2e-5,
    )
    torch.testing.assert_close(augmentation.undo(shown.video), moving.video)


def test_a_scene_is_not_changed_by_being_shown(scene):
    before = scene.video.clone()
    augmented(scene, SWAPPED_AND_MIRRORED)
    assert torch.equal(scene.video, before)


def test_every_scene_of_a_batch_keeps_its_words_under_each_augmentation(scene):
    both = replace(concatenate([scene, scene]), instruction=("push it to the left", None))
    told = augmented(both, SWAPPED_AND_MIRRORED).instruction
    assert told == ("push it to the left", None) * 2 + ("push it to the right", None) * 2


@pytest.mark.parametrize(
    "augmentation", [Augmentation(swapped=True), Augmentation(mirrored=True), Augmentation(True, True)]
)
def test_an_average_is_the_same_however_the_scene_is_shown(scene, generator, augmentation):
    """The four augmentations are a group: whichever of them one begins with, the same four are averaged."""
    [plain] = paths(generator, [scene])
    [other] = paths(generator, [augmentation.apply(scene)])
    expected = augmentation.apply(replace(scene, trajectory=plain[None])).trajectory[0]
    metres, radians = other.world_from_tool.distance(expected.world_from_tool)
    assert metres.max() < 2e-4
    assert radians.max() < 2e-2
    torch.testing.assert_close(other.opening, expected.opening, rtol=0, atol=1e-3)


def test_a_single_answer_is_not(scene, generator):
    """What the average is for: if this fails, it costs four times as much for nothing."""
    single = replace(generator, generation=GENERATIONS["one-step"])
    augmentation = Augmentation(mirrored=True)
    plain, other = paths(single, [scene]) + paths(single, [augmentation.apply(scene)])
    expected = augmentation.apply(replace(scene, trajectory=plain[None])).trajectory[0]
    assert other.world_from_tool.distance(expected.world_from_tool)[0].max() > 2e-3


def test_scenes_of_a_batch_do_not_meet(scene, generator):
    """Each scene's average is its own: a batch gives what its scenes give one by one."""
    other = scene_of(Tabletop("push_button", size=(64, 64)).reset(1_000_004), (64, 64)).normalised()
    batch = replace(
        concatenate([replace(one, instruction=None) for one in (scene, other)]),
        instruction=scene.instruction + other.instruction,
    )
    together = generator.generate(batch, "policy", [0, 0]).trajectory
    for i, alone in enumerate(paths(generator, [scene, other])):
        assert together[i].world_from_tool.distance(alone.world_from_tool)[0].max() < 2e-4


def paths(generator: ClipGenerator, scenes: list[Sample]) -> list[Trajectory]:
    return [generator.generate(scene, "policy", [0]).trajectory[0] for scene in scenes]


def test_several_samples_of_one_scene_stay_apart(scene, generator):
    drawn = generator.generate(scene, "policy", [0, 1])
    for i in (0, 1):
        alone = generator.generate(scene, "policy", [i]).trajectory[0]
        assert drawn.trajectory[i].world_from_tool.distance(alone.world_from_tool)[0].max() < 2e-4


@pytest.mark.parametrize("mode", sorted(MODES))
def test_averaged_is_where_actions_alone_are_generated(generator, mode):
    expected = 4 if mode in ("policy", "label", "label_from_nothing") else 1
    assert len(generator.augmentations(mode, 2)) == expected
    assert len(generator.augmentations(mode, 1)) == 1  # a single view changes places with nobody
    assert len(replace(generator, generation=GENERATIONS["two-steps"]).augmentations(mode, 2)) == 1


def reading_of(scene: Sample, seed: int):
    path = path_in(scene, seed)
    return read(draw(path, scene.cameras[0, :, 0]), scene.cameras[0, :, 0])


def test_the_mean_of_equal_readings_is_that_reading(scene):
    one = reading_of(scene, 0)
    mean = mean_reading(stack([stack([one]), stack([one])]), torch.rand(2, 1, 5))[0]
    torch.testing.assert_close(
        mean.trajectory.world_from_tool.rotation, one.trajectory.world_from_tool.rotation
    )
    torch.testing.assert_close(
        mean.trajectory.world_from_tool.translation, one.trajectory.world_from_tool.translation
    )
    torch.testing.assert_close(mean.position_std, one.position_std)
    assert torch.equal(mean.valid, one.valid)


def test_what_has_no_weight_may_be_unknown_and_says_nothing(scene):
    one, lost = (
        reading_of(scene, 0),
        reading_of(scene, 1).map(lambda part: part * torch.nan if part.is_floating_point() else part),
    )
    mean = mean_reading(
        stack([stack([lost]), stack([one])]), torch.tensor([0.0, 0.3])[:, None, None].expand(2, 1, 5)
    )[0]
    torch.testing.assert_close(
        mean.trajectory.world_from_tool.translation, one.trajectory.world_from_tool.translation
    )
    torch.testing.assert_close(mean.position_std, one.position_std)
    nobody = mean_reading(stack([stack([lost]), stack([lost])]), torch.zeros(2, 1, 5))[0]
    assert nobody.trajectory.world_from_tool.translation.isnan().all()


def test_labels_are_averaged_too(scene, generator):
    """The first pose is given in each augmentation; what is labelled comes back in the scene's own world."""
    video = scene.video.expand(1, 2, 9, 3, 64, 64)
    still = replace(
        scene, video=video, cameras=scene.cameras.expand(1, 2, 9), valid=torch.ones(1, 9, dtype=torch.bool)
    )
    path = generator.generate(still, "label", [0]).trajectory[0]
    metres, _ = path.world_from_tool.distance(scene.trajectory[0].expand(9).world_from_tool)
    assert metres.max() < 0.05  # nothing moves in this video
