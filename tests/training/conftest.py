"""A small recorded data set and a recipe over it that trains in seconds."""

from dataclasses import replace
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from runs import write_demonstrations

from action_images.training.recipe import Recipe, SourceRecipe
from action_images.training.recipes import DEBUG

MODES = {"policy": 0.4, "joint": 0.3, "label": 0.3}


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "demonstrations", 6, seed=0)


@pytest.fixture(scope="session")
def held_out(tmp_path_factory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp("data") / "validation", 3, seed=1)


@pytest.fixture
def recipe(demonstrations, held_out) -> Recipe:
    """Six steps of four samples, three modes in two layouts."""
    return replace(
        DEBUG,
        sources=(SourceRecipe(demonstrations, modes=MODES),),
        validation=(SourceRecipe(held_out, modes={"policy": 1.0, "joint": 1.0}),),
        num_steps=6,
        batch_size=4,
        warmup_steps=2,
        num_workers=0,
        validation_windows=4,
    )


@pytest.fixture(autouse=True)
def _one_accelerator():
    """Each test is a run of its own; accelerate keeps what the last one chose."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
