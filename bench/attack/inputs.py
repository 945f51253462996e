"""Valid inputs of every kind that is read, each with the command that reads it; attacks spoil copies."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "episodes")]

# The tests write foreign sets in the layouts of others.
import foreign  # noqa: E402
import test_calibration_files as calibrations  # noqa: E402
import test_recordings as recordings  # noqa: E402
from forked import run  # noqa: E402
from test_rlds import droid_features, serialised, write_records  # noqa: E402
from verdicts import LIMIT_S  # noqa: E402

from action_images.cli import main  # noqa: E402
from action_images.codec import draw_uint8  # noqa: E402
from action_images.episodes.cameras_file import save_cameras  # noqa: E402
from action_images.episodes.dataset import Dataset, DatasetWriter  # noqa: E402
from action_images.episodes.trajectory_file import save_trajectory  # noqa: E402
from action_images.episodes.video import write_video  # noqa: E402
from action_images.model.build import build, build_autoencoder  # noqa: E402
from action_images.model.bundle import Clips, Models  # noqa: E402
from action_images.model.presets import PRESETS  # noqa: E402
from recorded import make_episode  # noqa: E402

Command = Callable[[Path, Path], list[str | Path]]
"""From the folder with the input, and one for the output, to the arguments of the command that reads it."""


@dataclass(frozen=True)
class Input:
    """A valid input: `write` makes it in a folder that is there, `command` reads it.

    A change of a file whose name fits one of the patterns `checked` must be refused: its checksum is known.
    """

    name: str
    write: Callable[[Path], object]
    command: Command
    checked: tuple[str, ...] = ()


def write_own(root: Path, size: tuple[int, int] = (32, 32)) -> None:
    """A data set of ours: two episodes of twelve frames."""
    with DatasetWriter(root / "set", fps=20) as writer:
        for number in range(2):
            writer.add(make_episode(f"task/e{number}", 12, seed=number, size=size))


def write_calibrated(root: Path) -> None:
    """A LeRobot set with a calibration.json that names files of other tools."""
    write_own(root, size=(48, 64))
    for name, text in (("left.yaml", calibrations.ROS), ("right.yml", calibrations.OPENCV)):
        (root / "set" / name).write_text(text)
    world = torch.eye(4).tolist()
    views = Dataset(root / "set").view_names
    named = {
        view: {"intrinsics": {"file": file}, "world_from_camera": world}
        for view, file in zip(views, ("left.yaml", "right.yml"), strict=False)
    }
    (root / "set" / "calibration.json").write_text(json.dumps({"views": named}))


def write_models(root: Path) -> Models:
    """Debug models whose autoencoder is fitted."""
    torch.manual_seed(0)
    autoencoder = build_autoencoder(PRESETS["debug"]).fit([(torch.rand(2, 5, 3, 32, 32) * 2 - 1, 1.0)])
    built = build(PRESETS["debug"], autoencoder=autoencoder)
    models = Models(built.denoiser, autoencoder, built.text, Clips((32, 32), 5, 5.0, "one-step"))
    models.save(root / "model")
    return models


def write_models_and_set(root: Path) -> None:
    """Models, and a set that they may imagine from."""
    write_own(root)
    write_models(root)


def write_action_videos(root: Path) -> None:
    """Two action videos with their cameras and the trajectory that they were drawn from."""
    episode = make_episode("drawn", 6, seed=0, size=(32, 32))
    assert episode.trajectory is not None
    cameras = {view.name: view.camera for view in episode.views}
    save_cameras(root / "cameras.json", cameras)
    for suffix in ("csv", "json"):
        save_trajectory(root / f"path.{suffix}", episode.trajectory)
    for name, camera in cameras.items():
        frames = draw_uint8(episode.trajectory, camera)
        write_video(root / f"{name}.mp4", frames, 10, 18, "yuv444p")


def write_recordings(root: Path) -> None:
    """A plain folder of videos, cameras and poses."""
    recordings.write_episode(root / "set" / "e1")
    recordings.write_cameras(root / "set" / "cameras.json")


def write_rlds(root: Path) -> None:
    """A set of TFRecord files."""
    write_records(root / "set/1.0.0/droid-train.tfrecord-00000-of-00001", [serialised(droid_features())] * 2)


def write_checkpoint(root: Path) -> None:
    """A foreign transformer checkpoint, as a pickle and as safetensors."""
    from safetensors.torch import save_file

    stored = np.load(TESTS / "golden" / "dit_state.npz")
    state = {name.replace("/", "."): torch.from_numpy(stored[name]) for name in stored.files}
    save_file(state, root / "foreign.safetensors")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    (root / "foreign.ckpt").write_bytes(buffer.getvalue())


def write_run(root: Path) -> None:
    """A training run of four steps with all of its checkpoints, to be gone on with."""
    write_own(root)
    assert main(train(root / "set", root / "run", num_steps=4)) == 0
    # Without its last checkpoint and its model the run has something left to do.
    shutil.rmtree(root / "run" / "model")
    *older, _, last = sorted((root / "run" / "checkpoints").glob("step-*"))
    for checkpoint in (*older, last):
        shutil.rmtree(checkpoint)


def written(one: Input, whole: Path, scratch: Path) -> Path:
    """The folder with a valid input, made once; raises RuntimeError where its command does not take it."""
    if not whole.is_dir():
        whole.mkdir(parents=True)
        one.write(whole)
        shutil.copytree(whole, scratch / "in")
        (scratch / "out").mkdir()
        ended = run(one.command(scratch / "in", scratch / "out"), scratch / "process", LIMIT_S)
        if ended.code not in (0, 1):  # 1: there are findings
            raise RuntimeError(f"{one.name}: the valid input is refused: {ended.errors}")
        shutil.rmtree(scratch)
    return whole


def train(data: Path, out: Path, num_steps: int) -> list[str | Path]:
    """The arguments that train the debug recipe for a few steps, saving after each."""
    sources: list[str | Path] = ["--sources.0.path", data, "--validation.0.path", data]
    sizes = ["--batch-size", "2", "--micro-batch-size", "2", "--num-steps", str(num_steps)]
    often = ["--save-minutes", "0", "--validate-minutes", "100", "--validation-windows", "2"]
    return [
        str(one) for one in ("train", "debug", *sources, *sizes, *often, "--num-workers", "0", "--out", out)
    ]


def write_results(root: Path) -> None:
    """Results of an evaluation."""
    assert main([str(one) for one in evaluate(root / "results", num_trials=2)]) == 0


def evaluate(out: Path, num_trials: int) -> list[str | Path]:
    """The arguments that judge a policy which stays where it is."""
    what = ["--policy", "random", "--task", "reach_target", "--trials", str(num_trials), "--size", "32"]
    return ["evaluate", *what, "--no-films", "--no-ceiling", "--out", out]


def importing(root: Path, out: Path) -> list[str | Path]:
    """The arguments that import whatever lies in the folder."""
    return ["import", root / "set", "--workers", "0", "--out", out]


def imagining(root: Path, out: Path) -> list[str | Path]:
    """The arguments that imagine a future with the folder's models."""
    return ["imagine", root / "set", "--model", root / "model", "--samples", "1", "--out", out]


