"""Writes small sets in the exact layouts of others, drawing the tool with the foreign convention's own
formulas.
"""

import json
import pickle
import sys
import types
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from action_images.episodes.video import write_video
from recorded import blob_video

FRAMES = 9


def tool_path(num_frames: int = FRAMES) -> tuple[np.ndarray, Rotation, np.ndarray]:
    """Positions (m), rotations and openings of a tool, from scipy alone."""
    phase = np.linspace(0, 2, num_frames)
    position = np.stack([0.1 * np.sin(phase), 0.08 * np.cos(2 * phase), 0.05 * phase], -1)
    rotation = Rotation.from_euler("xyz", np.stack([np.pi + 0.2 * phase, 0.3 * phase, -0.4 * phase], -1))
    return position, rotation, (phase < 1).astype(float)


def looking(eye: tuple[float, float, float]) -> np.ndarray:
    """Camera-to-world with x right, y down, z forward, at the origin of the world."""
    forward = -np.array(eye) / np.linalg.norm(eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], -1)
    pose[:3, 3] = eye
    return pose


def pinhole_pixels(matrix: np.ndarray, camera_from_world: np.ndarray, points: np.ndarray) -> np.ndarray:
    """K (R X + t), divided by depth: the formula that all of these conventions share."""
    in_camera = points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    homogeneous = in_camera @ matrix.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def draw(pixels: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    return blob_video(torch.from_numpy(pixels).float(), size)


def write_pngs(folder: Path, frames: torch.Tensor, pattern: str = "{}.png") -> None:
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame.movedim(0, -1).contiguous().numpy()).save(
            folder / pattern.format(i), quality=95
        )


def in_rlbench_convention(eye, size):
    """Negative focal lengths, and a pose whose x and y axes point the other way."""
    focal = 0.9 * size[0]
    matrix = np.array([[-focal, 0, size[1] / 2], [0, -focal, size[0] / 2], [0, 0, 1.0]])
    return matrix, looking(eye) @ np.diag([-1.0, -1, 1, 1])


def write_demo(path: Path, steps: list[dict]) -> None:
    """A pickled rlbench.demo.Demo of rlbench.backend.observation.Observation."""
    modules = {
        name: types.ModuleType(name)
        for name in ("rlbench", "rlbench.demo", "rlbench.backend", "rlbench.backend.observation")
    }
    demo_class = type("Demo", (), {"__module__": "rlbench.demo"})
    step_class = type("Observation", (), {"__module__": "rlbench.backend.observation"})
    modules["rlbench.demo"].Demo = demo_class
    modules["rlbench.backend.observation"].Observation = step_class
    sys.modules.update(modules)
    try:
        demo = demo_class()
        demo._observations = []
        for fields in steps:
            step = step_class()
            step.__dict__.update(fields)
            demo._observations.append(step)
        demo.random_seed = ("MT19937", np.arange(624, dtype=np.uint32), 5, 0, 0.0)
        path.write_bytes(pickle.dumps(demo))
    finally:
        for name in modules:
            del sys.modules[name]


def write_rlbench(root: Path, size=(48, 48)) -> Path:
    variation = root / "close_jar" / "variation3"
    position, rotation, opening = tool_path()
    for number in (0, 2, 10):
        folder = variation / "episodes" / f"episode{number}"
        steps = []
        for i in range(FRAMES):
            pose = np.concatenate([position[i], rotation[i].as_quat()])
            steps.append(
                {
                    "gripper_pose": pose,
                    "gripper_open": float(opening[i]),
                    "joint_positions": np.zeros(7),
                    "misc": {"variation_index": 3},
                }
            )
        for camera, eye in {"front": (0.8, 0, 0.7), "wrist": (0.1, 0.8, 0.6)}.items():
            pixels = []
            for i in range(FRAMES):
                where = tuple(
                    np.array(eye) + (0.02 * i if camera == "wrist" else 0)
                )  # the wrist's camera moves
                matrix, pose = in_rlbench_convention(where, size)
                steps[i]["misc"] |= {
                    f"{camera}_camera_intrinsics": matrix,
                    f"{camera}_camera_extrinsics": pose,
                    f"{camera}_camera_near": 0.01,
                }
                pixels.append(pinhole_pixels(matrix, np.linalg.inv(pose), position[i : i + 1]))
            write_pngs(folder / f"{camera}_rgb", draw(np.concatenate(pixels), size))
        write_demo(folder / "low_dim_obs.pkl", steps)
    (variation / "variation_descriptions.pkl").write_bytes(
        pickle.dumps(["close the red jar", "screw the lid on"])
    )
    return root


