"""Two processes on this machine, as people start them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

import pytest

CONFIGS = Path(str(files("action_images.training"))) / "configs"
PROGRAM = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from action_images.training.recipe import Recipe
from action_images.training.train import Run, train
recipe = Recipe.from_json(json.loads(Path(sys.argv[1]).read_text()))
out, stop = Path(sys.argv[2]), int(sys.argv[3])
def leave():
    # Threads of a group that nobody left end the process by force, now and then.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
if not stop:
    train(recipe, out)
    leave()
    raise SystemExit
run = Run.start(recipe, out)
assert run.accelerator.num_processes == 2, run.accelerator.distributed_type
assert run.engine.sharded == (sys.argv[4] == "sharded"), run.accelerator.distributed_type
if recipe.mixed_precision == "bf16":
    def exact(module, arguments):
        level = arguments[1]
        assert level.dtype == torch.float32 and (level != level.bfloat16()).any(), level
    run.models.denoiser.transformer.register_forward_pre_hook(exact)
    def rounded(module, arguments, output):
        assert output.dtype == torch.bfloat16, output.dtype
    run.models.denoiser.transformer.blocks[0].attn1.to_q.register_forward_hook(rounded)
for step, batches in run.steps():
    loss, norm = run.learn(step, batches)
    run.log.step(step, loss, norm, 0.0, 1)
    if step + 1 == stop:
        run.save()
        run.finish()
        break
leave()
"""


def launch(recipe, out: Path, config: str, stop: int = 0, program: str = PROGRAM) -> None:
    """Two processes on this machine, started by `accelerate launch` with a config that the package ships."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "program.py").write_text(program)
    (out / "wanted.json").write_text(json.dumps(recipe.as_json()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.accelerate_cli",
        "launch",
        "--config_file",
        str(CONFIGS / f"{config}.yaml"),
    ]
    command += ["--num_processes", "2", "--main_process_port", str(port), str(out / "program.py")]
    command += [str(out / "wanted.json"), str(out), str(stop), "sharded" if config == "fsdp2" else "copies"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-9000:]


COMPILES = shutil.which("c++") is not None and (Path(sysconfig.get_path("include")) / "Python.h").is_file()
DEEPSPEED = pytest.param(
    "deepspeed",
    marks=[
        pytest.mark.combinations,
        pytest.mark.skipif(not COMPILES, reason="on CPUs DeepSpeed compiles a part of itself"),
    ],
)
