"""OpenCV's FileStorage (yaml) as written by its calibration samples: intrinsics and distortion, no pose."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from action_images.episodes.calibration_files import found
from action_images.episodes.calibration_files.found import FoundCamera
from action_images.episodes.episode import EpisodeError

MATRIX = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "K", "mtx")
DISTORTION = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "Distortion_Coefficients", "D", "dist")
MODEL = ("distortion_model", "distortionModel", "Distortion_Model")
LENS = ("camera_model", "cameraModel", "lens_model", "model")
"""Fields that may name a fisheye lens, or anything else."""
FISHEYE = ("fisheye_model", "fisheye")
NO = ("", "0", "0.0", "false", "no", "none")
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
    camera = FoundCamera(
        found.from_integer_centres(intrinsics),
        None if size == (None, None) else found.size_of(*size, str(path)),
        found.distortion_named(
            _model(content, path), found.coefficients_of(coefficients, f"{path}: distortion"), str(path)
        ),
        is_named=False,
    )
    return {"camera": camera}


def _model(content: Mapping[str, Any], path: Path) -> str:
    """The distortion's model by the file's own names for it; raises EpisodeError if they differ."""
    told = {name: str(content[name]) for name in MODEL if content.get(name)}
    told |= {name: "fisheye" for name in LENS if "fisheye" in str(content.get(name)).lower()}
    for name in FISHEYE:
        if name in content:
            told[name] = "radial-tangential" if str(content[name]).lower() in NO else "fisheye"
    kinds = {found.MODELS.get(model.lower(), model) for model in told.values()}
    if len(kinds) > 1:
        both = " and ".join(f"{name}: {content[name]}" for name in told)
        raise EpisodeError(f"{path}: names two models of its distortion ({both}); keep one")
    return next(iter(told.values()), "radial-tangential")


def _first(content: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((content[name] for name in names if name in content), None)
