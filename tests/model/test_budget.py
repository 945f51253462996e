"""Which cards a model fits, and what must change for it to fit."""

import subprocess
import sys
from dataclasses import replace

import pytest

from action_images.canvas.shown import SHOWN
from action_images.model.budget import CARDS, Clip, Setting, budget, fitting
from action_images.model.presets import PRESETS

PRESET = PRESETS["wan2.2-5b"]
CLIP = Clip(SHOWN["joint"], 2, 41, (512, 512))
LORA = Setting("lora", dtype="bfloat16", frozen_dtype="bfloat16")


def test_each_change_takes_less():
    plain = replace(LORA, checkpointed=False, batch_size=2)
    less = [
        replace(plain, cached=True),
        replace(plain, checkpointed=True),
        replace(plain, batch_size=1),
        replace(plain, eight_bit=True),
    ]
    most = budget(PRESET, CLIP, plain).peak
    assert all(budget(PRESET, CLIP, setting).peak < most for setting in less)


def test_what_is_read_from_a_cache_is_not_held():
    with_models, cached = (budget(PRESET, CLIP, replace(LORA, cached=cached)) for cached in (False, True))
    assert cached.autoencoder == cached.text_encoder == cached.work == 0
    assert with_models.peak - cached.peak == with_models.autoencoder + with_models.text_encoder


@pytest.mark.parametrize("use", ["inference", "lora", "full"])
def test_what_fits_a_card_fits_a_larger_one_with_no_more_changes(use):
    changes = fitting(PRESET, CLIP, replace(LORA, use=use))
    assert tuple(changes) == CARDS
    counts = [len(words) if words is not None else 99 for words in changes.values()]
    assert counts == sorted(counts, reverse=True)


def test_adapters_for_the_released_weights_fit_24_gb_with_caches():
    assert fitting(PRESET, CLIP, LORA) == {16: None, 24: ("caches",), 48: (), 80: ()}


def test_counting_imports_no_torch():
    """A command that answers in a second cannot wait for it."""
    program = """
import sys
from action_images.cli import main
assert main(["describe", "--preset", "wan2.2-5b"]) == 0
assert not {"torch", "numpy", "diffusers", "transformers", "peft"} & set(sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = told.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[:9].strip() for line in lines if "fits:" in line] == ["inference", "LoRA", "full"]
