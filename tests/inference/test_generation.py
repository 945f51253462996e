"""Names of samplings, and the settings of a clip generator that they stand for."""

from dataclasses import replace

import pytest
import torch

from action_images.diffusion.sampler import Sampling
from action_images.errors import ActionImagesError
from action_images.inference.augment import AS_IT_IS, Augmentation
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.generation import (
    GENERATIONS,
    Generation,
    generation_named,
    name_without_augmentation,
)
from action_images.inference.stages import Stages
from action_images.model.build import build
from action_images.model.bundle import Clips
from action_images.model.presets import PRESETS
from small_scenes import scenes


def test_the_names_that_saved_models_and_presets_have_are_known():
    names = {
        "fifty-steps",
        "release",
        "release-cached",
        "release-first-block",
        "one-step",
        "two-steps",
        "four-steps",
        "one-step-averaged",
        "two-steps-averaged",
    }
    assert names == set(GENERATIONS)
    assert {preset.sampling for preset in PRESETS.values()} <= names


def test_a_name_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match="there is no sampling 'twice'; there are: fifty-steps, release"):
        generation_named("twice")


@pytest.mark.parametrize("name", GENERATIONS)
def test_every_generation_has_a_name_without_augmentation_that_differs_in_nothing_else(name):
    plain = GENERATIONS[name_without_augmentation(name)]
    assert plain.augment == AS_IT_IS
    assert (plain.sampling, plain.smooth_frames) == (
        GENERATIONS[name].sampling,
        GENERATIONS[name].smooth_frames,
    )


def test_the_averaged_names_are_their_plain_ones_with_augmentation():
    assert name_without_augmentation("one-step-averaged") == "one-step"
    assert name_without_augmentation("two-steps-averaged") == "two-steps"
    assert name_without_augmentation("release-cached") == "release-cached"


def test_no_guidance_is_the_same_at_half_the_cost():
    release = GENERATIONS["release"]
    assert release.sampling.guidance == 7.5
    assert release.without_guidance == GENERATIONS["fifty-steps"]


@pytest.mark.parametrize("bad", [{"augment": ()}, {"smooth_frames": -1.0}])
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="at least one augmentation and smooth_frames of 0 or more"):
        Generation(**{"augment": (Augmentation(),), **bad})


def test_a_stage_that_is_entered_twice_adds_up_and_stays_in_its_place():
    stages, device = Stages(), torch.device("cpu")
    with stages.of("encode", device):
        pass
    once = stages.ms["encode"]
    for name in ("denoise", "encode"):
        with stages.of(name, device):
            pass
    assert list(stages.ms) == ["encode", "denoise"]
    assert stages.ms["encode"] > once


def test_blocks_are_skipped_while_the_first_hardly_changes_and_never_afterwards():
    """diffusers' cache is on for a clip that asks for it, and for no other."""
    models = build(PRESETS["debug"])
    models.autoencoder.fit([(torch.randn(5, 3, 32, 32), 1.0)])
    clips, network = Clips((32, 32), 5, 5.0, "four-steps"), models.denoiser.transformer
    calls: list[int] = []
    network.blocks[-1].attn1.register_forward_hook(lambda *_: calls.append(1))
    scene, counted = scenes(1, 2, 5, (32, 32)), []
    first = replace(scene, video=scene.video[:, :, :1])
    for first_block in (None, 1e9, None):
        generation = Generation(Sampling(num_steps=4, first_block=first_block))
        generator = ClipGenerator.of(models, clips=clips, generation=generation)
        generator.generate(first, "joint", [0])
        counted.append(len(calls))
        calls.clear()
    assert counted == [4, 1, 4]


def test_devices_that_share_a_clip_skip_no_blocks(tmp_path):
    models = build(PRESETS["debug"])
    models.autoencoder.fit([(torch.randn(5, 3, 32, 32), 1.0)])
    replace(models, clips=Clips((32, 32), 5, 5.0, "four-steps")).save(tmp_path)
    with pytest.raises(ActionImagesError, match="skip no blocks"):
        ClipGenerator.load(tmp_path, "cpu", sampling="release-first-block", shared_by=2)


def test_a_share_below_zero_is_refused():
    with pytest.raises(ActionImagesError, match="above 0"):
        Sampling(first_block=0.0)
