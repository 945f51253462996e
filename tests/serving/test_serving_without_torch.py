"""The robot's computer needs numpy, msgpack and websockets: proven in an environment of nothing else."""

import json
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import msgpack
import numpy
import typing_extensions
import websockets
from serving_policies import running, uri

import action_images
from action_images.control import Hold

ON_THE_ROBOT = """
import json, sys
import numpy as np
from action_images.serving.client import RemotePolicy
from action_images.serving.messages import Request

request = Request(
    images=np.zeros((1, 24, 32, 3), np.uint8),
    prompt="stay there",
    world_from_tool=np.array([0.4, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0]),
    opening=0.5,
    intrinsics=np.array([[[30.0, 0, 16], [0, 30, 12], [0, 0, 1]]]),
    world_from_camera=np.eye(4)[None],
    action_format="pose",
)
with RemotePolicy(sys.argv[1], actions="pose", timeout_s=120) as policy:
    reply = policy.infer(request)
try:
    import torch
except ImportError:
    print(json.dumps({"actions": reply.actions.tolist(), "modules": sorted(sys.modules)}))
"""


def test_a_computer_without_torch_gets_its_plan(tmp_path: Path):
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    for package in (numpy, msgpack, websockets, action_images):
        folder = Path(package.__file__).parent
        (site / folder.name).symlink_to(folder)
    (site / "numpy.libs").symlink_to(Path(numpy.__file__).parents[1] / "numpy.libs")
    (site / "typing_extensions.py").symlink_to(typing_extensions.__file__)
    assert find_spec("torch") is not None
    with running(Hold) as server:
        command = [str(tmp_path / "venv" / "bin" / "python"), "-I", "-c", ON_THE_ROBOT, uri(server)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    answer = json.loads(said.stdout)
    assert len(answer["actions"]) == 16
    assert numpy.allclose(answer["actions"], [0.4, 0, 0.3, 1, 0, 0, 0, 0.5])
    assert not {"torch", "jaxtyping", "prometheus_client"} & set(answer["modules"])


def test_the_server_itself_loads_no_torch():
    code = "import sys, action_images.serving.server, action_images.cli.serve; print('torch' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