def write_action_images_rlbench(root: Path, size=(48, 64), all_steps: bool = False) -> Path:
    variation = root / "open_box" / "variation0"
    num_steps = 4 * (FRAMES - 1) + 2
    position, rotation, opening = tool_path(num_steps)
    folder = variation / "episodes" / "episode4"
    for number, eye in enumerate([(0.8, 0.1, 0.7), (0.1, 0.8, 0.6)]):
        matrix, pose = in_rlbench_convention(eye, size)
        pixels = pinhole_pixels(matrix, np.linalg.inv(pose), position[::4])
        (folder / f"view{number}" / "rgb").mkdir(parents=True)
        write_video(folder / f"view{number}/rgb/video.mp4", draw(pixels, size), 5)
        entry = {"intrinsics": matrix.tolist(), "extrinsics": pose.tolist()}
        keys = range(num_steps if all_steps else FRAMES)
        (folder / f"view{number}/camera_params.json").write_text(
            json.dumps({f"{i:04d}": entry for i in keys})
        )
    np.save(folder / "actions.npy", np.concatenate([position, rotation.as_quat(), opening[:, None]], -1))
    (variation / "variation_descriptions.pkl").write_bytes(pickle.dumps(["open the box"]))
    return root


DROID_UUID = "AUTOLab+5d05c5aa+2023-07-07-09h-42m-23s"
DROID_SERIALS = {"ext1": "22008760", "ext2": "24400334", "wrist": "18026681"}


def six_numbers(pose: np.ndarray) -> list[float]:
    return [*pose[:3, 3].tolist(), *Rotation.from_matrix(pose[:3, :3]).as_euler("xyz").tolist()]


def droid_views(position: np.ndarray, size: tuple[int, int]):
    """Role -> (fx cx fy cy of 1280x720, camera-to-base poses, frames of `size` with the tool drawn)."""
    for role, eye in {"ext1": (0.7, 0.3, 0.5), "ext2": (0.2, -0.8, 0.6), "wrist": (0.1, 0.7, 0.6)}.items():
        fx, cx, fy, cy = 730.0, 640.5, 735.0, 355.0
        poses = [
            looking(tuple(np.array(eye) + (0.01 * i if role == "wrist" else 0))) for i in range(len(position))
        ]
        scale = np.diag([size[1] / 1280, size[0] / 720, 1])
        matrix = scale @ np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        pixels = [
            pinhole_pixels(matrix, np.linalg.inv(pose), position[i : i + 1]) for i, pose in enumerate(poses)
        ]
        yield role, [fx, cx, fy, cy], poses, draw(np.concatenate(pixels), size)


def write_droid(root: Path, size=(90, 160), keep: list | None = None) -> Path:
    relative = "AUTOLab/success/2023-07-07/Fri_Jul__7_09:42:23_2023"
    folder = root / relative
    (folder / "recordings" / "MP4").mkdir(parents=True)
    position, rotation, opening = tool_path()
    poses, intrinsics = {}, {}
    with h5py.File(folder / "trajectory.h5", "w") as file:
        state = file.create_group("observation/robot_state")
        state["cartesian_position"] = np.concatenate([position, rotation.as_euler("xyz")], -1)
        state["gripper_position"] = 1 - opening  # DROID: 0 is open
        for role, numbers, cameras, frames in droid_views(position, size):
            serial = DROID_SERIALS[role]
            intrinsics[serial] = numbers
            file[f"observation/camera_extrinsics/{serial}_left"] = np.array(
                [six_numbers(pose) for pose in cameras]
            )
            if role != "wrist":
                poses[serial] = six_numbers(cameras[0])
            write_video(folder / f"recordings/MP4/{serial}.mp4", frames, 15)
    notes = {"uuid": DROID_UUID, "current_task": "Move object", "trajectory_length": FRAMES}
    notes |= {f"{role}_cam_serial": serial for role, serial in DROID_SERIALS.items()}
    (folder / f"metadata_{DROID_UUID}.json").write_text(json.dumps(notes))
    (root / "cam2base_extrinsic_superset.json").write_text(
        json.dumps({DROID_UUID: poses | {"relative_path": relative}})
    )
    (root / "intrinsics.json").write_text(json.dumps({DROID_UUID: intrinsics}))
    (root / "aggregated-annotations-030724.json").write_text(
        json.dumps({DROID_UUID: {"language_instruction1": "Put the pen in the cup"}})
    )
    if keep is not None:
        bucket = f"gs://xembodiment_data/r2d2/r2d2-data-full/{relative}"
        key = f"{bucket}/recordings/MP4--{bucket}/trajectory.h5"
        (root / "keep_ranges_1_0_1.json").write_text(json.dumps({key: keep}))
    return root


