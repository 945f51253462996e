"""A server plans the same as models in this process; errors that prevent the latter name two solutions."""

import re
import socket
import subprocess
import sys
import time

import pytest
import torch
from lerobot.envs import make_env, preprocess_observation
from lerobot_env_action_images import ActionImagesEnvConfig
from lerobot_policy_action_images import ActionImagesConfig
from lerobot_policy_action_images.modeling_action_images import ActionImagesPolicy
from lerobot_policy_action_images.plans import models_here

from action_images.errors import ActionImagesError

TASK = "reach_target"


@pytest.fixture(scope="module")
def served_at():
    """A server of the shipped models in a separate process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", "--policy", "shipped", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen([sys.executable, "-m", "action_images", *words])
    yield f"ws://127.0.0.1:{port}", server
    server.terminate()
    assert server.wait(60) is not None


def policy(models: str) -> ActionImagesPolicy:
    config = ActionImagesConfig(models=models, device="cpu", workspace=[0.25, -0.45, 0.01, 0.75, 0.45, 0.6])
    config.input_features = ActionImagesEnvConfig(task=TASK).features
    return ActionImagesPolicy(config)


def test_a_server_plans_what_models_in_this_process_plan(served_at):
    address, server = served_at
    made = make_env(ActionImagesEnvConfig(task=TASK), n_envs=1)["tabletop"][0]
    seen, _ = made.reset(seed=[3])
    batch = preprocess_observation(seen) | {"task": list(made.call("task_description"))}
    made.close()
    deadline = time.monotonic() + 120
    served = policy(address)
    while True:
        try:
            theirs = served.predict_action_chunk(batch)
            break
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(1)
    ours = policy("shipped").predict_action_chunk(batch)
    assert torch.allclose(theirs, ours, atol=1e-5)
    assert torch.equal(served.select_action(batch)[..., 7], ours[:, 0, 7])


def test_what_keeps_models_out_of_this_process_is_said_with_two_ways_out():
    with pytest.raises(ActionImagesError) as said, models_here():
        raise ImportError("cannot import name 'apply_lora_scale' from 'diffusers.utils'")
    text = str(said.value)
    assert "apply_lora_scale" in text
    assert re.search(r"here: lerobot 0\.\d+\.\d+, diffusers \d", text)
    assert "lerobot_policy_action_images[models]" in text
    assert "action-images serve" in text
    assert "--policy.models=ws://" in text


def test_a_missing_package_is_named_with_the_extra_that_brings_it():
    with pytest.raises(ActionImagesError, match=r"needs diffusers.*action-images\[model\]"), models_here():
        raise ModuleNotFoundError("No module named 'diffusers'", name="diffusers")
