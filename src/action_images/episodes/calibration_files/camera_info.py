"""The yaml of ROS's camera_calibration (sensor_msgs/CameraInfo): intrinsics and distortion, no pose."""

from pathlib import Path
from typing import Any

from torch import Tensor

from action_images.episodes.calibration_files import found
from action_images.episodes.calibration_files.found import FoundCamera
from action_images.episodes.episode import EpisodeError

MOST_DIFFERENT_PX = 1.0


def read(path: Path) -> dict[str, FoundCamera] | None:
    """The one camera of the file by its `camera_name`; None if the file is of another format."""
    content = found.read_yaml(path)
    if content is None or not {"image_width", "image_height", "camera_matrix"} <= content.keys():
        return None
    if not isinstance(content["camera_matrix"], dict) or "distortion_model" not in content:
        return None
    roi = content.get("roi")
    crop = any(roi.get(name) for name in ("x_offset", "y_offset")) if isinstance(roi, dict) else False
    if crop or any(content.get(name, 0) not in (0, 1) for name in ("binning_x", "binning_y")):
        cure = "write the intrinsics of the pictures as they are, without binning and region"
        raise EpisodeError(f"{path}: its pictures are binned, or a region of the sensor's; {cure}")
    matrix = found.matrix_of(content["camera_matrix"], (3, 3), f"{path}: camera_matrix")
    where = f"{path}: distortion_coefficients"
    numbers = found.coefficients_of(content.get("distortion_coefficients"), where)
    lens = found.from_integer_centres(matrix)
    camera = FoundCamera(
        lens,
        found.size_of(content["image_height"], content["image_width"], str(path)),
        found.distortion_named(content["distortion_model"], numbers, where),
        other_lens=_rectified(content, matrix),
        is_named="camera_name" in content,
    )
    return {str(content.get("camera_name", "camera")): camera}


def _rectified(content: dict[str, Any], matrix: Tensor) -> str | None:
    """A remark if rectified pictures (image_rect) have other intrinsics than raw ones."""
    projection = content.get("projection_matrix")
    if not isinstance(projection, dict):
        return None
    other = found.matrix_of(projection, (3, 4), "projection_matrix")[:, :3]
    if (other[:2] - matrix[:2]).abs().max() <= MOST_DIFFERENT_PX:
        return None
    taken = "camera_matrix and distortion are taken, which are those of pictures as the camera took them"
    return f"{taken}; for rectified pictures (image_rect) give projection_matrix's numbers as intrinsics"
