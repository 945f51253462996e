"""One camera of a calibration file in our conventions, and limits for reading such files."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from action_images.episodes.episode import EpisodeError
from action_images.episodes.readers.folders import as_array, as_tensor
from action_images.geometry import Pose

MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class Distortion:
    """A lens's distortion: "radial-tangential" (OpenCV's k1 k2 p1 p2 k3 ...) or "fisheye" (k1 k2 k3 k4)."""

    model: str
    coefficients: tuple[float, ...]

    @property
    def is_none(self) -> bool:
        """Whether the lens is a pinhole."""
        return self.model == "radial-tangential" and not any(self.coefficients)


NO_DISTORTION = Distortion("radial-tangential", ())
MODELS = {
    "plumb_bob": "radial-tangential",
    "rational_polynomial": "radial-tangential",
    "radtan": "radial-tangential",
    "radial-tangential": "radial-tangential",
    "none": "radial-tangential",
    "": "radial-tangential",
    "equidistant": "fisheye",
    "fisheye": "fisheye",
}
"""Our models by the names that formats use."""


@dataclass(frozen=True)
class FoundCamera:
    """One camera of a file; entries that the file lacks are None."""

    intrinsics: Float[Tensor, "*frames 3 3"] | None = None
    """In px, pixel centres at +0.5; with a frame axis if the lens zooms."""
    size: tuple[int, int] | None = None
    """(height, width) that the intrinsics are for."""
    distortion: Distortion = field(default=NO_DISTORTION)
    world_from_camera: Pose | None = None
    """The pose in the file's own world frame; in the hand's frame if `on_hand`."""
    on_hand: bool = False
    other_lens: str | None = None
    """Remark on the file's further intrinsics for rectified pictures."""
    own_world: str | None = None
    """Remark on the pose's frame if it cannot be the robot's base, or is one on its hand."""
    other_axes: str | None = None
    """Remark on the camera's axes if the file does not tell them."""
    is_named: bool = True
    """Whether the file names the camera; else its name is the format's, the same in all files."""


def coefficients_of(entry: object, where: str) -> object:
    """The numbers of a distortion: a list, or a mapping with `data`; raises EpisodeError without it."""
    if not isinstance(entry, dict):
        return entry
    if "data" not in entry:
        cure = "write its numbers as a list, in OpenCV's order: k1 k2 p1 p2 k3 (fisheye: k1 k2 k3 k4)"
        raise EpisodeError(
            f"{where}: is a mapping of {', '.join(map(str, entry))[:80]} without 'data'; {cure}"
        )
    return entry["data"]


def distortion_named(model: object, coefficients: object, where: str) -> Distortion:
    """A distortion by a format's name for its model.

    Raises EpisodeError for an unknown one, one without coefficients, and coefficients without a model.
    """
    known = MODELS.get(str(model).lower())
    if known is None:
        raise EpisodeError(
            f"{where}: the distortion model {model!r} is not known; straighten the videos first"
        )
    is_none = str(model).lower() in ("", "none")
    if coefficients is None and not is_none:
        cure = "write its coefficients, zeros for a lens without distortion"
        raise EpisodeError(f"{where}: has the distortion model {model!r} and no coefficients; {cure}")
    numbers = _numbers(coefficients, where)
    if is_none and numbers.any():
        cure = "name the model, such as plumb_bob or equidistant"
        raise EpisodeError(f"{where}: has coefficients, but the distortion model {model!r}; {cure}")
    most = 4 if known == "fisheye" else 8
    if len(numbers) > most and numbers[most:].any():
        raise EpisodeError(
            f"{where}: distortion has {len(numbers)} coefficients, {most} are read; straighten first"
        )
    if not np.isfinite(numbers).all():
        raise EpisodeError(f"{where}: distortion has numbers that are not finite; repair the file")
    return Distortion(known, tuple(numbers[:most].tolist()))


def _numbers(coefficients: object, where: str) -> np.ndarray:
    """A file's coefficients, which may be a row or a column."""
    if coefficients is None:
        return np.zeros(0)
    rows = isinstance(coefficients, (list, tuple)) and len(coefficients) and isinstance(coefficients[0], list)
    return as_array(coefficients, (None, None) if rows else (None,), f"{where}: distortion").ravel()


def pinhole(fx: float, fy: float, cx: float, cy: float) -> Tensor:
    """The matrix of focal lengths and principal point."""
    return torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def from_integer_centres(matrix: Tensor) -> Tensor:
    """Convert intrinsics of tools with pixel centres at integers (OpenCV, ROS, Kalibr) to ours, at +0.5."""
    moved = matrix.clone()
    moved[:2, 2] += 0.5
    return moved


def pose_from(matrix: object, where: str) -> Pose:
    """A pose from a rigid 4 x 4 matrix; raises EpisodeError for any other matrix."""
    try:
        return Pose.from_matrix(as_tensor(matrix, (4, 4), where))
    except ValueError as error:
        raise EpisodeError(f"{where}: {error}") from None


def read_bounded(path: Path) -> str | None:
    """The text of a file; None for a folder. Raises EpisodeError if it is too large or not text."""
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_BYTES:
        raise EpisodeError(f"{path}: is larger than {MAX_BYTES >> 20} MB; that is no calibration file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def read_yaml(path: Path) -> dict[str, Any] | None:
    """The content of a yaml file; None if it is no mapping. OpenCV's matrices become their fields."""
    import yaml

    text = read_bounded(path)
    if text is None:
        return None
    # OpenCV's own header is not yaml: "%YAML:1.0".
    if text.startswith("%YAML:"):
        text = text.partition("\n")[2]
    try:
        content = yaml.load(text, Loader=_loader(path))
    except EpisodeError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _loader(path: Path) -> Any:
    """A loader of plain values only; an OpenCV matrix becomes the mapping of its fields.

    It raises EpisodeError for a key that is given twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """A safe loader with one more tag."""

        def construct_mapping(self, node: Any, deep: Any = False) -> dict[Any, Any]:
            """A mapping in which no key is given twice."""
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            twice = [key for key, count in keys.items() if count > 1]
            if twice:
                raise EpisodeError(f"{path}: has the key {twice[0][:80]!r} twice; rename or remove one")
            return super().construct_mapping(node, deep)

    Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", yaml.SafeLoader.construct_yaml_map)
    return Loader


def matrix_of(entry: object, shape: tuple[int, int] | None, where: str) -> Tensor:
    """A matrix written as {rows, cols, data} or as nested lists; raises EpisodeError for another shape."""
    if isinstance(entry, dict):
        rows, columns = entry.get("rows"), entry.get("cols")
        numbers = as_tensor(entry.get("data"), (None,), where)
        if not isinstance(rows, int) or not isinstance(columns, int) or rows * columns != len(numbers):
            raise EpisodeError(f"{where}: rows and cols do not fit its data; repair the file")
        matrix = numbers.reshape(rows, columns)
    else:
        matrix = as_tensor(entry, (None, None), where)
    if shape is not None and tuple(matrix.shape) != shape:
        raise EpisodeError(f"{where}: has the shape {list(matrix.shape)}, {list(shape)} is needed")
    return matrix


def size_of(height: object, width: object, where: str) -> tuple[int, int]:
    """(height, width) in px; raises EpisodeError for invalid values."""
    if not isinstance(height, int) or not isinstance(width, int) or not 0 < min(height, width) <= 65536:
        raise EpisodeError(f"{where}: the image's size is {height!r} x {width!r}; give whole pixels")
    return height, width
