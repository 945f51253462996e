"""OpenCV's FileStorage (yaml) as written by its calibration samples: intrinsics and distortion, no pose."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from action_images.episodes.calibration_files import found
from action_images.episodes.calibration_files.found import FoundCamera
from action_images.episodes.episode import EpisodeError

MATRIX = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "K", "mtx")
DISTORTION = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "Distortion_Coefficients", "D", "dist")
HEIGHT = ("image_height", "image_Height", "height")
WIDTH = ("image_width", "image_Width", "width")


def read(path: Path) -> dict[str, FoundCamera] | None:
    """The one camera of the file, named `camera`; None if the file is of another format."""
    content = found.read_yaml(path)
    matrix = None if content is None else _first(content, MATRIX)
    if content is None or not isinstance(matrix, (dict, list)):
        return None
    intrinsics = found.matrix_of(matrix, (3, 3), f"{path}: camera matrix")
    size = _first(content, HEIGHT), _first(content, WIDTH)
    coefficients = _first(content, DISTORTION)
    if coefficients is None:
        raise EpisodeError(
            f"{path}: says nothing of distortion; write distortion_coefficients, zeros for none"
        )
    numbers = coefficients.get("data") if isinstance(coefficients, dict) else coefficients
    camera = FoundCamera(
        found.from_integer_centres(intrinsics),
        None if size == (None, None) else found.size_of(*size, str(path)),
        found.distortion_named(
            "fisheye" if _is_fisheye(content) else "radial-tangential", numbers, str(path)
        ),
    )
    return {"camera": camera}


def _is_fisheye(content: Mapping[str, Any]) -> bool:
    return any(bool(content.get(name)) for name in ("fisheye_model", "fisheye"))


def _first(content: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((content[name] for name in names if name in content), None)
