"""A world as a robot: recorded, replayed and rolled out by LeRobot's own commands."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.scripts import lerobot_record, lerobot_replay, lerobot_rollout
from lerobot_env_action_images import ActionImagesWorld, ActionImagesWorldConfig
from lerobot_env_action_images.robot import connected
from lerobot_policy_action_images.__main__ import main as export
from lerobot_policy_action_images.configuration_action_images import ActionImagesConfig
from lerobot_policy_action_images.processor_action_images import AddCamerasStep

from action_images.episodes.cameras_file import load_cameras
from action_images.episodes.dataset import Dataset
from action_images.errors import ActionImagesError

ROBOT = ("--robot.type=action_images_world", "--robot.task=reach_target", "--robot.seed=3")


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One episode by the expert, 4 s."""
    folder = tmp_path_factory.mktemp("sets") / "taught"
    words = [
        *ROBOT,
        f"--robot.cameras_file={folder.with_name('cameras.json')}",
        "--teleop.type=action_images_expert",
        "--dataset.repo_id=local/taught",
        f"--dataset.root={folder}",
        "--dataset.single_task=reach the red ball",
        "--dataset.num_episodes=1",
        "--dataset.episode_time_s=4",
        "--dataset.fps=20",
        "--dataset.push_to_hub=false",
        "--play_sounds=false",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["lerobot-record", *words])
        lerobot_record.main()
    return folder


def test_an_episode_of_lerobot_record_has_tool_poses_that_we_read(episode: Path):
    (own,) = Dataset(episode, told=True)
    theirs = LeRobotDataset("local/taught", root=episode)
    assert own.num_frames == len(theirs) > 10
    rows = torch.stack([theirs[frame]["observation.state"] for frame in range(len(theirs))])
    assert own.trajectory.to_vector().allclose(rows, atol=1e-5)
    assert own.instruction == "reach the red ball"


def test_a_replayed_episode_ends_where_it_ended(episode: Path, run):
    words = ("--dataset.repo_id=local/taught", f"--dataset.root={episode}", "--dataset.episode=0")
    ends = []

    class Watched(ActionImagesWorld):
        def disconnect(self) -> None:
            if self.environment is not None:
                ends.append(self.environment.state().world_from_tool)
            super().disconnect()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lerobot_env_action_images.ActionImagesWorld", Watched)
        run(lerobot_replay.main, *ROBOT, *words, "--play_sounds=false")
    (own,) = Dataset(episode)
    far = (ends[0].translation - own.trajectory.world_from_tool[-1].translation).norm()
    assert far < 0.02  # the last action is driven once more than was recorded


def test_a_policy_is_rolled_out_with_the_cameras_that_the_world_wrote(episode: Path, run, tmp_path: Path):
    file = tmp_path / "cameras.json"
    shutil.copy(episode.with_name("cameras.json"), file)
    world = ActionImagesWorldConfig(task="reach_target").seen.environment("reach_target")
    world.begin(3)
    true = world.state().cameras[1].world_from_camera.matrix()
    assert load_cameras(file)["view1"].world_from_camera.matrix().allclose(true, atol=1e-6)
    folder = tmp_path / "policy"
    assert export(["shipped", str(folder), "--device=cpu", f"--cameras_file={file}"]) == 0
    file.unlink()  # the saved policy has its own copy
    told = ("--task=reach the red ball", "--duration=6", "--fps=20", "--device=cpu")
    before = [*connected]
    run(lerobot_rollout.main, "--strategy.type=base", f"--policy.path={folder}", *ROBOT, *told)
    assert connected != before


def test_pictures_of_another_size_than_the_calibration_are_refused():
    camera = {"intrinsics": [1.0] * 9, "world_from_camera": [1.0] * 16, "size": [480, 640]}
    step = AddCamerasStep({"view0": camera})
    shown = {"observation.images.view0": torch.zeros(1, 3, 64, 64)}
    with pytest.raises(ActionImagesError, match="calibrated for 480 x 640 px, its pictures are 64 x 64"):
        step.observation(shown)


def test_a_robot_that_is_told_joints_names_the_step_that_it_lacks():
    robot = ActionImagesWorld(ActionImagesWorldConfig())
    with pytest.raises(ActionImagesError, match="ForwardKinematicsJointsToEE"):
        robot.send_action({"shoulder.pos": 0.0})
    with pytest.raises(ActionImagesError, match="not connected"):
        robot.get_observation()


def test_without_models_or_cameras_it_is_said_how_to_get_them():
    from lerobot_policy_action_images.modeling_action_images import ActionImagesPolicy
    from lerobot_policy_action_images.observations import observations_of

    config = ActionImagesConfig(device="cpu")
    config.input_features = {}
    with pytest.raises(ActionImagesError, match="at least two calibrated views"):
        ActionImagesPolicy(config)
    state = torch.from_numpy(np.array([[0.4, 0, 0.2, 1, 0, 0, 0, 1]], np.float32))
    shown = {f"observation.images.{view}": torch.zeros(1, 3, 64, 64) for view in ("top", "side")}
    with pytest.raises(ActionImagesError, match=r"camera of 'top' is not known .*calibrate from_motion"):
        observations_of({"observation.state": state, **shown}, ("top", "side"))
    with pytest.raises(ActionImagesError, match=r"has 6 numbers.*--policy.urdf"):
        observations_of({"observation.state": torch.zeros(1, 6), **shown}, ("top", "side"))
