"""The cameras file: a rig's calibration as strict, documented json (docs/conventions.md)."""

import json
from pathlib import Path
from typing import Any

import torch

from action_images.episodes.episode import EpisodeError
from action_images.episodes.lens_fields import distorted_field
from action_images.files.atomic import write_json
from action_images.files.strict_json import RepeatedKey, parsed
from action_images.geometry import Camera, Pose
from action_images.structs import stack

FORMAT = "action-images/cameras"
IN_TOOL = "tool"
"""The field `frame` of a file whose cameras' poses are in the tool's frame."""
MAX_BYTES = 64_000_000
"""A larger file is not a calibration."""


def load_cameras(path: Path | str, *, in_tool: bool = False) -> dict[str, Camera]:
    """The cameras of a file by name, in its order, float32; batch axes are (), or (frame) for moving cameras.

    `in_tool`: cameras whose poses are in the tool's frame are accepted too. Raises EpisodeError, naming the
    file, the camera and the field, for anything missing, unknown or of another shape, and for anything but a
    usable OpenCV pinhole camera.
    """
    path = Path(path)
    if not path.is_file():
        raise EpisodeError(f"{path}: there is no such cameras file")
    if path.stat().st_size > MAX_BYTES:
        raise EpisodeError(
            f"{path}: {path.stat().st_size} bytes is too large for a cameras file (limit {MAX_BYTES})"
        )
    try:
        content = parsed(path.read_text(encoding="utf-8-sig"))
    except RepeatedKey as error:
        raise EpisodeError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise EpisodeError(
            f"{path}: not a json file ({error}); see 'The cameras file' in docs/conventions.md"
        ) from error
    _check_source(content, path)
    _check_frame(content, path, in_tool=in_tool)
    _fields(content, {"format", "version", "cameras"}, f"{path}")
    if content["format"] != FORMAT or content["version"] != 1:
        has = f"{content['format']!r} and {content['version']!r}"
        raise EpisodeError(f"{path}: format and version must be '{FORMAT}' and 1, got {has}")
    if not isinstance(content["cameras"], dict) or not content["cameras"]:
        raise EpisodeError(f"{path}: 'cameras' must map at least one camera's name to its calibration")
    return {name: _camera(entry, f"{path}: camera '{name}'") for name, entry in content["cameras"].items()}


def load_still_rig(path: Path) -> Camera:
    """The cameras of a file as one rig (axis: view), in its order. Float32.

    Raises EpisodeError as `load_cameras` does, if a camera moves, or if image sizes differ.
    """
    views = load_cameras(path)
    if any(camera.batch_shape for camera in views.values()):
        raise EpisodeError(f"{path}: a camera of this file moves; a server's calibration stands still")
    if len({camera.size for camera in views.values()}) > 1:
        raise EpisodeError(f"{path}: its cameras have different sizes; an observation's images have one")
    return stack(list(views.values()))


def save_cameras(
    path: Path | str, cameras: dict[str, Camera], *, source: str | None = None, in_tool: bool = False
) -> None:
    """Write cameras with batch axes () or (frame) as a cameras file; `source` says where they come from.

    `in_tool`: their poses are in the tool's frame, so that only `load_cameras(..., in_tool=True)` takes them.
    """
    entries = {
        name: {
            "height": camera.size[0],
            "width": camera.size[1],
            "intrinsics": camera.intrinsics.tolist(),
            "world_from_camera": camera.world_from_camera.matrix().tolist(),
        }
        for name, camera in cameras.items()
    }
    content = {"format": FORMAT, "version": 1} | ({} if source is None else {"source": source})
    content |= {"frame": IN_TOOL} if in_tool else {}
    content["cameras"] = entries
    write_json(Path(path), content, indent=1)


def source_of(path: Path) -> str | None:
    """What a cameras file says about where its cameras come from; None if it is silent or unreadable."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    source = content.get("source") if isinstance(content, dict) else None
    return source if isinstance(source, str) else None


def check_pictures(camera: Camera, size: tuple[int, int], where: str) -> None:
    """Raise EpisodeError unless a camera was calibrated for pictures of this (height, width)."""
    if tuple(camera.size) != tuple(size):
        wanted = f"its camera is for {camera.size[0]} x {camera.size[1]}"
        sizes = f"its pictures are {size[0]} x {size[1]} px, {wanted}"
        cure = "give the pictures that were calibrated, or a cameras file for these"
        raise EpisodeError(f"{where}: {sizes} (height x width); {cure}")


def _check_source(content: Any, path: Path) -> None:
    """Check and remove the file's note on where its cameras come from."""
    source = content.pop("source", "") if isinstance(content, dict) else ""
    if not isinstance(source, str):
        raise EpisodeError(f"{path}: 'source' is {source!r}; it is a text, or left out")


