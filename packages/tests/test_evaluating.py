"""lerobot-eval and our own evaluation run the same policy in the same trials with the same outcome."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.envs import make_env, preprocess_observation
from lerobot.scripts import lerobot_eval
from lerobot_env_action_images import ActionImagesEnvConfig
from lerobot_env_action_images.arrays import told, tool_row
from lerobot_policy_action_images import ActionImagesConfig
from lerobot_policy_action_images.modeling_action_images import ActionImagesPolicy
from lerobot_policy_action_images.observations import observations_of

from action_images.episodes.lerobot_layout import TOOL_NAMES
from action_images.errors import ActionImagesError
from action_images.evaluation.closed_loop import EvaluationConfig, judge
from action_images.evaluation.protocols import PROTOCOLS
from action_images.geometry import Pose
from action_images.geometry.rotation import from_rotation_vector
from action_images.policies import ModelsPolicy, Planning, load_policy
from action_images.policies import maker_of as policy_maker

TASK, SEED = "reach_target", 3
ENV = ("--env.type=action_images", f"--env.task={TASK}")


@pytest.fixture
def env():
    made = make_env(ActionImagesEnvConfig(task=TASK), n_envs=1)["tabletop"][0]
    yield made
    made.close()


def policy_for(task: str = TASK, **fields) -> ActionImagesPolicy:
    """The shipped policy as LeRobot makes it for an environment."""
    config = ActionImagesConfig(models="shipped", device="cpu", **fields)
    config.input_features = ActionImagesEnvConfig(task=task).features
    return ActionImagesPolicy(config)


def test_lerobot_eval_ends_as_our_own_evaluation_does(run, tmp_path: Path):
    words = ("--policy.type=action_images", "--policy.models=shipped", "--policy.device=cpu")
    asked = ("--eval.n_episodes=2", "--eval.batch_size=1", f"--seed={SEED}", f"--output_dir={tmp_path}")
    run(lerobot_eval.main, *words, *ENV, *asked)
    said = json.loads((tmp_path / "eval_info.json").read_text())
    maker = policy_maker("shipped", Planning(device="cpu"))
    assert isinstance(maker, ModelsPolicy)
    config = EvaluationConfig("in_domain", PROTOCOLS["in_domain"], "shipped", maker, size=(64, 64))
    policy = maker()
    ours = [judge(policy, config, (TASK, seed))[0].succeeded for seed in (SEED, SEED + 1)]
    assert said["per_task"][0]["metrics"]["successes"] == ours
    assert len(list(tmp_path.rglob("*.mp4"))) == 2


def test_an_observation_comes_through_lerobot_as_it_was(env):
    seen, _ = env.reset(seed=[SEED])
    batch = preprocess_observation(seen) | {"task": list(env.call("task_description"))}
    (observation,) = observations_of(batch, ("view0", "view1"))
    own = ActionImagesEnvConfig(task=TASK).seen.environment(TASK).reset(SEED)
    assert torch.equal(observation.images, own.images)
    assert torch.equal(observation.cameras.intrinsics, own.cameras.intrinsics.float())
    assert observation.instruction == own.instruction
    assert observation.world_from_tool.matrix().allclose(own.world_from_tool.matrix(), atol=1e-6)
    assert {f"observation.cameras.view0.{name}" for name in ("intrinsics", "world_from_camera")} < set(batch)


def test_a_chunk_is_the_whole_plan_on_named_axes(env):
    policy = policy_for()
    seen, _ = env.reset(seed=[SEED])
    batch = preprocess_observation(seen) | {"task": list(env.call("task_description"))}
    chunk = policy.predict_action_chunk(batch)
    plan = load_policy("shipped", Planning(device="cpu")).plan(observations_of(batch, ("view0", "view1"))[0])
    assert chunk.shape == (1, plan.trajectory.num_frames, 8)
    assert policy.config.action_feature_names == TOOL_NAMES
    poses = [told(row)[0].matrix() for row in chunk[0].numpy()]
    assert torch.stack(poses).allclose(plan.trajectory.world_from_tool.matrix(), atol=1e-4)


def test_what_was_imagined_is_filmed(run, tmp_path: Path):
    words = ("--policy.type=action_images", "--policy.models=shipped", "--policy.device=cpu")
    imagined = ("--policy.mode=joint", "--policy.save_predicted_video=true")
    asked = ("--eval.n_episodes=1", "--eval.batch_size=1", f"--seed={SEED}", f"--output_dir={tmp_path}")
    run(lerobot_eval.main, *words, *imagined, *ENV, *asked)
    assert [path.name for path in tmp_path.rglob("pred_*.mp4")] == ["pred_episode_0.mp4"]


def test_several_environments_are_followed_each_by_its_own_plan():
    made = make_env(ActionImagesEnvConfig(task=TASK), n_envs=2)["tabletop"][0]
    policy = policy_for()
    seen, _ = made.reset(seed=[SEED, SEED + 1])
    batch = preprocess_observation(seen) | {"task": list(made.call("task_description"))}
    both = policy.select_action(batch)
    alone = policy_for().select_action({key: value[1:] for key, value in batch.items()})
    made.close()
    assert both.shape == (2, 8)
    assert torch.equal(both[1:], alone)


def test_tasks_are_named_by_groups_and_lists():
    assert len(ActionImagesEnvConfig(task="trained").tasks()) == 10
    made = make_env(ActionImagesEnvConfig(task="reach_target, push_button"), n_envs=1)
    assert list(made["tabletop"]) == [0, 1]
    with pytest.raises(ActionImagesError, match="did you mean push_button"):
        ActionImagesEnvConfig(task="push_buton").create_envs(1)


def test_the_hub_file_makes_the_same_environments():
    from lerobot.envs.utils import _call_make_env, _import_hub_module, _normalize_hub_result

    path = Path(__file__).parents[1] / "lerobot_env_action_images" / "hub" / "env.py"
    module = _import_hub_module(str(path), "name/repository")
    config = ActionImagesEnvConfig(task="push_button", num_views=3)
    made = _normalize_hub_result(_call_make_env(module, n_envs=1, use_async_envs=False, cfg=config))
    assert set(made["tabletop"][0].single_observation_space["pixels"]) == {"view0", "view1", "view2"}


def test_told_poses_are_those_that_were_said():
    turn = from_rotation_vector(torch.tensor([0.1, 3.0, -0.2]))
    pose = Pose(turn, torch.tensor([0.4, 0.1, 0.2]))
    again, opening = told(tool_row(pose, 1.0))
    assert again.matrix().allclose(pose.matrix(), atol=1e-6)
    assert opening == 1.0


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (np.zeros(6), "eight numbers x, y, z, qx, qy, qz, qw, opening.*forward kinematics"),
        (np.array([0.4, 0, 0.2, 0, 0, 0, 0, 1]), "quaternion x y z w, these are zeros"),
        (np.array([np.nan, 0, 0.2, 1, 0, 0, 0, 1]), "are finite"),
    ],
)
def test_actions_that_are_no_poses_are_refused(action, said):
    with pytest.raises(ActionImagesError, match=said):
        told(action)


def test_with_matrices_the_pose_that_is_driven_is_the_plans_own_to_the_last_bit():
    made = make_env(ActionImagesEnvConfig(task=TASK, rotation="matrix"), n_envs=1)["tabletop"][0]
    seen, _ = made.reset(seed=[SEED])
    batch = preprocess_observation(seen) | {"task": list(made.call("task_description"))}
    made.close()
    (observation,) = observations_of(batch, ("view0", "view1"))
    own = ActionImagesEnvConfig(task=TASK).seen.environment(TASK).reset(SEED)
    assert torch.equal(observation.world_from_tool.matrix(), own.world_from_tool.matrix())
    plan = load_policy("shipped", Planning(device="cpu")).plan(own)
    pose, _ = told(policy_for().select_action(batch)[0].numpy())
    assert torch.equal(pose.matrix(), plan.trajectory.world_from_tool[0].matrix())
