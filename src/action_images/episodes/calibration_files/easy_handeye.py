"""easy_handeye's yaml: a camera's pose in the robot's base or on its hand; no intrinsics."""

from pathlib import Path

import torch

from action_images.episodes.calibration_files import found
from action_images.episodes.calibration_files.found import FoundCamera
from action_images.episodes.episode import EpisodeError
from action_images.geometry import Pose
from action_images.geometry.rotation import from_quaternion_xyzw

NUMBERS = ("x", "y", "z", "qx", "qy", "qz", "qw")


def read(path: Path) -> dict[str, FoundCamera] | None:
    """The one camera: `base`, in the base's frame, or `hand`, in the hand's; None for another format."""
    content = found.read_yaml(path)
    if content is None or not isinstance(content.get("transformation"), dict):
        return None
    transformation = content["transformation"]
    try:
        numbers = torch.tensor([float(transformation[name]) for name in NUMBERS])
    except (KeyError, TypeError, ValueError):
        raise EpisodeError(f"{path}: 'transformation' needs the numbers {', '.join(NUMBERS)}") from None
    if (numbers[3:].norm() - 1).abs() > 0.01:
        raise EpisodeError(f"{path}: 'transformation' has a quaternion that is not of unit length")
    parameters = content.get("parameters")
    settings = parameters if isinstance(parameters, dict) else content
    on_hand = bool(settings.get("eye_on_hand", False))
    pose = Pose(from_quaternion_xyzw(numbers[3:]), numbers[:3])
    return {"hand" if on_hand else "base": FoundCamera(world_from_camera=pose, on_hand=on_hand)}
