"""A Viewable as one file: a ZIP with numbers as JSON and pictures as JPEG; reading has size limits."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from action_images.episodes.episode import EpisodeError, check_indices
from action_images.episodes.strangers import check_regular
from action_images.files.atomic import whole_file
from action_images.geometry import Camera, Pose, Trajectory
from action_images.reports.viewing.document import FORMAT, MAX_FRAMES, VERSION, document_of
from action_images.reports.viewing.encoded import picture
from action_images.reports.viewing.viewable import Layer, ShownPath, ShownView, Viewable

NUMBERS = "numbers.json"
MAX_BYTES, MAX_NUMBERS_BYTES, MAX_PICTURE_BYTES = 1 << 30, 64 << 20, 16 << 20
MAX_SIDE_PX, MAX_PICTURES = 8192, 500_000
MAX_HEIGHT = 480
"""The largest height (px) of stored pictures."""
FRAMES_AT_ONCE = 32


def save_record(path: Path, viewable: Viewable) -> None:
    """Write it, completely or not at all: numbers, and every picture of every layer."""
    numbers = json.dumps(document_of(viewable), allow_nan=False)
    with whole_file(path) as unfinished, zipfile.ZipFile(unfinished, "w") as file:
        file.writestr(NUMBERS, numbers, zipfile.ZIP_DEFLATED)
        for at, view in enumerate(viewable.views):
            for number, layer in enumerate(view.layers):
                _save_layer(file, layer, f"{at}/{number}")


def _save_layer(file: zipfile.ZipFile, layer: Layer, name: str) -> None:
    for start in range(0, len(layer.frames), FRAMES_AT_ONCE):
        indices = range(start, min(start + FRAMES_AT_ONCE, len(layer.frames)))
        for index, frame in zip(indices, layer.frames.read(indices), strict=True):
            file.writestr(f"{name}/{index}.jpg", picture(frame, MAX_HEIGHT))


def load_numbers(path: Path) -> dict[str, Any]:
    """The names and numbers of a record; raises EpisodeError if it is not a record, or is absurdly large."""
    check_regular(path)
    try:
        with _opened(path) as file, file.open(NUMBERS) as numbers:
            text = numbers.read(MAX_NUMBERS_BYTES + 1)
        if len(text) > MAX_NUMBERS_BYTES:
            raise EpisodeError(f"{path}: unpacks to more than {MAX_NUMBERS_BYTES >> 20} MB; it is damaged")
        content = json.loads(text)
    except EpisodeError:
        raise
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
        raise EpisodeError(f"{path}: is no record that can be read ({error}); remove it") from None
    kind = (content.get("format"), content.get("version")) if isinstance(content, dict) else None
    if kind != (FORMAT, VERSION):
        raise EpisodeError(f"{path}: is no record of this version; let 'action-images' write it again")
    return content


def load_record(path: Path) -> Viewable:
    """The saved Viewable; its pictures are decoded on demand. Raises EpisodeError for invalid content."""
    content = load_numbers(path)
    try:
        return _viewable(path, content)
    except EpisodeError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError) as error:
        raise EpisodeError(f"{path}: holds other numbers than a record does ({error}); remove it") from None


def _viewable(path: Path, content: dict[str, Any]) -> Viewable:
    num_frames, fps = int(content["num_frames"]), float(content["fps"])
    if not (0 <= num_frames <= MAX_FRAMES and 0 < fps <= 1000):
        raise EpisodeError(f"{path}: claims {num_frames} frames at {fps:g} a second; remove it")
    views = [_view(path, at, view, num_frames) for at, view in enumerate(content["views"])]
    instruction = content["instruction"]
    return Viewable(
        id=str(content["id"]),
        instruction=None if instruction is None else str(instruction),
        fps=fps,
        num_frames=num_frames,
        views=tuple(views),
        paths=tuple(_path(one) for one in content["paths"]),
        facts=tuple((str(name), str(value)) for name, value in content["facts"]),
        notes=tuple(map(str, content["notes"])),
        warnings=tuple((str(level), str(told)) for level, told in content["warnings"]),
    )


def _view(path: Path, at: int, view: dict[str, Any], num_frames: int) -> ShownView:
    height, width = (int(side) for side in view["size"])
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise EpisodeError(f"{path}: a view of {height} x {width} px; remove it")
    camera = None if view["camera"] is None else _camera(view["camera"], (height, width))
    layers = [
        _layer(path, f"{at}/{number}", layer, num_frames) for number, layer in enumerate(view["layers"])
    ]
    spots = None if view["spots"] is None else _tensor(view["spots"], 3, 2)
    return ShownView(str(view["name"]), (height, width), camera, tuple(layers), spots)


def _layer(path: Path, name: str, layer: dict[str, Any], num_frames: int) -> Layer:
    count = int(layer["num_pictures"])
    shows = None if layer["shows"] is None else tuple(map(int, layer["shows"]))
    is_whole = count == num_frames if shows is None else len(shows) == num_frames
    if not is_whole or not all(0 <= one < count for one in shows or ()):
        raise EpisodeError(f"{path}: the pictures {name} are not those of {num_frames} frames; remove it")
    return Layer(str(layer["name"]), StoredPictures(path, name, count), bool(layer["is_action"]), shows)


def _camera(camera: dict[str, Any], size: tuple[int, int]) -> Camera:
    intrinsics, rows = _tensor(camera["intrinsics"], 3, 3), _tensor(camera["world_from_camera"], 3, 4)
    if not camera["is_moving"]:
        intrinsics, rows = intrinsics[0], rows[0]
    return Camera(intrinsics, Pose(rows[..., :3], rows[..., 3]), size).check("a camera")


def _path(path: dict[str, Any]) -> ShownPath:
    pose = Pose(_tensor(path["rotations"], 3, 3), _tensor(path["positions"], 3))
    confidence = None if path["confidence"] is None else _tensor(path["confidence"])
    shown = None if path["shown"] is None else (int(path["shown"][0]), int(path["shown"][1]))
    trajectory = Trajectory(pose, _tensor(path["opening"]))
    lengths = {len(pose.rotation), len(pose.translation), len(trajectory.opening)}
    if len(lengths) != 1:
        raise EpisodeError(f"path {path['name']!r}: its columns differ in length")
    return ShownPath(
        str(path["name"]), str(path["colour"]), trajectory, confidence, int(path["start"]), shown
    )


def _tensor(numbers: list[float | None], *shape: int) -> Tensor:
    """Flat numbers with null for NaN as (row, *shape), float32."""
    return torch.from_numpy(np.array(numbers, np.float32)).reshape(-1, *shape)


@dataclass(frozen=True)
class StoredPictures:
    """The pictures of one layer in a record."""

    path: Path
    name: str
    num_pictures: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the stored pictures, which may be smaller than the view."""
        height, width = self.read([0]).shape[-2:]
        return height, width

    def __len__(self) -> int:
        return self.num_pictures

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frame 3 h w"]:
        """Exactly these frames, in this order; raises EpisodeError if one is missing or damaged."""
        check_indices(indices, self.num_pictures, f"{self.path}: {self.name}")
        with _opened(self.path) as file:
            return torch.stack([self._decoded(file, index) for index in indices])

    def _decoded(self, file: zipfile.ZipFile, index: int) -> UInt8[Tensor, "3 h w"]:
        try:
            with file.open(f"{self.name}/{index}.jpg") as stored:
                data = stored.read(MAX_PICTURE_BYTES)
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
                if max(image.size) > MAX_SIDE_PX:
                    raise EpisodeError(f"{self.path}: {self.name}/{index}.jpg is absurdly large; remove it")
                return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0)
        except EpisodeError:
            raise
        except (OSError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile) as error:
            raise EpisodeError(f"{self.path}: {self.name}/{index}.jpg is damaged ({error})") from None


def _opened(path: Path) -> zipfile.ZipFile:
    if path.stat().st_size > MAX_BYTES:
        raise EpisodeError(f"{path}: is larger than {MAX_BYTES >> 20} MB; a record is not")
    file = zipfile.ZipFile(path)
    if len(file.infolist()) > MAX_PICTURES:
        file.close()
        raise EpisodeError(f"{path}: holds more than {MAX_PICTURES} files; a record does not")
    return file
