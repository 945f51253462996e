"""Joint-controlled arms: tool poses by a URDF's kinematics, and back."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.processor import PolicyProcessorPipeline
from lerobot_policy_action_images import ActionImagesConfig, JointsToToolStep, ToolToJointsStep
from lerobot_policy_action_images.joints import TOOL, check_states, main
from lerobot_policy_action_images.kinematics import Arm
from lerobot_policy_action_images.observations import tool_path
from lerobot_policy_action_images.processor_action_images import make_action_images_pre_post_processors

from action_images.errors import ActionImagesError

JOINTS = ("turn", "lift", "bend", "tilt")


def link(name: str) -> str:
    inertia = '<inertia ixx="1e-3" iyy="1e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/>'
    return f'<link name="{name}"><inertial><mass value="0.1"/>{inertia}</inertial></link>'


def joint(name: str, parent: str, child: str, axis: str, xyz: str) -> str:
    kind = "fixed" if name == "tool" else "revolute"
    limit = '<limit lower="-3" upper="3" effort="9" velocity="9"/>'
    ends = f'<parent link="{parent}"/><child link="{child}"/><origin xyz="{xyz}"/>'
    return f'<joint name="{name}" type="{kind}">{ends}<axis xyz="{axis}"/>{limit}</joint>'


def written(path: Path, last_axis: str) -> str:
    """The URDF of an arm of four joints, the last of which turns about this axis of the hand."""
    links = "".join(map(link, ("base", "a", "b", "c", "d", "hand")))
    joints = [
        joint("turn", "base", "a", "0 0 1", "0 0 0.1"),
        joint("lift", "a", "b", "0 1 0", "0 0 0.05"),
        joint("bend", "b", "c", "0 1 0", "0.2 0 0"),
        joint("tilt", "c", "d", last_axis, "0.15 0 0"),
        joint("tool", "d", "hand", "1 0 0", "0.1 0 0"),
    ]
    path.write_text(f'<robot name="arm">{links}{"".join(joints)}</robot>')
    return str(path)


@pytest.fixture(scope="module")
def urdf(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An arm that tilts its hand and cannot roll it."""
    return written(tmp_path_factory.mktemp("arm") / "arm.urdf", "0 1 0")


def config(urdf: str) -> ActionImagesConfig:
    made = ActionImagesConfig(device="cpu", urdf=urdf, tool_frame="hand", joint_names=list(JOINTS))
    made.input_features, made.output_features = {}, {}
    return made


def test_poses_of_joints_lead_back_to_them(urdf: str):
    before, after = make_action_images_pre_post_processors(config(urdf))
    state = torch.tensor([[20.0, -30.0, 60.0, -10.0, 40.0]])
    seen = before({"observation.state": state, "task": "reach"})["observation.state"]
    path = tool_path(seen, "state")
    assert path.opening.item() == pytest.approx(0.4)
    # Zero angles point the arm along x; lift turns it down.
    assert path.world_from_tool.translation[0, 1] > 0
    told = after(seen)
    assert torch.allclose(told, state, atol=0.5)


def test_a_saved_pipeline_knows_its_arm(urdf: str, tmp_path: Path):
    before, _ = make_action_images_pre_post_processors(config(urdf))
    before.save_pretrained(tmp_path)
    again = PolicyProcessorPipeline.from_pretrained(tmp_path, config_filename="policy_preprocessor.json")
    (step,) = [step for step in again.steps if isinstance(step, JointsToToolStep)]
    assert step.arm == Arm(urdf, "hand", JOINTS, 0.0, 100.0)


def test_a_pose_out_of_reach_is_approached_and_told_of(urdf: str, caplog: pytest.LogCaptureFixture):
    step = ToolToJointsStep(urdf, "hand", list(JOINTS))
    with caplog.at_level(logging.WARNING):
        told = step.action(torch.tensor([[2.0, 0, 0.15, 0, 0, 0, 1, 1]]))
    assert told.shape == (1, 5)
    assert re.search(r"misses the pose by \d{3,} mm and \d+ degrees", caplog.text)


