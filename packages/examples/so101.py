"""LeRobot's SO-101 in simulation, from joints to a policy: record, poses, calibrate, import, check, train,
label, roll out.

scripts/lerobot-environment
.venv-lerobot/bin/python packages/examples/so101.py --out out/so101

The simulator is the package's own model of the arm, with two added cameras. Its states and actions are joint
angles, as on the real arm. The cameras are found twice, from pictures of a printed board that the arm holds
and from the motion of ordinary episodes, and both are compared with the true ones.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies import make_pre_post_processors
from lerobot_policy_action_images.kinematics import Arm
from lerobot_policy_action_images.modeling_action_images import ActionImagesPolicy
from so101_arm import BOARD, CLOSED_DEG, FPS, JOINTS, OPEN_DEG, URDF, VIEWS, SimulatedArm, true_camera

from action_images.episodes.cameras_file import load_cameras, save_cameras
from action_images.episodes.trajectory_file import save_trajectory
from action_images.episodes.video import write_video
from action_images.geometry import Camera, Trajectory
from action_images.geometry.fitting import fit_camera
from action_images.reports.pictures import save_png

SIZE, BOARD_SIZE = 256, 640
"""Pixels of the episodes' pictures, and of the pictures of the board."""
NUM_POSTURES = 24
TOOL_SPACE = torch.cartesian_prod(
    *map(torch.tensor, ([0.15, 0.25, 0.35], [-0.2, 0.0, 0.2], [0.05, 0.2, 0.35]))
)
"""Points in the space where the tool goes, m in the base."""
WORDS = "wave over the block"
MODULES = {
    "action-images": "action_images",
    "lerobot-train": "lerobot.scripts.lerobot_train",
    "joints": "lerobot_policy_action_images.joints",
}


def record(arm: SimulatedArm, folder: Path, episodes: int, frames: int) -> None:
    """Record a LeRobot set of joint angles, as lerobot-record does with the real arm."""
    names = [f"{name}.pos" for name in arm.names]
    numbers = {"dtype": "float32", "shape": (len(names),), "names": names}
    picture = {"dtype": "video", "shape": (SIZE, SIZE, 3), "names": ["height", "width", "channels"]}
    features = {"observation.state": numbers, "action": numbers}
    features |= {f"observation.images.{view}": picture for view in VIEWS}
    made = LeRobotDataset.create("local/so101", FPS, features=features, root=folder, robot_type="so101")
    for episode in range(episodes):
        told = path(np.random.default_rng(episode), frames)
        arm.reset(told[0])
        for action in told:
            shown = {f"observation.images.{view}": pixels for view, pixels in arm.pictures().items()}
            made.add_frame({"observation.state": arm.joints(), "action": action, "task": WORDS, **shown})
            arm.step(action)
        made.save_episode()
    made.finalize()


