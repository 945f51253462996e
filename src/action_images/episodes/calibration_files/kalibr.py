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
    chain = {name: entry for name, entry in content.items() if name.startswith("cam")}
    if not chain or not all(_is_camera(entry) for entry in chain.values()):
        return None
    cameras: dict[str, FoundCamera] = {}
    previous = Pose.identity()
    for name, entry in chain.items():
        where = f"{path}: {name}"
        if "T_cn_cnm1" in entry:
            previous = previous @ found.pose_from(entry["T_cn_cnm1"], f"{where}.T_cn_cnm1").inverse()
        cameras[name] = _camera(entry, previous, where)
    return cameras


def _is_camera(entry: object) -> bool:
    return isinstance(entry, dict) and {"camera_model", "intrinsics", "resolution"} <= entry.keys()


def _camera(entry: dict[str, Any], world_from_camera: Pose, where: str) -> FoundCamera:
    if entry["camera_model"] != "pinhole":
        raise EpisodeError(f"{where}: camera_model is {entry['camera_model']!r}; only pinhole is read")
    numbers = as_tensor(entry["intrinsics"], (4,), f"{where}.intrinsics").tolist()
    width, height = [int(side) for side in as_tensor(entry["resolution"], (2,), f"{where}.resolution")]
    return FoundCamera(
        found.from_integer_centres(found.pinhole(*numbers)),
        found.size_of(height, width, where),
        found.distortion_named(entry.get("distortion_model", "none"), entry.get("distortion_coeffs"), where),
        world_from_camera,
        own_world=WORLD,
    )
