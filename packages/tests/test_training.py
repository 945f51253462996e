"""lerobot-train trains on calibrated LeRobot sets and can be resumed, and its saved policies plan."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.datasets import LeRobotDatasetMetadata
from lerobot.scripts import lerobot_eval, lerobot_train
from lerobot_policy_action_images import ActionImagesConfig
from lerobot_policy_action_images.learning import check_pace, continued, models_for
from lerobot_policy_action_images.modeling_action_images import ActionImagesPolicy
from lerobot_policy_action_images.observations import sample_of
from pyarrow import parquet
from safetensors.torch import load_file

from action_images.episodes.dataset import Dataset
from action_images.episodes.lerobot_layout import TOOL_NAMES
from action_images.errors import ActionImagesError
from action_images.model.bundle import Models
from action_images.model.shipped import models_folder
from action_images.samples.sample import cut
from action_images.samples.window import Window


def words(data: Path, out: Path, steps: int) -> tuple[str, ...]:
    return (
        f"--dataset.repo_id=local/{data.name}",
        f"--dataset.root={data}",
        "--policy.type=action_images",
        "--policy.device=cpu",
        "--policy.push_to_hub=false",
        f"--steps={steps}",
        "--batch_size=2",
        "--num_workers=0",
        "--log_freq=1",
        f"--output_dir={out}",
    )


@pytest.fixture(scope="module")
def trained(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps."""
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["lerobot-train", *words(recorded, out, 3), "--save_freq=3"])
        lerobot_train.main()
    return out


def test_a_run_saves_a_policy_that_plans(trained: Path, run, tmp_path: Path):
    saved = trained / "checkpoints" / "last" / "pretrained_model"
    config = json.loads((saved / "config.json").read_text())
    assert config["type"] == "action_images"
    assert (config["size"], config["num_frames"]) == ([32, 32], 5)
    kept = {"model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json"}
    assert kept < {path.name for path in saved.iterdir()}
    env = ("--env.type=action_images", "--env.task=reach_target", "--env.num_views=3")
    asked = ("--eval.n_episodes=1", "--eval.batch_size=1", "--seed=0", f"--output_dir={tmp_path}")
    run(lerobot_eval.main, f"--policy.path={saved}", "--policy.device=cpu", *env, *asked)
    assert json.loads((tmp_path / "eval_info.json").read_text())["overall"]["n_episodes"] == 1


def test_a_run_is_taken_up_again_where_its_weights_were(trained: Path, run, tmp_path: Path):
    again = tmp_path / "run"
    shutil.copytree(trained, again, symlinks=True)
    saved = again / "checkpoints" / "000003" / "pretrained_model"
    before = load_file(saved / "model.safetensors")
    averaged = load_file(saved / "models" / "transformer" / "diffusion_pytorch_model.safetensors")
    # The average lags behind the last weights: both are kept.
    far = [(before[f"transformer.{name}"] - mean).abs().max().item() for name, mean in averaged.items()]
    assert max(far) > 1e-4
    config = saved / "train_config.json"
    run(
        lerobot_train.main,
        f"--config_path={config}",
        "--resume=true",
        "--steps=5",
        "--save_freq=5",
        f"--output_dir={again}",
    )
    after = load_file(again / "checkpoints" / "000005" / "pretrained_model" / "model.safetensors")
    moved = max((after[key] - before[key]).abs().max().item() for key in before)
    # The first run ended with a learning rate of zero; a step of Adam moves a weight by about the rate.
    assert 0 < moved < 0.02


def test_a_batch_of_lerobot_is_the_sample_that_we_cut(recorded: Path):
    from lerobot.datasets.factory import resolve_delta_timestamps
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    config = ActionImagesConfig(models="new", device="cpu")
    meta = LeRobotDatasetMetadata("local/recorded", root=recorded)
    theirs = LeRobotDataset(
        "local/recorded", root=recorded, delta_timestamps=resolve_delta_timestamps(config, meta)
    )
    frame, views = 2, ("view0", "view2")
    item = theirs[frame]
    batch = {key: value[None] if isinstance(value, torch.Tensor) else [value] for key, value in item.items()}
    sample = sample_of(batch, views, (32, 32))[0]
    episode = Dataset(recorded, told=True)[0]
    own = cut(episode, Window(episode.id, views, frame, config.stride, 5), (32, 32))
    assert sample.video.shape == own.video.shape
    # LeRobot's decoder rounds colours differently.
    assert (sample.video.int() - own.video.int()).abs().max() <= 4
    assert sample.cameras.intrinsics.allclose(own.cameras.intrinsics, atol=1e-4)
    assert sample.trajectory.world_from_tool.matrix().allclose(
        own.trajectory.world_from_tool.matrix(), atol=1e-5
    )
    assert sample.instruction[0] == own.instruction


