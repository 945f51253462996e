"""Kalibr's camchain yaml: cameras in a chain, each with its pose relative to the previous one."""

from pathlib import Path
from typing import Any

from action_images.episodes.calibration_files import found
from action_images.episodes.calibration_files.found import FoundCamera
from action_images.episodes.episode import EpisodeError
from action_images.episodes.readers.folders import as_tensor
from action_images.geometry import Pose

WORLD = "the frame of the chain's first camera, not the robot's base"


def read(path: Path) -> dict[str, FoundCamera] | None:
    """The cameras cam0, cam1 ... in the frame of the first; None if the file is of another format."""
    content = found.read_yaml(path)
    if content is None:
        return None
    chain = {
        name: entry for name, entry in content.items() if isinstance(name, str) and name.startswith("cam")
    }
    if not chain or not all(_is_camera(entry) for entry in chain.values()):
        return None
    poses = _poses(_in_order(chain, path), path)
    return {name: _camera(chain[name], pose, f"{path}: {name}") for name, pose in poses.items()}


def _in_order(chain: dict[str, dict[str, Any]], path: Path) -> dict[str, dict[str, Any]]:
    """The cameras by number; by their order in the file if they have other names."""
    numbers = {name: int(name[3:]) for name in chain if name[3:].isdecimal()}
    if len(numbers) < len(chain):
        return chain
    names = sorted(chain, key=lambda name: numbers[name])
    missing = [
        number for number in range(numbers[names[0]], numbers[names[-1]]) if number not in numbers.values()
    ]
    if missing:
        raise EpisodeError(
            f"{path}: cam{missing[0]} is missing from the chain; give the whole file of Kalibr"
        )
    return {name: chain[name] for name in names}


def _poses(chain: dict[str, dict[str, Any]], path: Path) -> dict[str, Pose | None]:
    """Each camera's pose in the frame of the first; None for a camera that is alone."""
    names = list(chain)
    first = chain[names[0]]
    if len(chain) == 1:
        return dict.fromkeys(names)
    poses: dict[str, Pose | None] = {}
    previous = world_from_first = Pose.identity()
    for name, entry in chain.items():
        where = f"{path}: {name}"
        if "T_cn_cnm1" in entry:
            previous = previous @ found.pose_from(entry["T_cn_cnm1"], f"{where}.T_cn_cnm1").inverse()
        elif name != names[0] and "T_cam_imu" in entry and "T_cam_imu" in first:
            first_from_imu = found.pose_from(first["T_cam_imu"], f"{path}: {names[0]}.T_cam_imu")
            camera_from_imu = found.pose_from(entry["T_cam_imu"], f"{where}.T_cam_imu")
            previous = world_from_first @ first_from_imu @ camera_from_imu.inverse()
        elif name != names[0]:
            cure = "add T_cn_cnm1, the transform from the camera before to it"
            raise EpisodeError(f"{where}: has no pose relative to the other cameras; {cure}")
        if name == names[0]:
            world_from_first = previous
        poses[name] = previous
    return poses


def _is_camera(entry: object) -> bool:
    return isinstance(entry, dict) and {"camera_model", "intrinsics", "resolution"} <= entry.keys()


def _camera(entry: dict[str, Any], world_from_camera: Pose | None, where: str) -> FoundCamera:
    if entry["camera_model"] != "pinhole":
        raise EpisodeError(f"{where}: camera_model is {entry['camera_model']!r}; only pinhole is read")
    numbers = as_tensor(entry["intrinsics"], (4,), f"{where}.intrinsics").tolist()
    coefficients = found.coefficients_of(entry.get("distortion_coeffs"), f"{where}.distortion_coeffs")
    width, height = [int(side) for side in as_tensor(entry["resolution"], (2,), f"{where}.resolution")]
    return FoundCamera(
        found.from_integer_centres(found.pinhole(*numbers)),
        found.size_of(height, width, where),
        found.distortion_named(
            entry.get("distortion_model", "none"),
            coefficients,
            f"{where}.distortion_coeffs",
        ),
        world_from_camera,
        own_world=None if world_from_camera is None else WORLD,
        is_named=world_from_camera is not None,
    )
