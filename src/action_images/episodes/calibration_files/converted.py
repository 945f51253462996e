"""Combine the cameras in other tools' files into cameras of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch

from action_images.episodes.calibration_files import read_calibration_file
from action_images.episodes.calibration_files.found import FoundCamera
from action_images.episodes.episode import EpisodeError
from action_images.geometry import Camera


def cameras_of(paths: Sequence[Path], *, straightened: bool = False) -> dict[str, Camera]:
    """The cameras of several files by name, in metres and in the frame of the files' poses, float32.

    A camera may be split over two files, its lens in one and its pose in another. The files then use the same
    name, or each of the two has a single camera, and they are given one after the other. `straightened`: the
    pictures are already undistorted, and the intrinsics are those of the undistorted pictures.

    Raises EpisodeError, naming camera and remedy, if a camera lacks lens, size or pose, is given twice, or
    has a distortion that was not removed from its pictures.
    """
    found: dict[str, FoundCamera] = {}
    for path in paths:
        cameras = read_calibration_file(path)
        if len(cameras) == 1:
            ((name, camera),) = cameras.items()
            cameras = {_place(found, name, camera, path): camera}
        for name, camera in cameras.items():
            found[name] = (
                _joined(found[name], camera, f"{path}: camera '{name}'") if name in found else camera
            )
    cameras = {name: _camera(name, camera, straightened=straightened) for name, camera in found.items()}
    _check_stems(list(cameras))
    return {_stem(name): camera for name, camera in cameras.items()}


def _place(found: Mapping[str, FoundCamera], name: str, camera: FoundCamera, path: Path) -> str:
    """The name of a file's only camera: of the earlier one that it completes, or its own."""
    incomplete = [other for other, one in found.items() if _complete(one, camera)]
    if name in incomplete and camera.is_named and found[name].is_named:
        return name
    if len(incomplete) > 1:
        raise EpisodeError(
            f"{path}: completes the camera '{incomplete[0]}' or '{incomplete[1]}'; give each camera's files "
            "one after the other, its lens and its pose, then the next camera's"
        )
    if incomplete:
        return incomplete[0]
    return path.stem if name in found and not camera.is_named else name


def _complete(one: FoundCamera, other: FoundCamera) -> bool:
    """Whether one of them has a lens alone, and the other a pose alone."""
    lenses = [camera.intrinsics is not None for camera in (one, other)]
    poses = [camera.world_from_camera is not None for camera in (one, other)]
    return sum(lenses) == sum(poses) == 1 and lenses != poses


def _check_stems(names: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(_stem(name), name)) != name:
            raise EpisodeError(
                f"the pictures {other} and {name} would both be the camera '{_stem(name)}'; give them "
                "different names in images.txt, such as left.png and right.png"
            )


def own_worlds(paths: Sequence[Path]) -> list[str]:
    """Remarks on the world frames of the files' poses, each once."""
    cameras = chain.from_iterable(read_calibration_file(path).values() for path in paths)
    return sorted({camera.own_world for camera in cameras if camera.own_world is not None})


def other_lenses(paths: Sequence[Path]) -> list[str]:
    """Remarks on further intrinsics in the files, each once."""
    cameras = chain.from_iterable(read_calibration_file(path).values() for path in paths)
    return sorted({camera.other_lens for camera in cameras if camera.other_lens is not None})


def other_axes(paths: Sequence[Path]) -> list[str]:
    """Remarks on cameras' axes that the files do not tell, each once."""
    cameras = chain.from_iterable(read_calibration_file(path).values() for path in paths)
    return sorted({camera.other_axes for camera in cameras if camera.other_axes is not None})


def _joined(one: FoundCamera, other: FoundCamera, where: str) -> FoundCamera:
    for field in ("intrinsics", "world_from_camera"):
        if getattr(one, field) is not None and getattr(other, field) is not None:
            raise EpisodeError(f"{where}: an earlier file gave its {field} already; give one file for each")
    lens = one if one.intrinsics is not None else other
    pose = one.world_from_camera if one.world_from_camera is not None else other.world_from_camera
    placed = one if one.world_from_camera is not None else other
    return replace(
        lens,
        world_from_camera=pose,
        on_hand=placed.on_hand,
        own_world=placed.own_world,
        other_axes=placed.other_axes,
    )


def _camera(name: str, found: FoundCamera, *, straightened: bool) -> Camera:
    if found.intrinsics is None:
        raise EpisodeError(
            f"camera '{name}' has a pose and no lens; give the file of its intrinsics too, such as ROS's "
            "camera_info"
        )
    if found.size is None:
        raise EpisodeError(
            f"camera '{name}': its file does not say for what image size the lens is; add image_width and "
            "image_height (px) to it"
        )
    if found.world_from_camera is None:
        raise EpisodeError(
            f"camera '{name}' has a lens and no pose; give the file of its pose too, such as easy_handeye's, "
            "or find it with: action-images calibrate"
        )
    if found.on_hand:
        cure = (
            "a cameras file holds cameras in the base's frame; declare 'tool_from_camera' in calibration.json"
        )
        raise EpisodeError(f"camera '{name}' stands on the hand; {cure}")
    if not found.distortion.is_none and not straightened:
        raise EpisodeError(
            f"camera '{name}' has a lens with {found.distortion.model} distortion, and a cameras file holds "
            "for straight pictures alone; straighten its videos with this calibration, then give "
            "--straightened"
        )
    camera = Camera(found.intrinsics, found.world_from_camera, found.size).to(torch.float32)
    return camera.check(f"camera '{name}'")


def _stem(name: str) -> str:
    """A name that is valid as a file name: COLMAP names cameras by their pictures."""
    path = Path(name)
    return path.stem if path.suffix.lower() in (".png", ".jpg", ".jpeg") else name
