"""Shared by all tests: shapes checked where that is asked for, few threads, fixed seeds."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

torch.set_num_threads(1)  # pytest-xdist already fills the cores
settings.register_profile(
    "default", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")

if os.environ.get("CHECK_SHAPES"):  # here, before any other conftest imports the package
    install_import_hook("action_images", "shape_checks.checked")

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden():
    """Numbers of the public release on random inputs: `golden("encode")["uv"]` is a tensor."""

    def load(name: str) -> dict[str, torch.Tensor]:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files}

    return load


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