def in_set(write: Callable[[Path], object]) -> Callable[[Path], object]:
    """The same in the folder `set`."""
    return lambda root: write(root / "set")


INPUTS = (
    Input(
        "own set",
        write_own,
        lambda root, out: ["check", root / "set", "--workers", "0", "--html", out / "x.html"],
    ),
    Input("calibrated", write_calibrated, lambda root, out: [*importing(root, out), "--format", "lerobot"]),
    Input("rlbench", in_set(foreign.write_rlbench), importing),
    Input("action images", in_set(foreign.write_action_images_rlbench), importing),
    Input("droid", in_set(foreign.write_droid), importing),
    Input(
        "droid processed", in_set(lambda root: foreign.write_droid_processed(root, gripper=True)), importing
    ),
    Input("bridge", in_set(foreign.write_bridge), importing),
    Input("bridge processed", in_set(foreign.write_bridge_processed), importing),
    Input("recordings", write_recordings, importing),
    Input("rlds", write_rlds, importing),
    Input(
        "path and cameras",
        write_action_videos,
        lambda root, out: ["draw", root / "path.csv", "--cameras", root / "cameras.json", "--out", out],
    ),
    Input(
        "action videos",
        write_action_videos,
        lambda root, out: [
            "read",
            *sorted(root.glob("*.mp4")),
            "--cameras",
            root / "cameras.json",
            "--out",
            out / "read.csv",
        ],
    ),
    Input("models", write_models_and_set, imagining, checked=("*.safetensors",)),
    Input("pickle", write_checkpoint, lambda root, out: ["convert-weights", root / "foreign.ckpt", out]),
    Input(
        "safetensors",
        write_checkpoint,
        lambda root, out: ["convert-weights", root / "foreign.safetensors", out],
    ),
    Input(
        "run",
        write_run,
        lambda root, _: ["train", "--resume", root / "run"],
        checked=("tensors.safetensors",),
    ),
    Input(
        "results", write_results, lambda root, out: ["report", root / "results", "--out", out / "report.html"]
    ),
)
