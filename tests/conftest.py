"""Shared by all tests: shapes checked where that is asked for, one thread, fixed seeds."""

import os

# Before anything that reads it: pytest-xdist already fills the cores, and threads that wait for one another
# take several times as long there. Also for NumPy's and SciPy's algebra, and for processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

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
