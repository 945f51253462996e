"""Calibrations written by other tools, one file for each format, read into one form."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from action_images.episodes.calibration_files.found import FoundCamera
from action_images.episodes.episode import EpisodeError

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "ROS camera_info": "camera_info",
        "Kalibr camchain": "kalibr",
        "OpenCV FileStorage": "opencv_storage",
        "easy_handeye": "easy_handeye",
        "COLMAP text model": "colmap",
    }
)
"""Format -> file, in the order in which they are tried."""


def read_calibration_file(path: Path) -> dict[str, FoundCamera]:
    """The cameras of a file (COLMAP: a folder with cameras.txt and images.txt) by name.

    Raises EpisodeError, naming the file and the formats, if it is none of them or lacks something.
    """
    if not path.exists():
        raise EpisodeError(f"{path}: there is no such calibration file")
    for module in FORMATS.values():
        reader = importlib.import_module(f"action_images.episodes.calibration_files.{module}")
        if (cameras := reader.read(path)) is not None:
            return cameras
    cure = "write one of them, or the numbers themselves; binary files and OpenCV's xml and json are not read"
    raise EpisodeError(f"{path}: is no calibration that is known; there are {', '.join(FORMATS)}: {cure}")


def camera_of_file(path: Path, name: str | None) -> FoundCamera:
    """One camera of a file; `name` may be omitted if there is only one."""
    cameras = read_calibration_file(path)
    if name is None and len(cameras) == 1:
        return next(iter(cameras.values()))
    if name not in cameras:
        raise EpisodeError(f"{path}: has the cameras {', '.join(cameras)}; say which with 'camera'")
    return cameras[name]
