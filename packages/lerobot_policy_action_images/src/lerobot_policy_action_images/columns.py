"""The names of LeRobot's columns for pictures, cameras, the tool, and commands to the arm."""

from collections.abc import Iterable, Mapping
from typing import Any

from action_images.episodes.lerobot_layout import ACTION, CAMERAS, IMAGES, STATE, TOOL_NAMES
from action_images.errors import ActionImagesError

POSE = "x y z (m), qx qy qz qw (a unit quaternion), opening (0 closed, 1 open)"
WITH_MATRIX = 13
"""The count of numbers of a pose with a rotation matrix: x y z, nine row by row, opening."""
KINEMATICS = (
    "python -m lerobot_policy_action_images.joints gives a set tool poses by forward kinematics, and in a "
    "rollout the policy's own steps do both: --policy.urdf=FILE --policy.joint_names='[...]'"
)


def camera_keys(view: str) -> tuple[str, str]:
    """The columns of a view's intrinsics (9 numbers) and of its pose world_from_camera (16 numbers)."""
    return f"{CAMERAS}{view}.intrinsics", f"{CAMERAS}{view}.world_from_camera"


def views_of(keys: Iterable[str], wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """The views among feature keys, in their order, or the wanted ones; raises if one does not exist."""
    found = [key.removeprefix(IMAGES) for key in keys if key.startswith(IMAGES)]
    missing = [view for view in wanted if view not in found]
    if missing:
        raise ActionImagesError(
            f"there is no view {', '.join(missing)} (--policy.views); there are: {', '.join(found) or 'none'}"
        )
    chosen = tuple(wanted) or tuple(found)
    if len(chosen) < 2:
        raise ActionImagesError(
            f"plans are read off at least two calibrated views, here is {', '.join(chosen) or 'none'}; "
            f"record with more cameras, as {IMAGES}<view>"
        )
    return chosen


def check_cameras(keys: Iterable[str], views: Iterable[str], where: str) -> None:
    """Raise ActionImagesError, with how to calibrate, if a view's camera columns are missing."""
    known = set(keys)
    bare = [view for view in views if not known.issuperset(camera_keys(view))]
    if bare:
        raise ActionImagesError(
            f"{where}: the cameras of {', '.join(bare)} are not known {calibrated(where)}"
        )


def calibrated(where: str) -> str:
    """How a set without camera columns gets them, as the end of a sentence."""
    return (
        "(columns observation.cameras.<view>.intrinsics and .world_from_camera). Find them from the robot's "
        f"own motion: action-images calibrate from_motion {where} --out calibration --apply; or from a "
        f"printed board (action-images calibrate board), and write them into {where}/calibration.json "
        f"(docs/data.md). Then action-images import {where} --out NEW_SET makes a set that has them. A "
        "robot, and models that are there, take --policy.cameras_file=calibration/cameras.json too"
    )


def check_action(features: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Raise ActionImagesError if the actions or the state of a data set are not tool poses."""
    for key in (ACTION, STATE):
        names = names_of(features.get(key, {}))
        if names is None or [name.removesuffix(".pos") for name in names] != TOOL_NAMES:
            said = "has no names" if names is None else f"is {', '.join(names)}"
            step = "InverseKinematicsEEToJoints" if key == ACTION else "ForwardKinematicsJointsToEE"
            raise ActionImagesError(f"{where}: '{key}' {said}, {lacking(step)}")


def check_action_count(count: int) -> None:
    """Raise ActionImagesError if a robot's or an environment's action has too few or too many numbers."""
    if count not in (len(TOOL_NAMES), WITH_MATRIX):
        raise ActionImagesError(f"the action has {count} numbers, {lacking('InverseKinematicsEEToJoints')}")


def lacking(step: str) -> str:
    """The end of a sentence about actions or states that are no tool poses: LeRobot's missing step."""
    return (
        f"but this policy plans tool poses: {POSE}. What is missing is the step between the two (LeRobot's "
        f"{step}); {KINEMATICS}"
    )


def names_of(feature: Mapping[str, Any]) -> list[str] | None:
    """The names of a column's numbers in LeRobot's metadata; None if they have none."""
    names = feature.get("names")
    if isinstance(names, Mapping):
        names = next(iter(names.values()), None)
    return [str(name) for name in names] if isinstance(names, list | tuple) else None
