"""COLMAP's text model, cameras.txt and images.txt: intrinsics and poses in a world of unknown scale."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from action_images.episodes.calibration_files import found
from action_images.episodes.calibration_files.found import Distortion, FoundCamera
from action_images.episodes.episode import EpisodeError
from action_images.geometry import Pose
from action_images.geometry.rotation import from_quaternion_xyzw

WORLD = "COLMAP's own world: its scale and axes are the robot's only if the model was aligned to it"


def _pinhole(f: float, g: float, x: float, y: float) -> tuple[torch.Tensor, Distortion]:
    return found.pinhole(f, g, x, y), found.NO_DISTORTION


def _simple_pinhole(f: float, x: float, y: float) -> tuple[torch.Tensor, Distortion]:
    return _pinhole(f, f, x, y)


def _radial(f: float, x: float, y: float, *k: float) -> tuple[torch.Tensor, Distortion]:
    return found.pinhole(f, f, x, y), Distortion("radial-tangential", k)


def _opencv(f: float, g: float, x: float, y: float, *k: float) -> tuple[torch.Tensor, Distortion]:
    return found.pinhole(f, g, x, y), Distortion("radial-tangential", k)


def _fisheye(f: float, g: float, x: float, y: float, *k: float) -> tuple[torch.Tensor, Distortion]:
    return found.pinhole(f, g, x, y), Distortion("fisheye", k)


MODELS: Mapping[str, tuple[int, Callable[..., tuple[torch.Tensor, Distortion]]]] = {
    "SIMPLE_PINHOLE": (3, _simple_pinhole),
    "PINHOLE": (4, _pinhole),
    "SIMPLE_RADIAL": (4, _radial),
    "RADIAL": (5, _radial),
    "OPENCV": (8, _opencv),
    "FULL_OPENCV": (12, _opencv),
    "OPENCV_FISHEYE": (8, _fisheye),
}
"""The number and meaning of a model's parameters. COLMAP's pixel centres are at +0.5, like ours."""


def read(path: Path) -> dict[str, FoundCamera] | None:
    """A camera for each image, by the image's name; None if it is no folder with COLMAP's two files."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name not in ("cameras.txt", "images.txt"):
        return None
    if not (folder / "cameras.txt").is_file() or not (folder / "images.txt").is_file():
        return None
    try:
        lenses = dict(map(_lens, _lines(folder / "cameras.txt")))
        lines = list(_lines(folder / "images.txt"))
        for points in lines[1::2]:  # the lines between list each image's points
            _check_points(points)
        return dict(_image(line, lenses) for line in lines[::2])
    except (ValueError, IndexError, KeyError, TypeError) as error:
        if isinstance(error, EpisodeError):
            raise
        raise EpisodeError(
            f"{folder}: cameras.txt and images.txt are no COLMAP text model ({error})"
        ) from None


def _lines(path: Path) -> Iterator[list[str]]:
    """The fields of each line that is no comment; lines without points stay, empty."""
    text = found.read_bounded(path) or ""
    return (line.split() for line in text.rstrip("\n").split("\n") if not line.startswith("#"))


def _lens(fields: list[str]) -> tuple[str, FoundCamera]:
    number, model, width, height, *numbers = fields
    if model not in MODELS:
        raise EpisodeError(
            f"cameras.txt: the model {model[:40]} is not known; undistort the images with COLMAP"
        )
    count, build = MODELS[model]
    if len(numbers) != count:
        raise EpisodeError(f"cameras.txt: camera {number} has {len(numbers)} numbers, {model} needs {count}")
    intrinsics, distortion = build(*map(float, numbers))
    size = found.size_of(int(height), int(width), "cameras.txt")
    checked = found.distortion_named(distortion.model, distortion.coefficients, "cameras.txt")
    return number, FoundCamera(intrinsics, size, checked)


def _check_points(fields: list[str]) -> None:
    """Raise EpisodeError unless a line lists points: x, y and the point's number of each."""
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        numbers = [0.0]
    if len(numbers) % 3:
        cure = "write an empty line after the line of each image"
        raise EpisodeError(
            f"images.txt: the line {' '.join(fields)[:60]!r} should list an image's points; {cure}"
        )


def _image(fields: list[str], lenses: Mapping[str, FoundCamera]) -> tuple[str, FoundCamera]:
    w, x, y, z, *position = map(float, fields[1:8])
    rotation = from_quaternion_xyzw(torch.tensor([x, y, z, w]))
    camera_from_world = Pose(rotation, torch.tensor(position))
    lens = lenses[fields[8]]
    pose = camera_from_world.inverse()
    name = " ".join(fields[9:])
    return name, FoundCamera(lens.intrinsics, lens.size, lens.distortion, pose, own_world=WORLD)
