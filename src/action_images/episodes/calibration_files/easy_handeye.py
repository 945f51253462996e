"""easy_handeye's yaml: a camera's pose in the robot's base or on its hand; no intrinsics."""

from pathlib import Path
from typing import Any

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
    on_hand = _is_on_hand(settings, path)
    camera = FoundCamera(
        world_from_camera=Pose(from_quaternion_xyzw(numbers[3:]), numbers[:3]),
        on_hand=on_hand,
        own_world=_hand(settings.get("robot_effector_frame")) if on_hand else None,
        other_axes=_axes(settings.get("tracking_base_frame"), path),
        is_named=False,
    )
    return {"hand" if on_hand else "base": camera}


def _is_on_hand(settings: dict[str, Any], path: Path) -> bool:
    """Whether the camera is on the hand, as every field that tells says.

    The first easy_handeye writes `eye_on_hand`, the second `calibration_type`. A file without both may name
    the one frame that the pose is in. Raises EpisodeError if nothing tells, or fields contradict each other.
    """
    says: dict[str, bool] = {}
    if "eye_on_hand" in settings:
        says["eye_on_hand"] = _known(settings, "eye_on_hand", {"true": True, "false": False}, path)
    if "calibration_type" in settings:
        kinds = {"eye_in_hand": True, "eye_on_base": False}
        says["calibration_type"] = _known(settings, "calibration_type", kinds, path)
    if not says:
        frames = {"robot_effector_frame": True, "robot_base_frame": False}
        says = {name: on_hand for name, on_hand in frames.items() if settings.get(name)}
    if len(set(says.values())) == 1:
        return next(iter(says.values()))
    told = f"{' and '.join(says)} contradict each other" if says else "nothing says where the camera is"
    cure = "write 'eye_on_hand: true' for a camera on the hand, 'eye_on_hand: false' for one beside the robot"
    raise EpisodeError(f"{path}: {told}; {cure}")


def _known(settings: dict[str, Any], name: str, meanings: dict[str, bool], path: Path) -> bool:
    """What a field says; raises EpisodeError for a value that means nothing."""
    value = str(settings[name]).lower()
    if value not in meanings:
        raise EpisodeError(f"{path}: '{name}' is {value[:80]!r}; it is {' or '.join(meanings)}")
    return meanings[value]


def _hand(frame: object) -> str:
    """A remark on the frame of a hand camera's pose."""
    named = "robot_effector_frame" if frame is None else f"'{str(frame)[:80]}' (robot_effector_frame)"
    return f"the frame {named}, which must be that of the tool's poses"


def _axes(frame: object, path: Path) -> str | None:
    """A remark on axes that the camera frame's name does not tell.

    Raises EpisodeError for a frame that has ROS's axes of a body (x forward) by its name.
    """
    name = str(frame or "").rstrip("/")
    if "optical" in name.lower():
        return None
    if name.lower().endswith("link"):
        raise EpisodeError(
            f"{path}: the camera's frame '{name[:80]}' (tracking_base_frame) looks along x by its name; the "
            "optical frame, which looks along z, is needed. Multiply the transformation from the right by "
            "that from this frame to the optical one (tf2_echo; x y z w are -0.5 0.5 -0.5 0.5), and "
            "write the optical frame's name there. If the numbers are of the optical frame already, write "
            "its name alone"
        )
    named = f"frame '{name[:80]}'" if name else "unnamed frame"
    return f"the pose is of the camera's {named}, which is taken as optical: x right, y down, z forward"
