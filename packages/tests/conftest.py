"""Shared fixtures of the tests of LeRobot's plug-ins: its commands in this process, and a recorded set."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="disabled")

import pytest
import torch
from lerobot.utils.import_utils import register_third_party_plugins

from action_images.sim import RIGS
from action_images.sim.look import Look
from action_images.sim.looks import LOOKS
from action_images.sim.record import RecordingConfig, record

SIZE = (64, 64)
Run = Callable[..., Any]


@pytest.fixture(scope="session", autouse=True)
def _plugins(tmp_path_factory: pytest.TempPathFactory) -> None:
    """LeRobot finds the plug-ins by their distributions' names, as its commands do."""
    os.environ["HF_LEROBOT_HOME"] = str(tmp_path_factory.mktemp("home"))
    torch.set_num_threads(1)
    register_third_party_plugins()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs one of LeRobot's commands with its arguments in this process."""

    def runs(main: Callable[[], Any], *words: str) -> None:
        monkeypatch.setattr(sys, "argv", [main.__module__, *words])
        main()

    return runs


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three demonstrations of one task, three views, 20 frames a second."""
    folder = tmp_path_factory.mktemp("sets") / "recorded"
    look = LOOKS["train"]
    assert isinstance(look, Look)
    config = RecordingConfig(RIGS["sampled"], look, num_views=3, size=SIZE)
    for _ in record(folder, [("reach_target", seed) for seed in range(3)], config):
        pass
    return folder