def _check_frame(content: Any, path: Path, *, in_tool: bool) -> None:
    """Check and remove the file's note on the frame of its poses; files without one are taken as asked."""
    if not isinstance(content, dict) or "frame" not in content:
        return
    frame = content.pop("frame")
    if frame != IN_TOOL:
        raise EpisodeError(
            f"{path}: 'frame' is {str(frame)[:40]!r}; it is '{IN_TOOL}', or left out for the base"
        )
    if not in_tool:
        cure = f"'calibrate carry --in-tool {path}' makes a file of them along a trajectory"
        other = "calibration.json takes them as 'tool_from_camera'"
        raise EpisodeError(
            f"{path}: its cameras stand in the tool's frame, not in the base's; {cure}, {other}"
        )


def _camera(entry: Any, where: str) -> Camera:
    _check_undistorted(entry, where)
    _fields(entry, {"height", "width", "intrinsics", "world_from_camera"}, where)
    for name in ("height", "width"):
        if not isinstance(entry[name], int) or not 0 < entry[name] <= 65536:
            raise EpisodeError(
                f"{where}: '{name}' must be a whole number of pixels from 1 to 65536, got {entry[name]!r}"
            )
    intrinsics = _matrix(entry["intrinsics"], 3, f"{where}: 'intrinsics'")
    pose = _matrix(entry["world_from_camera"], 4, f"{where}: 'world_from_camera'")
    if intrinsics.ndim == 3 and intrinsics.shape[:-2] != pose.shape[:-2]:
        raise EpisodeError(
            f"{where}: 'intrinsics' has {len(intrinsics)} frames, 'world_from_camera' {list(pose.shape[:-2])}"
        )
    if not torch.equal(pose[..., 3, :], torch.tensor([0.0, 0.0, 0.0, 1.0]).expand_as(pose[..., 3, :])):
        raise EpisodeError(f"{where}: the last row of 'world_from_camera' must be 0 0 0 1; is it transposed?")
    try:
        moving = intrinsics.expand(*pose.shape[:-2], 3, 3)
        return Camera(moving, Pose.from_matrix(pose), (entry["height"], entry["width"])).check("it")
    except ValueError as error:
        raise EpisodeError(f"{where}: {error}") from error


def _check_undistorted(entry: Any, where: str) -> None:
    """Raise EpisodeError if an entry has a distortion, with another cure than for other unknown fields."""
    name = distorted_field(entry) if isinstance(entry, dict) else None
    if name is not None:
        told = f"'{name}' says that the lens is distorted, and its cameras are for undistorted pictures"
        cure = "undistort the videos, and give the new intrinsics without this field"
        raise EpisodeError(f"{where}: {told}; {cure}")


def _fields(entry: Any, wanted: set[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise EpisodeError(f"{where}: must be a json object with the fields {', '.join(sorted(wanted))}")
    for what, names in (("lacks", wanted - entry.keys()), ("has the unknown", entry.keys() - wanted)):
        if names:
            fields = ", ".join(map(repr, sorted(names)))
            page = "see 'The cameras file' in docs/conventions.md"
            raise EpisodeError(f"{where}: {what} field {fields}; {page}")


def _matrix(numbers: Any, size: int, where: str) -> torch.Tensor:
    try:
        matrix = torch.tensor(numbers, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise EpisodeError(
            f"{where}: must be {size} rows of {size} numbers, or a list of such matrices, one for each frame"
        ) from error
    if matrix.ndim not in (2, 3) or tuple(matrix.shape[-2:]) != (size, size) or not len(matrix):
        shapes = f"{size} x {size} or (frames) x {size} x {size} numbers"
        raise EpisodeError(f"{where}: must be {shapes}, got shape {list(matrix.shape)}")
    return matrix
