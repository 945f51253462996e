"""Write the results into the calibration.json of a LeRobot set."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from action_images.calibration.from_motion.conventions import DECLARED, NOTHING_BETWEEN, REDECLARED, Frames
from action_images.calibration.from_motion.judge import WHOLE_FRAME
from action_images.calibration.from_motion.search import SetResult
from action_images.calibration.from_motion.view import ViewResult
from action_images.calibration.opencv import CalibrationError
from action_images.episodes.dataset import Dataset
from action_images.episodes.lerobot_layout import INFO, read_json
from action_images.episodes.notation import BY_COUNT, ROTATIONS
from action_images.episodes.readers.lerobot import CALIBRATION
from action_images.episodes.readers.lerobot_calibration import Calibration
from action_images.files.atomic import write_json
from action_images.geometry import Camera, Pose


def declared_frames(dataset: Path) -> Frames:
    """The frames that a set's calibration.json declares between its table's poses and the tool's; identity
    without one."""
    tool = _tool(dataset)
    if tool is None:
        return NOTHING_BETWEEN
    base, offset = (_pose(tool, name) for name in ("base_offset", "tool_offset"))
    return Frames(base, offset)


def declared_rotation(dataset: Path) -> str | None:
    """The declared notation of rotations in calibration.json; None if it declares none."""
    tool = _tool(dataset)
    if tool is None:
        return None
    if "rotation" in tool:
        return str(tool["rotation"])
    count = len(tool.get("columns", [])) - 3 - (0 if "gripper" in tool else 1)
    return BY_COUNT.get(count)


def redeclared(dataset: Path, convention: str) -> str | None:
    """The notation's name that declares the convention found; None if there is none."""
    word = REDECLARED.get(convention, {}).get(declared_rotation(dataset) or "")
    return word if word in ROTATIONS else None


def check_applicable(dataset: Path, views: Collection[str] = ()) -> None:
    """Raise CalibrationError unless a set has a calibration.json that can be changed.

    Raises EpisodeError if the results of these views (none: all) could not stand in it alone: beside a
    distorted lens, or cameras of single episodes.
    """
    path = _calibration_of(dataset)
    Calibration(path, Dataset(dataset, _leave_to_readers)).check_replaceable(views)


def _leave_to_readers(row: str, reason: str) -> None:
    """A row that cannot be an episode is refused where it is read."""


def _calibration_of(dataset: Path) -> Path:
    path = dataset / CALIBRATION
    if not path.is_file() or not (dataset / INFO).is_file():
        cure = (
            "--apply writes into a LeRobot set's calibration.json; give cameras.json when you import this set"
        )
        raise CalibrationError(f"{path}: is not there; {cure}")
    return path


def apply(dataset: Path, result: SetResult, cameras: Mapping[str, Camera]) -> Path:
    """Write the found cameras, delays, mirrored videos and rotation notation into calibration.json.

    Everything else in it stays. Found delays and mirroring are relative to the declared ones and are combined
    with them; `check_applicable` says beforehand whether they can be. Raises CalibrationError if the set has
    no such file, or if no notation declares the result.
    """
    path = _calibration_of(dataset)
    content = read_json(path)
    if result.convention != DECLARED:
        word = redeclared(dataset, result.convention)
        if word is None:
            cure = "write the poses anew, and import again"
            raise CalibrationError(f"{path}: has no word for '{result.convention}'; {cure}")
        content["tool"]["rotation"] = word
    before = content.get("views", {})
    views = dict(before)
    for name, camera in cameras.items():
        views[name] = {
            "intrinsics": camera.intrinsics.tolist(),
            "world_from_camera": camera.world_from_camera.matrix().tolist(),
            "size": list(camera.size),
        }
        found = next(view for view in result.views if view.view.name == name)
        if found.camera.radial:
            views[name]["distortion"] = [found.camera.radial, 0.0, 0.0, 0.0]
        views[name] |= _read_so(found, before.get(name, {}))
    write_json(path, {**content, "views": views})
    return path


def _read_so(found: ViewResult, before: Mapping[str, Any]) -> dict[str, Any]:
    """A view's delay in frames and its mirroring, if any."""
    shift = before.get("shift", 0) + (round(found.shift) if abs(found.shift) >= WHOLE_FRAME else 0)
    mirrored = before.get("mirrored", False) != found.reading.mirrored
    return ({"shift": shift} if shift else {}) | ({"mirrored": True} if mirrored else {})


def _tool(dataset: Path) -> dict[str, Any] | None:
    path = dataset / CALIBRATION
    if not path.is_file():
        return None
    tool = read_json(path).get("tool")
    return tool if isinstance(tool, dict) else None


def _pose(tool: Mapping[str, Any], name: str) -> Pose:
    if name not in tool:
        return Pose.identity(dtype=torch.float64)
    return Pose.from_matrix(torch.tensor(tool[name], dtype=torch.float64))
