"""Every command that runs a model takes a device and a dtype, and says what it found or why it cannot."""

import dataclasses
import importlib
import inspect
from typing import get_args, get_type_hints

import pytest
import torch

from action_images.errors import ActionImagesError
from action_images.policies import Planning
from action_images.terminal.model_options import ModelOptions
from action_images.terminal.placing import placed, planning_placed

MODELS_RUN = (
    "demo",
    "evaluate",
    "generate",
    "imagine",
    "judge_clips",
    "judge_plans",
    "judge_simulator",
    "label",
    "record",
    "serve",
    "simulate",
    "train",
)


def options_of(command: str) -> dict[str, object]:
    """Names of a command's options with their defaults, those in groups too."""
    main = importlib.import_module(f"action_images.cli.{command}").main
    found: dict[str, object] = {}
    hints = get_type_hints(main)
    for name, parameter in inspect.signature(main).parameters.items():
        found[name] = parameter.default
        for group in (hints[name], *get_args(hints[name])):
            if dataclasses.is_dataclass(group):
                found |= {one.name: one.default for one in dataclasses.fields(group)}
    if command == "train":
        training = importlib.import_module("action_images.cli.train").Training
        found |= {one.name: one.default for one in dataclasses.fields(training)}
    return found


@pytest.mark.parametrize("command", MODELS_RUN)
def test_every_command_that_runs_a_model_has_a_device_and_a_dtype(command):
    options = options_of(command)
    assert options["device"] == "auto"
    assert "dtype" in options


@pytest.mark.parametrize("command", ["encode", "train_autoencoder", "train_painter"])
def test_commands_that_run_an_autoencoder_have_a_device(command):
    assert options_of(command)["device"] == "auto"


def test_what_was_found_is_said_in_one_line_on_stderr(capsys):
    chosen = ModelOptions(device="cpu", dtype="auto").placed()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"runs on cpu in {chosen.dtype}: as asked for; bfloat16 measured ")
    assert chosen.dtype in ("float32", "bfloat16")


def test_a_policy_that_runs_no_models_is_given_no_device(capsys):
    for policy in ("hold", "ws://robot:8000"):
        assert planning_placed(policy, Planning()) == Planning()
    assert capsys.readouterr().err == ""


def test_a_cluster_is_passed_the_device_that_is_named_and_no_dtype_is_measured_for_it():
    asked = ModelOptions(device="cuda")
    assert placed(asked, on_cluster=True) == asked
    with pytest.raises(ActionImagesError, match="--dtype auto measures this machine"):
        placed(ModelOptions(dtype="auto"), on_cluster=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_a_card_that_is_not_there_is_refused_before_anything_is_loaded():
    with pytest.raises(ActionImagesError, match=r"--device cuda: .*or give --device cpu"):
        ModelOptions(model="no such folder", device="cuda").placed()