def path(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A minimum-jerk path through random postures, (frame, joints) in degrees."""
    low = np.array([-45, -60, -20, -20, -60, CLOSED_DEG])
    high = np.array([45, 10, 60, 80, 60, OPEN_DEG])
    stations = rng.uniform(low, high, (4, len(low)))
    phase = np.linspace(0, len(stations) - 1 - 1e-6, frames)
    share = phase % 1
    eased = share**3 * (10 - 15 * share + 6 * share**2)
    before = phase.astype(int)
    way = stations[before + 1] - stations[before]
    return (stations[before] + eased[:, None] * way).astype(np.float32)


def roll_out(saved: Path, arm: SimulatedArm, steps: int, film: Path) -> np.ndarray:
    """Run the policy, and film it; returns its commanded joints (step, joints) in degrees."""
    policy = ActionImagesPolicy.from_pretrained(saved)
    policy.config.min_confidence = 0.0  # a simulated arm may follow plans that a real one must not
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(saved))
    arm.reset(path(np.random.default_rng(1000), 8)[0])
    told, filmed = [], []
    for _ in range(steps):
        pictures = {
            view: torch.from_numpy(pixels).permute(2, 0, 1) for view, pixels in arm.pictures().items()
        }
        filmed.append(torch.cat(list(pictures.values()), -1))
        shown = {f"observation.images.{view}": pixels[None] / 255 for view, pixels in pictures.items()}
        state = torch.from_numpy(arm.joints())[None]
        action = after(policy.select_action(before({"observation.state": state, "task": WORDS, **shown})))
        told.append(action[0].numpy())
        arm.step(told[-1])
    write_video(film, filmed, FPS)
    return np.stack(told)


def board_cameras(kinematics: Arm, out: Path) -> dict[str, Camera]:
    """The cameras of the episodes' pictures, calibrated from larger pictures of a board in the gripper."""
    arm, rng, tools = SimulatedArm(BOARD_SIZE, with_board=True), np.random.default_rng(0), []
    for view in VIEWS:
        (out / "shots" / view).mkdir(parents=True)
    for number in range(NUM_POSTURES):
        arm.reset(posture(rng))
        for view, pixels in arm.pictures().items():
            save_png(out / "shots" / view / f"{number}.png", torch.from_numpy(pixels).permute(2, 0, 1))
        tools.append(kinematics.poses(torch.from_numpy(arm.joints())))
    arm.close()
    save_trajectory(out / "shots" / "poses.csv", Trajectory.from_vector(torch.stack(tools)))
    folders = [out / "shots" / view for view in VIEWS]
    board = ("--squares", f"{BOARD.columns}x{BOARD.rows}", "--square", BOARD.square, "--marker", BOARD.marker)
    poses = ("--poses", out / "shots" / "poses.csv", "--out", out / "from_board")
    run("action-images", "calibrate", "fixed", *folders, *board, *poses)
    found = load_cameras(out / "from_board" / "cameras.json")
    return {view: fit_camera(camera, (SIZE, SIZE)) for view, camera in found.items()}


def posture(rng: np.random.Generator) -> np.ndarray:
    """Joints (degrees) that hold the board before the cameras, about level, turned and tilted."""
    pan, lift, elbow, pitch, roll = rng.uniform([-30, -60, 40, -25, -35], [30, -35, 65, 25, 35])
    return np.array([pan, lift, elbow, pitch - lift - elbow, roll, CLOSED_DEG])


def motion_cameras(out: Path) -> dict[str, Camera]:
    """The cameras, calibrated from the episodes alone; without those that the command refuses."""
    found = out / "from_motion"
    words = ("--out", found, "--as-declared")
    run("action-images", "calibrate", "from_motion", out / "poses", *words, may_refuse=True)
    return load_cameras(found / "cameras.json") if (found / "cameras.json").is_file() else {}


def say_error(cameras: dict[str, Camera], how: str) -> None:
    """Print how far cameras are from the simulator's, in space and in pixels of the tool's space."""
    for view, camera in cameras.items():
        true = true_camera(view, SIZE)
        metres, angle = camera.world_from_camera.distance(true.world_from_camera)
        apart = (camera.project(TOOL_SPACE)[0] - true.project(TOOL_SPACE)[0]).norm(dim=-1)
        off = f"{1e3 * float(metres):.1f} mm and {np.rad2deg(float(angle)):.2f} degrees off"
        print(
            f"{view}, from {how}: {off}, points where the tool goes miss by {apart.median():.2f} px",
            flush=True,
        )


def train(out: Path, steps: int) -> Path:
    """Train on the set with poses and cameras; returns the saved policy."""
    learnt = ["--policy.type=action_images", "--policy.push_to_hub=false", "--policy.device=cpu"]
    learnt += ["--policy.stride=2", f"--policy.control_hz={FPS}", f"--policy.urdf={URDF}"]
    learnt += [f"--policy.joint_names=[{', '.join(JOINTS)}]"]
    learnt += [f"--policy.cameras_file={out / 'cameras.json'}"]
    learnt += [
        f"--policy.gripper_range=[{CLOSED_DEG}, {OPEN_DEG}]",
        "--policy.modes={policy: 1.0, label: 1.0}",
    ]
    data = ["--dataset.repo_id=local/set", f"--dataset.root={out / 'set'}", f"--steps={steps}"]
    run("lerobot-train", *learnt, *data, "--batch_size=4", "--num_workers=0", f"--output_dir={out / 'run'}")
    return out / "run" / "checkpoints" / "last" / "pretrained_model"


def label(saved: Path, out: Path) -> None:
    """Label the set's videos with the trained models, as if their poses were not known."""
    words = ("--model", saved / "models", "--limit", 1, "--out", out / "labels")
    run("action-images", "label", out / "set", *words)


def run(*words: str | float | Path, may_refuse: bool = False) -> None:
    """Run a command as a person would."""
    print("$", *words, flush=True)
    command = [sys.executable, "-m", MODULES[str(words[0])], *map(str, words[1:])]
    subprocess.run(command, check=not may_refuse)


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/so101"))
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--cameras", choices=("board", "motion"), default="board", help="of the set")
    parser.add_argument("--steps", type=int, default=20, help="of training")
    given = parser.parse_args()
    out = given.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    arm = SimulatedArm(SIZE)
    record(arm, out / "joints", given.episodes, given.frames)
    # 1. Joint angles -> tool poses in the base, by the robot's URDF.
    gripper = (f"--closed={CLOSED_DEG}", f"--open={OPEN_DEG}")
    run("joints", out / "joints", out / "poses", URDF, *JOINTS, *gripper)
    tool = {"feature": "observation.tool", "columns": list(range(8)), "closed": 0, "open": 1}
    (out / "poses" / "calibration.json").write_text(json.dumps({"tool": tool}))
    # 2. Cameras, in both ways.
    kinematics = Arm(str(URDF), "gripper_frame_link", JOINTS, CLOSED_DEG, OPEN_DEG)
    found = {"board": board_cameras(kinematics, out), "motion": motion_cameras(out)}
    for how, cameras in found.items():
        say_error(cameras, how)
    cameras = found[given.cameras]
    save_cameras(out / "cameras.json", cameras)
    # 3. A set with cameras and poses, checked; LeRobot trains on it.
    (out / "poses" / "calibration.json").write_text(json.dumps({"tool": tool, "views": views_of(cameras)}))
    run("action-images", "import", out / "poses", "--out", out / "set")
    run("action-images", "check", out / "set")
    saved = train(out, given.steps)
    label(saved, out)
    # 4. The policy plans poses in calibrated views; the arm gets joint commands.
    told = roll_out(saved, arm, 40, out / "rollout.mp4")
    arm.close()
    run("action-images", "view", out / "set", "--out", out / "set.html")
    names = ", ".join(arm.names)
    print(f"rolled out: {len(told)} actions of {names}; the last: {np.round(told[-1], 1).tolist()} degrees")
    tool_pose = kinematics.poses(torch.from_numpy(told))
    print(f"tool of the last: {np.round(tool_pose[-1, :3].numpy(), 3).tolist()} m in the base")


def views_of(cameras: dict[str, Camera]) -> dict[str, dict[str, list]]:
    """The cameras as `calibration.json` has them."""
    return {
        view: {
            "intrinsics": camera.intrinsics.tolist(),
            "world_from_camera": camera.world_from_camera.matrix().tolist(),
            "size": list(camera.size),
        }
        for view, camera in cameras.items()
    }


if __name__ == "__main__":
    main()