def test_the_shipped_models_learn_on(recorded: Path):
    config = ActionImagesConfig(models="shipped", device="cpu")
    meta = LeRobotDatasetMetadata("local/recorded", root=recorded)
    config.input_features = {
        key: feature for key, feature in features(meta).items() if not key.startswith("action")
    }
    policy = ActionImagesPolicy(config, dataset_meta=meta)
    assert config.observation_delta_indices == [4 * frame for frame in range(9)]
    assert sum(one.numel() for one in policy.parameters()) > 1e6


def test_weights_that_go_on_learning_know_the_sets_words_and_drop_what_was_measured(tmp_path: Path):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    numbers = {"dtype": "float32", "shape": (8,), "names": TOOL_NAMES}
    described = {"observation.state": numbers, "action": numbers}
    made = LeRobotDataset.create("local/new", 20, features=described, root=tmp_path / "new")
    row, words = np.array([0.4, 0, 0.2, 1, 0, 0, 0, 1], np.float32), "tickle the wombat"
    made.add_frame({"observation.state": row, "action": row, "task": words})
    made.save_episode()
    made.finalize()
    shipped = Models.load(models_folder("shipped"))
    assert shipped.reliability is not None
    models = continued(shipped, LeRobotDatasetMetadata("local/new", root=tmp_path / "new"))
    assert (models.reliability, models.familiarity) == (None, None)
    assert "wombat" not in shipped.text.known(words)
    assert models.text.known(words) == words.split()
    assert models.text.known("push the red button") == shipped.text.known("push the red button")


def features(meta):
    from lerobot.utils.feature_utils import dataset_to_policy_features

    return dataset_to_policy_features(meta.features)


def bare(recorded: Path, tmp_path: Path, change) -> Path:
    """The set with other features."""
    copy = tmp_path / "changed"
    shutil.copytree(recorded, copy)
    info = json.loads((copy / "meta" / "info.json").read_text())
    info["features"] = change(info["features"])
    (copy / "meta" / "info.json").write_text(json.dumps(info))
    for path in copy.glob("data/*/*.parquet"):
        rows = parquet.read_table(path)
        parquet.write_table(
            rows.select([name for name in rows.column_names if name in info["features"]]), path
        )
    return copy


def without_cameras(found):
    return {key: feature for key, feature in found.items() if "cameras" not in key}


def with_joints(found):
    names = [f"{name}.pos" for name in ("shoulder", "elbow", "wrist", "roll", "jaw")] + [
        "a.pos",
        "b.pos",
        "c.pos",
    ]
    return {**found, "action": {**found["action"], "names": names}}


@pytest.mark.parametrize(
    ("change", "extra", "said"),
    [
        (without_cameras, (), "action-images calibrate from_motion .*cameras_file"),
        (with_joints, (), "InverseKinematicsEEToJoints.*policy.urdf"),
        (dict, ("--policy.stride=1",), "--policy.stride=4 gives 5"),
        (dict, ("--policy.views=[view0]",), "at least two calibrated views"),
        (dict, ("--policy.views=[view0, top]",), "there is no view top"),
        (dict, ("--policy.recipe=huge",), "there are: debug"),
        (dict, ("--policy.models=ws://localhost:1",), "learns nothing here"),
    ],
)
def test_sets_and_words_that_cannot_be_learnt_from_are_refused(recorded, tmp_path, run, change, extra, said):
    data = bare(recorded, tmp_path, change)
    with pytest.raises(ActionImagesError, match=said):
        run(lerobot_train.main, *words(data, tmp_path / "out", 1), *extra)


def test_cameras_of_another_size_are_said(recorded: Path):
    episode = Dataset(recorded)[0]
    rows = torch.zeros(1, 5, 8)
    rows[..., 3] = 1
    batch = {"observation.state": rows, "action": rows[:, 1:], "task": ["reach"]}
    for view in episode.views[:2]:
        matrix = view.camera.world_from_camera.matrix().reshape(-1)
        batch[f"observation.images.{view.name}"] = torch.zeros(1, 5, 3, 32, 32)
        batch[f"observation.cameras.{view.name}.world_from_camera"] = matrix.expand(1, 5, 16)
        wide = torch.tensor([600.0, 0, 320, 0, 600, 240, 0, 0, 1])
        batch[f"observation.cameras.{view.name}.intrinsics"] = wide.expand(1, 5, 9)
    with pytest.raises(ActionImagesError, match="calibrated for another size"):
        sample_of(batch, ("view0", "view1"), (32, 32))


def test_new_models_say_what_the_set_lacks(recorded: Path):
    meta = LeRobotDatasetMetadata("local/recorded", root=recorded)
    with pytest.raises(ActionImagesError, match="about 5 is wanted"):
        check_pace(ActionImagesConfig(device="cpu", stride=20), 20.0)
    assert models_for(ActionImagesConfig(device="cpu"), meta).clips.fps == 5.0