def test_a_tool_that_only_turns_gets_there(tmp_path: Path):
    arm = Arm(written(tmp_path / "arm.urdf", "1 0 0"), "hand", JOINTS, 0.0, 100.0)
    start, wanted = np.array([20.0, -30.0, 60.0, -10.0, 40.0]), np.array([20.0, -30.0, 60.0, 50.0, 40.0])
    told = arm.angles(arm.poses(torch.from_numpy(wanted)), start)
    assert np.allclose(told, wanted, atol=1)


def test_a_rotation_that_the_arm_lacks_is_told_of(urdf: str, caplog: pytest.LogCaptureFixture):
    before, after = make_action_images_pre_post_processors(config(urdf))
    state = torch.tensor([[0.0, -30.0, 60.0, -10.0, 40.0]])
    pose = before({"observation.state": state, "task": "reach"})["observation.state"]
    place, opening = pose[:, :3], pose[:, 7:]
    # Turned by 90 degrees about its own x, which no joint of this arm does: the place is kept.
    turn = torch.tensor([[2**-0.5, 0.0, 0.0, 2**-0.5]])
    with caplog.at_level(logging.WARNING):
        told = after(torch.cat([place, _product(pose[:, 3:7], turn), opening], -1))
    assert re.search(r"misses the pose by \d+ mm and (8|9)\d degrees", caplog.text)
    reached = Arm(urdf, "hand", JOINTS, 0.0, 100.0).poses(told)[:, :3]
    assert (reached - place).norm() < 0.02


