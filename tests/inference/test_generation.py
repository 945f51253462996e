"""Names of samplings, and the settings of a clip generator that they stand for."""

import pytest
import torch

from action_images.inference.augment import AS_IT_IS, Augmentation
from action_images.inference.generation import (
    GENERATIONS,
    Generation,
    generation_named,
    name_without_augmentation,
)
from action_images.inference.stages import Stages
from action_images.model.presets import PRESETS


def test_the_names_that_saved_models_and_presets_have_are_known():
    names = {
        "fifty-steps",
        "release",
        "release-cached",
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
