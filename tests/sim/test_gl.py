"""Where images cannot be rendered, one clear sentence says so; never a crash."""

import ctypes.util
import os
import subprocess
import sys

import pytest

RENDER = "from action_images.sim import Tabletop; Tabletop('reach_target').reset(0); print('rendered')"


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**kept, **environment},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "chosen",
    [
        "nonsense",
        "disable",
        pytest.param(
            "osmesa",
            marks=pytest.mark.skipif(
                ctypes.util.find_library("OSMesa") is not None, reason="libosmesa6 is installed"
            ),
        ),
    ],
)
def test_a_way_of_rendering_that_is_not_there_is_named_with_its_cure(chosen: str):
    ended = run(RENDER, MUJOCO_GL=chosen)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(
        f"action_images.sim.gl.RenderingError: MuJoCo cannot render with MUJOCO_GL={chosen}"
    )
    assert "libegl1 libgl1" in last
    assert "libosmesa6" in last


def test_the_command_line_says_it_in_one_line(tmp_path):
    code = "import sys; from action_images.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["--task", "reach_target", "--episodes", "1", "--out", str(tmp_path / "out")]
    command = f"import sys; sys.argv = ['', 'record', *{options}]; {code}"
    ended = run(command, MUJOCO_GL="nonsense")
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "MUJOCO_GL" in ended.stderr


def test_egl_is_chosen_on_linux_and_nothing_is_left_to_complain_at_exit():
    ended = run(RENDER + "; import os; print(os.environ['MUJOCO_GL'])")
    assert ended.returncode == 0
    assert ended.stdout.split() == ["rendered", "egl"]
    assert ended.stderr == ""


def test_a_missing_mujoco_is_named_with_the_extra_that_brings_it():
    ended = run("import sys; sys.modules['mujoco'] = None; import action_images.sim")
    assert "needs mujoco: pip install 'action-images[sim]'" in ended.stderr.splitlines()[-1]


DROPPED = """
import gc
from action_images.sim import Tabletop
from action_images.sim.gl import graphics
for seed in range(4):
    world = Tabletop("reach_target", size=(32, 32))
    world.reset(seed)
    del world
    gc.collect()
print("contexts", len(graphics()._contexts))
"""


def test_a_world_that_is_dropped_gives_its_graphics_memory_back():
    ended = run(DROPPED)
    assert "contexts 0" in ended.stdout, ended.stderr[-1000:]


FORKED = """
import os, sys
from action_images.sim import Tabletop
world = Tabletop("reach_target", size=(32, 32))
world.reset(0)
child = os.fork()
if child == 0:
    for render in (world.observation, lambda: Tabletop("reach_target", size=(32, 32)).reset(1)):
        try:
            render()
        except OSError as error:
            print(error)
    world.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
world.observation()
print("rendered")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_rendering_in_a_fork_of_a_process_that_rendered_is_refused_and_both_end():
    ended = run(FORKED)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr[-1000:]
    assert len(lines) == 3
    assert all("does not survive a fork" in line and "'spawn'" in line for line in lines[:2])
    assert lines[2] == "rendered"


FORKING_ENVIRONMENTS = """
import gymnasium
import action_images.sim
for mode in ("sync", "async"):
    values = {"vector_kwargs": {"context": "fork"}} if mode == "async" else {}
    environments = gymnasium.make_vec(
        "action_images/reach_target", num_envs=2, vectorization_mode=mode, size=(32, 32), **values
    )
    try:
        environments.reset(seed=5)
    except OSError as error:
        print("refused:", error)
    environments.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_vector_environments_that_fork_after_rendering_say_what_to_do():
    ended = run(FORKING_ENVIRONMENTS)
    assert "refused: this process was forked" in ended.stdout, ended.stderr[-1000:]
    assert "{'context': 'spawn'}" in ended.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is Linux's")
@pytest.mark.parametrize("device", ["99", "-1", "cuda:0", ""])
def test_an_egl_device_that_is_not_there_is_named(device: str):
    ended = run(RENDER, MUJOCO_GL="egl", MUJOCO_EGL_DEVICE_ID=device)
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"action_images.sim.gl.RenderingError: MUJOCO_EGL_DEVICE_ID={device} names no")
    assert "unset it" in last
