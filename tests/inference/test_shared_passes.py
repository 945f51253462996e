"""One clip by two processes is the clip of one, and what cannot be shared is said before anything is."""

from pathlib import Path

import pytest
import torch

import action_images
from action_images.errors import ActionImagesError
from action_images.inference.clip_generator import ClipGenerator
from action_images.inference.shared_passes import SharedSampler, check_heads, check_tokens
from small_scenes import scenes

SHIPPED = Path(action_images.__file__).parent / "weights" / "tiny"


def test_two_processes_make_the_clip_of_one():
    scene = scenes(1, 2, 1, (64, 64))
    alone = ClipGenerator.load(SHIPPED, "cpu", "one-step").generate(scene, "policy", [3], ["action"])
    shared = ClipGenerator.load(SHIPPED, "cpu", "one-step", shared_by=2)
    assert isinstance(shared.sample, SharedSampler)
    try:
        for _ in range(2):
            made = shared.generate(scene, "policy", [3], ["action"])
            torch.testing.assert_close(made.action_images, alone.action_images, atol=1e-4, rtol=1e-4)
        with pytest.raises(ActionImagesError, match="shares clips already"):
            ClipGenerator.load(SHIPPED, "cpu", shared_by=2)
    finally:
        shared.sample.close()


def test_what_cannot_be_shared_evenly_is_said_with_what_can():
    with pytest.raises(
        ActionImagesError, match=r"24 attention heads .* by 5 devices; .* one of 2, 3, 4, 6, 8"
    ):
        check_heads(24, 5)
    with pytest.raises(ActionImagesError, match="a clip of 45 tokens cannot be shared by 2"):
        check_tokens(45, 2)
    with pytest.raises(ActionImagesError, match="6 attention heads cannot be shared by 4"):
        ClipGenerator.load(SHIPPED, "cpu", shared_by=4)