def write_droid_processed(root: Path, gripper: bool, size=(90, 160)) -> Path:
    folder = root / DROID_UUID
    (folder / "video").mkdir(parents=True)
    position, rotation, opening = tool_path()
    poses, cameras = {}, {}
    for role, (fx, cx, fy, cy), path, frames in droid_views(position, size):
        if role == "wrist":
            continue
        write_video(folder / f"video/{role}.mp4", frames, 15)
        poses[DROID_SERIALS[role]] = six_numbers(path[0])
        cameras[role] = {
            "intrinsics": [fx * size[1] / 1280, cx * size[1] / 1280, fy * size[0] / 720, cy * size[0] / 720]
        }
    action = {"action": np.concatenate([position, rotation.as_euler("xyz")], -1)}
    np.savez(folder / "action.npz", **action, **({"gripper_position": 1 - opening} if gripper else {}))
    (folder / "camera.json").write_text(json.dumps(cameras))
    (folder / "instruction.txt").write_text("Put the pen in the cup\n")
    (root / "cam2base_extrinsic_superset.json").write_text(json.dumps({DROID_UUID: poses}))
    serials = {f"{role}_cam_serial": serial for role, serial in DROID_SERIALS.items()}
    (root / "camera_serials.json").write_text(json.dumps({DROID_UUID: serials}))
    return root


def write_bridge(root: Path, size=(48, 64)) -> Path:
    folder = root / "toykitchen1/pnp/00/2022-01-01_09-00-00/raw/traj_group0/traj0"
    position, rotation, opening = tool_path()
    for number in (0, 1):
        pixels = np.stack([np.linspace(10, 50, FRAMES), np.full(FRAMES, 20.0 + number)], -1)
        write_pngs(folder / f"images{number}", draw(pixels, size), "im_{}.jpg")
    transform = np.tile(np.eye(4), (FRAMES, 1, 1))
    transform[:, :3, :3], transform[:, :3, 3] = rotation.as_matrix(), position
    state = np.concatenate([position, np.zeros((FRAMES, 3)), opening[:, None] * 1.05], -1).astype(np.float32)
    record = {"state": state, "eef_transform": transform, "time_stamp": np.arange(FRAMES) * 0.2}
    (folder / "obs_dict.pkl").write_bytes(pickle.dumps(record))
    (folder / "policy_out.pkl").write_bytes(pickle.dumps([{"actions": np.zeros(7)}] * (FRAMES - 1)))
    (folder / "lang.txt").write_text("put the spoon in the pot\nconfidence: 1\n")
    return root


BRIDGE_POINT = np.array([0.05, -0.03, 0.04])


def write_bridge_processed(root: Path, size=(90, 120)) -> Path:
    folder = root / "000123"
    (folder / "video").mkdir(parents=True)
    (folder / "vggt" / "0").mkdir(parents=True)
    inner = (392, 518)  # what VGGT sees: 518 px wide, sides multiples of 14
    intrinsics, extrinsics = [], []
    for number, eye in enumerate([(0.8, 0.1, 0.7), (0.1, 0.8, 0.6)]):
        matrix = np.array([[480.0, 0, inner[1] / 2], [0, 490.0, inner[0] / 2], [0, 0, 1]])
        camera_from_world = np.linalg.inv(looking(eye))
        intrinsics.append(matrix)
        extrinsics.append(camera_from_world[:3])
        shown = np.diag([size[1] / inner[1], size[0] / inner[0], 1]) @ matrix
        pixels = pinhole_pixels(shown, camera_from_world, np.tile(BRIDGE_POINT, (FRAMES, 1)))
        write_video(folder / f"video/{number}.mp4", draw(pixels, size), 5)
    np.save(folder / "vggt/0/intrinsic.npy", np.stack(intrinsics).astype(np.float32))
    np.save(folder / "vggt/0/extrinsic.npy", np.stack(extrinsics).astype(np.float32))
    (folder / "instruction.txt").write_text("put the spoon in the pot\n")
    return root


WRITERS = {
    "rlbench": write_rlbench,
    "action-images-rlbench": write_action_images_rlbench,
    "droid": write_droid,
    "droid-processed": lambda root: write_droid_processed(root, gripper=True),
    "bridge": write_bridge,
    "bridge-processed": write_bridge_processed,
}
"""Format -> what writes a small set of it."""