def _product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The product of quaternions x y z w."""
    from lerobot.utils.rotation import Rotation

    both = (Rotation.from_quat(quaternion[0].numpy()) for quaternion in (one, other))
    first, second = both
    return torch.from_numpy((first * second).as_quat()).float()[None]


def test_states_of_another_arm_are_refused(urdf: str):
    arm = Arm(urdf, "hand", JOINTS, 0.0, 100.0)
    with pytest.raises(ActionImagesError, match="has 7 numbers, 4 joints and a gripper are 5"):
        arm.poses(torch.zeros(1, 7))
    with pytest.raises(ActionImagesError, match=r"say which joints.*--policy.joint_names"):
        ActionImagesConfig(device="cpu", urdf=urdf)


def test_states_that_contradict_what_is_said_of_the_arm_are_refused(urdf: str):
    arm, names = Arm(urdf, "hand", JOINTS, 0.0, 100.0), [f"{name}.pos" for name in (*JOINTS, "gripper")]
    states = np.array([[20, -30, 60, -10, 40], [25, -30, 60, -10, 90]], np.float32)
    check_states(states, names, arm)
    check_states(states, None, arm)
    with pytest.raises(ActionImagesError, match="in another order; give: lift turn bend tilt"):
        check_states(states, [names[1], names[0], *names[2:]], arm)
    with pytest.raises(ActionImagesError, match=r"no joint ever reads more than 1\.05: these are radians"):
        check_states(np.deg2rad(states), names, arm)
    shut = states / [1, 1, 1, 1, 100]
    with pytest.raises(ActionImagesError, match=r"a small part of what is declared.*\(--closed, --open\)"):
        check_states(shut, names, arm)
    with pytest.raises(ActionImagesError, match="both closed and open; give two different readings"):
        Arm(urdf, "hand", JOINTS, 1.0, 1.0)
    with pytest.raises(ActionImagesError, match="the gripper reads 140 to 140, beyond closed"):
        arm.poses(torch.tensor([[20.0, -30.0, 60.0, -10.0, 140.0]]))


def test_an_opening_in_percent_is_refused():
    with pytest.raises(ActionImagesError, match="opening reads 57 to 57, it is 0 closed to 1 open"):
        tool_path(torch.tensor([[0.3, 0, 0.2, 0, 0, 0, 1, 57]]), "state")


def test_a_set_of_joints_is_given_tool_poses(urdf: str, tmp_path: Path):
    names = [f"{name}.pos" for name in (*JOINTS, "gripper")]
    numbers = {"dtype": "float32", "shape": (5,), "names": names}
    source, out = tmp_path / "joints", tmp_path / "poses"
    features = {"observation.state": numbers, "action": numbers}
    made = LeRobotDataset.create("local/joints", 20, features=features, root=source, use_videos=False)
    rng, rows = np.random.default_rng(0), []
    for _ in range(5):
        row = rng.uniform(-40, 40, 5).astype(np.float32)
        row[-1] = 50
        rows.append(row)
        made.add_frame({"observation.state": row, "action": row, "task": "wave"})
    made.save_episode()
    made.finalize()
    assert main([str(source), str(out), urdf, *JOINTS, "--tool_frame=hand"]) == 0
    read = LeRobotDataset("local/poses", root=out)
    poses = torch.stack([read[frame][TOOL] for frame in range(5)])
    assert torch.allclose(
        poses, Arm(urdf, "hand", JOINTS, 0, 100).poses(torch.tensor(np.stack(rows))), atol=1e-5
    )
    assert main([str(source), str(tmp_path / "no"), urdf, "turn"]) == 1


def test_a_chunk_is_followed_from_each_robots_own_joints(urdf: str):
    before, after = make_action_images_pre_post_processors(config(urdf))
    states = torch.tensor([[20.0, -30.0, 60.0, -10.0, 40.0], [-40.0, -50.0, 70.0, 20.0, 90.0]])
    before({"observation.state": states, "task": ["reach", "reach"]})
    share = torch.linspace(0, 1, 6)[None, :, None]
    wanted = states[:, None] + share * torch.tensor([10.0, 5.0, -8.0, 6.0, 5.0])
    chunk = Arm(urdf, "hand", JOINTS, 0.0, 100.0).poses(wanted)
    assert torch.allclose(after(chunk), wanted, atol=0.5)
    before({"observation.state": states[1:], "task": "reach"})
    assert torch.allclose(after(chunk[1]), wanted[1], atol=0.5)
    with pytest.raises(ActionImagesError, match="plans of 2 robots, but the joints of 1 were seen"):
        after(chunk)


def test_angles_are_those_of_lerobots_own_step(urdf: str):
    from lerobot.lerobot_types import TransitionKey
    from lerobot.model import RobotKinematics
    from lerobot.robots.so_follower.robot_kinematic_processor import InverseKinematicsEEToJoints
    from lerobot.utils.rotation import Rotation

    before, after = make_action_images_pre_post_processors(config(urdf))
    state = torch.tensor([[20.0, -30.0, 60.0, -10.0, 40.0]])
    before({"observation.state": state, "task": "reach"})
    wanted = Arm(urdf, "hand", JOINTS, 0.0, 100.0).poses(state + torch.tensor([3.0, 2.0, -2.0, 3.0, 5.0]))
    ours = after(wanted)[0].numpy()
    solver, motors = RobotKinematics(urdf, "hand", list(JOINTS)), [*JOINTS, "gripper"]
    step = InverseKinematicsEEToJoints(solver, motors, initial_guess_current_joints=False)
    names = [f"ee.{name}" for name in ("x", "y", "z", "wx", "wy", "wz", "gripper_pos")]
    turn = Rotation.from_quat(wanted[0, 3:7].numpy()).as_rotvec()
    pose = [*wanted[0, :3].tolist(), *turn.tolist(), 100 * float(wanted[0, 7])]
    seen = dict(zip([f"{name}.pos" for name in motors], state[0].tolist(), strict=True))
    for _ in range(200):  # one call of LeRobot's is one step of its solver
        asked = dict(zip(names, pose, strict=True))
        theirs = step({TransitionKey.OBSERVATION: seen, TransitionKey.ACTION: asked})[TransitionKey.ACTION]
    assert np.allclose([theirs[f"{name}.pos"] for name in motors], ours, atol=0.5)
